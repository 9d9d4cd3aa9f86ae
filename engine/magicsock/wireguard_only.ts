/**
 * Which address of a peer without disco to try: the one that answered for as long as it may be silent, otherwise each in
 * turn, so that the retries of a handshake reach them all.
 *
 * Source: tailscale.com/wgengine/magicsock `addrForWireGuardSendLocked`, which picks at random and measures by ICMP.
 */
import type { AddrId } from "../ports.ts";
import { WIREGUARD_ONLY_KEEP_MS, WIREGUARD_ONLY_TRY_MS } from "./constants.ts";

/** The state of trying. */
export class WireguardOnly {
  #answered = false;
  /** Since when nothing came from the address in use although it was sent to; Infinity while it answers. */
  #silentSince = Infinity;

  /** Authenticated data came from the address in use. */
  noteAnswer(): void {
    this.#answered = true;
    this.#silentSince = Infinity;
  }

  /** The address to send to now. @param current in use, 0 for none. @returns 0 when there is none to try. */
  next(current: AddrId, candidates: readonly AddrId[], now: number): AddrId {
    this.#silentSince = Math.min(this.#silentSince, now);
    const patience = this.#answered ? WIREGUARD_ONLY_KEEP_MS : WIREGUARD_ONLY_TRY_MS;
    if (candidates.length === 0 || (current !== 0 && now - this.#silentSince < patience)) return current;
    this.#answered = false;
    this.#silentSince = now;
    return candidates[(candidates.indexOf(current) + 1) % candidates.length];
  }
}
