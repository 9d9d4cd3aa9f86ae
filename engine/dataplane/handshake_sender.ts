/** Ways out for handshake messages: over the peer's own paths, or back to where the message that is answered came from. */
import type { DropCounters } from "../../base/drops.ts";
import { encapsulate, GENEVE_WIREGUARD } from "../geneve.ts";
import type { AddrId } from "../ports.ts";
import type { PlanePeer } from "./plane_peer.ts";
import type { AnswerableSource } from "./receive.ts";
import type { Sender } from "./sender.ts";

/** Sends what WireGuard says outside its sessions. */
export class HandshakeSender {
  readonly #sender: Sender;
  readonly #drops: DropCounters;

  constructor(sender: Sender, drops: DropCounters) {
    this.#sender = sender;
    this.#drops = drops;
  }

  /** @param inReplyTo where the peer spoke from, when this answers it */
  toPeer(peer: PlanePeer, message: Uint8Array, inReplyTo: AnswerableSource | undefined, now: number): void {
    const { addr, vni, derp } = peer.endpoint.pathForSend(now);
    peer.txBytes += message.length;
    if (addr !== 0) this.#byUdp(addr, vni, message);
    if (derp !== 0) this.#sender.sendDerp(derp, peer.keyBytes, message);
    if (addr !== 0 || derp !== 0) return;
    // No path of our own yet, but the peer just proved who it is: answer where it spoke from.
    if (inReplyTo !== undefined) this.answer(message, inReplyTo);
    else this.#drops.count("no-path");
  }

  /** Back to a source, whoever it is. */
  answer(message: Uint8Array, source: AnswerableSource): void {
    if (source.relay !== undefined) {
      this.#sender.sendDerp(source.relay.region, source.relay.peer.bytes, message);
    } else if (source.id !== 0) {
      this.#byUdp(source.id, source.vni, message);
    }
  }

  /** @param vni the session when `to` is a relay server's address, 0 when it is the peer's */
  #byUdp(to: AddrId, vni: number, message: Uint8Array): void {
    if (vni === 0) return this.#sender.sendUdp(to, message);
    this.#sender.sendUdp(to, encapsulate({ protocol: GENEVE_WIREGUARD, control: false, vni }, message), true);
  }
}
