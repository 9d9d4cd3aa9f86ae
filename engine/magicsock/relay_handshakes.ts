/**
 * Handshakes with relay servers: a session that was given is bound to an address of this node, and tried.
 *
 *   bind, to every address ─▶ challenge, from one ─▶ answer there, and ping through it ─▶ pong: the session is the path
 *
 * Whoever gets a pong through the session tells its endpoint (`relayReady`), which uses it until a direct path appears or it
 * stops answering. Both peers bind, so a ping may come before the other can answer: its own then says when it can.
 *
 * Source: tailscale.com/wgengine/magicsock `relaymanager.go`, `handshakeServerEndpoint`.
 */
import { BOX_NONCE_LENGTH, BoxKey } from "../../base/box.ts";
import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import type { DiscoPrivate, RandomBytes } from "../../base/keys.ts";
import { encapsulate, GENEVE_DISCO, MAX_VNI } from "../geneve.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import { RELAY_HANDSHAKE_MS, RELAY_HANDSHAKE_PINGS } from "./constants.ts";
import { openDisco, parseDisco, sealDisco, TX_ID_LENGTH } from "./disco.ts";
import { CHALLENGE_LENGTH, encodeBind, type RelaySession } from "./disco_relay.ts";
import type { Endpoint } from "./endpoint.ts";
import { relayText } from "./path_text.ts";

/** What handshakes need of the magicsock. */
export interface RelayHandshakesOwner {
  readonly disco: DiscoPrivate;
  readonly random: RandomBytes;
  readonly addrs: AddrTable;
  sendUdp(to: AddrId, packet: Uint8Array): void;
  /** Pings the peer through a session. */
  sendPing(endpoint: Endpoint, txId: Uint8Array, addr: AddrId, vni: number): void;
  /** Ids of those addresses that a node can have, each once. */
  intern(addrs: RelaySession["addrs"]): AddrId[];
}

interface Handshake {
  readonly endpoint: Endpoint;
  /** Disco key of the server, hex. */
  readonly server: string;
  readonly session: Pick<RelaySession, "lamportId" | "vni">;
  readonly box: BoxKey;
  readonly generation: number;
  readonly remote: Uint8Array;
  readonly deadline: number;
  /** Where the session is bound, 0 before the challenge. */
  addr: AddrId;
  /** When pings were sent through it, by transaction ID. */
  readonly pings: Map<string, number>;
}

/** Those under way. Every `now` is milliseconds of one clock. */
export class RelayHandshakes {
  readonly #owner: RelayHandshakesOwner;
  /** A number that no request or handshake of this node had lately, never 0. */
  readonly #generation: () => number;
  /** By server's disco key and VNI. */
  readonly #bySession = new Map<string, Handshake>();
  /** No later than the earliest deadline: what ended early may be looked at once in vain. */
  #next = Infinity;

  constructor(owner: RelayHandshakesOwner, generation: () => number) {
    this.#owner = owner;
    this.#generation = generation;
  }

  /** Whether some session with this peer is being bound. */
  has(endpoint: Endpoint): boolean {
    for (const handshake of this.#bySession.values()) if (handshake.endpoint === endpoint) return true;
    return false;
  }

  /** Ends those with a peer. */
  stop(endpoint: Endpoint): void {
    for (const [id, handshake] of this.#bySession) if (handshake.endpoint === endpoint) this.#bySession.delete(id);
  }

  clear(): void {
    this.#bySession.clear();
    this.#next = Infinity;
  }

  /** A disco message with the control bit came through the session `vni` at `addr`: it can only be a challenge. */
  handleControl(message: Uint8Array, sender: string, addr: AddrId, vni: number, now: number): Drop | undefined {
    const handshake = this.#bySession.get(idOf(sender, vni));
    if (handshake === undefined) return "relay-session";
    const payload = openDisco(message, handshake.box);
    if (payload === undefined) return "disco-decrypt";
    const challenge = parseDisco(payload);
    if (typeof challenge === "string") return challenge;
    if (
      challenge.type !== "bind-challenge" || challenge.vni !== vni || challenge.generation !== handshake.generation ||
      !equalBytes(challenge.remote, handshake.remote)
    ) return "relay-session";
    // The server binds the first address it hears from; the others are not asked to answer.
    if (handshake.addr !== 0) return undefined;
    handshake.addr = this.#owner.addrs.pin(addr);
    if (handshake.addr === 0) return undefined;
    handshake.endpoint.noteRelaying("relay-challenge", relayText(this.#owner.addrs, handshake.addr, vni), now);
    const { generation, remote } = handshake;
    this.#sendBind(handshake, handshake.addr, encodeBind("bind-answer", { ...challenge, generation, remote }));
    this.#ping(handshake, now);
    return undefined;
  }

  /** A peer's ping came through a session: it is bound there. Where we wait for a pong, ours may have been too early. */
  notePing(addr: AddrId, vni: number, now: number): void {
    for (const handshake of this.#bySession.values()) {
      if (handshake.session.vni === vni && handshake.addr === addr && addr !== 0) this.#ping(handshake, now);
    }
  }

  /** A pong came through a session. False when it answers no ping of a handshake. */
  handlePong(txId: string, addr: AddrId, vni: number, now: number): boolean {
    for (const [id, handshake] of this.#bySession) {
      const sentAt = handshake.pings.get(txId);
      if (sentAt === undefined || handshake.session.vni !== vni || handshake.addr !== addr) continue;
      this.#bySession.delete(id);
      const latencyMs = Math.max(0, now - sentAt);
      handshake.endpoint.noteRelaying("pong", relayText(this.#owner.addrs, addr, vni), now, latencyMs);
      handshake.endpoint.relayReady({ addr, vni, relay: handshake.server, latencyMs }, now);
      return true;
    }
    return false;
  }

  /**
   * False for a session that is being bound already, or is older than one of the same server that is. One that is being
   * bound with another peer stays its: peers say what they like.
   */
  isNews(endpoint: Endpoint, { server, vni, lamportId }: RelaySession): boolean {
    const hex = toHex(server);
    for (const handshake of this.#bySession.values()) {
      if (handshake.server !== hex) continue;
      if (handshake.endpoint === endpoint && handshake.session.lamportId >= lamportId) return false;
      if (handshake.endpoint !== endpoint && handshake.session.vni === vni) return false;
    }
    return true;
  }

  /** Begins one, unless the session is no news or in use. */
  bind(endpoint: Endpoint, session: RelaySession, now: number): void {
    const { vni, lamportId, bindLifetimeMs } = session;
    const server = toHex(session.server);
    if (!this.isNews(endpoint, session) || vni === 0 || vni > MAX_VNI || endpoint.disco === undefined) return;
    for (const [id, old] of this.#bySession) {
      if (old.server === server && old.endpoint === endpoint) this.#bySession.delete(id);
    }
    // Binding anew might move it to another of our addresses, and lose what is on its way meanwhile.
    if (endpoint.path.usesRelay(server, vni, now)) return;
    const secret = this.#owner.disco.sharedSecret(session.server);
    if (secret === undefined) return;
    const handshake: Handshake = {
      endpoint,
      server,
      session: { vni, lamportId },
      box: new BoxKey(secret),
      generation: this.#generation(),
      remote: endpoint.disco.bytes,
      deadline: now + Math.max(0, Math.min(bindLifetimeMs, RELAY_HANDSHAKE_MS)),
      addr: 0,
      pings: new Map(),
    };
    this.#bySession.set(idOf(server, vni), handshake);
    this.#next = Math.min(this.#next, handshake.deadline);
    const { generation, remote } = handshake;
    const bind = encodeBind("bind", { vni, generation, remote, challenge: new Uint8Array(CHALLENGE_LENGTH) });
    for (const addr of this.#owner.intern(session.addrs)) {
      endpoint.noteRelaying("relay-bind", relayText(this.#owner.addrs, addr, vni), now);
      this.#sendBind(handshake, addr, bind);
    }
  }

  /** When `advance` may have something to do; asked every turn. */
  get nextDeadline(): number {
    return this.#next;
  }

  /** Gives up what took too long. */
  advance(now: number): void {
    if (this.#next > now) return;
    this.#next = Infinity;
    for (const [id, { deadline, endpoint, session }] of this.#bySession) {
      if (deadline <= now) {
        this.#bySession.delete(id);
        endpoint.noteRelaying("relay-lost", `vni:${session.vni}`, now);
      } else this.#next = Math.min(this.#next, deadline);
    }
  }

  /** Addresses held here. */
  *addresses(): IterableIterator<AddrId> {
    for (const { addr } of this.#bySession.values()) yield addr;
  }

  #sendBind({ box, session }: Handshake, to: AddrId, payload: Uint8Array): void {
    const { disco, random } = this.#owner;
    const message = sealDisco(disco.public, box, random(BOX_NONCE_LENGTH), payload);
    this.#owner.sendUdp(to, encapsulate({ protocol: GENEVE_DISCO, control: true, vni: session.vni }, message));
  }

  #ping(handshake: Handshake, now: number): void {
    if (handshake.pings.size >= RELAY_HANDSHAKE_PINGS) return;
    const txId = this.#owner.random(TX_ID_LENGTH);
    const { endpoint, addr, session: { vni } } = handshake;
    handshake.pings.set(toHex(txId), now);
    endpoint.noteRelaying("ping", relayText(this.#owner.addrs, addr, vni), now);
    this.#owner.sendPing(endpoint, txId, addr, vni);
  }
}

function idOf(server: string, vni: number): string {
  return `${server}/${vni}`;
}
