/**
 * The address of a peer without disco, which is spoken to by WireGuard alone: the one that answered for as long as it may be
 * silent, otherwise each in turn, so that the retries of a handshake reach them all. Where authenticated data comes from is
 * where it is sent.
 *
 * Source: tailscale.com/wgengine/magicsock `addrForWireGuardSendLocked`, which picks at random and measures by ICMP.
 */
import type { AddrId, AddrTable } from "../ports.ts";
import type { BestPath } from "./best_path.ts";
import type { CandidateSet } from "./candidates.ts";
import { WIREGUARD_ONLY_KEEP_MS, WIREGUARD_ONLY_TRUST_MS, WIREGUARD_ONLY_TRY_MS } from "./constants.ts";

/** Moves the best address of such a peer. */
export class WireguardOnly {
  readonly #addrs: AddrTable;
  readonly #best: BestPath;
  readonly #candidates: CandidateSet;
  #answered = false;
  /** Since when nothing came from the address in use although it was sent to; Infinity while it answers. */
  #silentSince = Infinity;

  constructor(addrs: AddrTable, best: BestPath, candidates: CandidateSet) {
    this.#addrs = addrs;
    this.#best = best;
    this.#candidates = candidates;
  }

  /** Authenticated data came from `source`, which may be transient: that is the address in use. False with no room for it. */
  received(source: AddrId, now: number): boolean {
    const best = this.#best;
    const addr = source === best.addr ? source : this.#addrs.pin(source);
    if (addr === 0) return false;
    if (addr !== best.addr) best.roam(addr, this.#addrs.ip(addr).slice());
    this.#answered = true;
    this.#silentSince = Infinity;
    best.trust(now + WIREGUARD_ONLY_TRUST_MS);
    return true;
  }

  /** The address to send to now, which is then the one in use; 0 when there is none to try. */
  addrForSend(now: number): AddrId {
    const best = this.#best;
    const next = this.#next(best.addr, Array.from(this.#candidates, ({ addr }) => addr), now);
    if (next !== best.addr) best.roam(next, this.#addrs.ip(next).slice());
    best.trust(now + WIREGUARD_ONLY_TRY_MS);
    return next;
  }

  #next(current: AddrId, candidates: readonly AddrId[], now: number): AddrId {
    this.#silentSince = Math.min(this.#silentSince, now);
    const patience = this.#answered ? WIREGUARD_ONLY_KEEP_MS : WIREGUARD_ONLY_TRY_MS;
    if (candidates.length === 0 || (current !== 0 && now - this.#silentSince < patience)) return current;
    this.#answered = false;
    this.#silentSince = now;
    return candidates[(candidates.indexOf(current) + 1) % candidates.length];
  }
}
