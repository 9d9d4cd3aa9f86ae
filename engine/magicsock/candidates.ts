/**
 * The UDP addresses at which a peer may be reachable, from three sources: configured (control's netmap), announced (the
 * peer's last CallMeMaybe) and heard (an authenticated ping came from there). One that no source stands behind any
 * more is dropped; there are never more than `MAX_CANDIDATES`.
 *
 * Source: tailscale.com/wgengine/magicsock `endpointState`, `addCandidateEndpoint`, `handleCallMeMaybe`.
 */
import type { AddrId } from "../ports.ts";
import { MAX_CANDIDATES, SESSION_ACTIVE_TIMEOUT_MS } from "./constants.ts";

/** An address and its history. Times are milliseconds, -Infinity for never. */
export interface Candidate {
  readonly addr: AddrId;
  configured: boolean;
  announced: boolean;
  /** When a ping last came from here. */
  heardAt: number;
  /** Transaction ID of that ping, hex. */
  heardTx: string;
  /** When it was last pinged for discovery or as heartbeat. */
  lastPing: number;
  /** When it was last pinged because a ping came from there. */
  pingedBack: number;
  /** Of the last pong, -1 for none. */
  latencyMs: number;
}

/** The candidates of one peer. `keep` is an address that stays whatever its sources say: the one in use. */
export class CandidateSet {
  readonly #byAddr = new Map<AddrId, Candidate>();

  has(addr: AddrId): boolean {
    return this.#byAddr.has(addr);
  }

  get(addr: AddrId): Candidate | undefined {
    return this.#byAddr.get(addr);
  }

  [Symbol.iterator](): IterableIterator<Candidate> {
    return this.#byAddr.values();
  }

  /** Replaces the configured addresses. */
  configure(addrs: readonly AddrId[], now: number, keep: AddrId): void {
    for (const candidate of this.#byAddr.values()) candidate.configured = false;
    for (const addr of addrs) this.#add(addr, (candidate) => candidate.configured = true);
    this.prune(now, keep);
  }

  /** Replaces the announced addresses, all of which are to be pinged at once. */
  announce(addrs: readonly AddrId[], now: number, keep: AddrId): void {
    for (const candidate of this.#byAddr.values()) candidate.announced = false;
    for (const addr of addrs) this.#add(addr, (candidate) => candidate.announced = true);
    this.prune(now, keep);
    for (const candidate of this.#byAddr.values()) candidate.lastPing = -Infinity;
  }

  /** Notes an authenticated ping. False for a ping that came from there before. */
  hear(addr: AddrId, txId: string, now: number, keep: AddrId): boolean {
    const known = this.#byAddr.get(addr);
    if (known !== undefined) {
      if (known.heardTx === txId) return false;
      known.heardTx = txId;
      known.heardAt = now;
      return true;
    }
    if (this.#byAddr.size >= MAX_CANDIDATES) {
      this.prune(now, keep);
      if (this.#byAddr.size >= MAX_CANDIDATES) this.#evictHeard(keep);
    }
    this.#add(addr, (candidate) => {
      candidate.heardTx = txId;
      candidate.heardAt = now;
    });
    return true;
  }

  /** Drops what no source stands behind: heard more than a session ago, neither configured nor announced. */
  prune(now: number, keep: AddrId): void {
    for (const candidate of this.#byAddr.values()) {
      if (candidate.configured || candidate.announced || candidate.addr === keep) continue;
      if (now - candidate.heardAt > SESSION_ACTIVE_TIMEOUT_MS) this.#byAddr.delete(candidate.addr);
    }
  }

  /** Forgets when each was pinged, so that all are pinged at the next occasion. */
  forgetPings(): void {
    for (const candidate of this.#byAddr.values()) candidate.lastPing = candidate.pingedBack = -Infinity;
  }

  /** Forgets what was learnt by pinging; the network may have changed. */
  forgetAnswers(): void {
    for (const candidate of this.#byAddr.values()) {
      candidate.announced = false;
      candidate.lastPing = candidate.pingedBack = -Infinity;
      candidate.latencyMs = -1;
      candidate.heardTx = "";
    }
  }

  #add(addr: AddrId, note: (candidate: Candidate) => void): void {
    let candidate = this.#byAddr.get(addr);
    if (candidate === undefined) {
      if (this.#byAddr.size >= MAX_CANDIDATES) return;
      candidate = {
        addr,
        configured: false,
        announced: false,
        heardAt: -Infinity,
        heardTx: "",
        lastPing: -Infinity,
        pingedBack: -Infinity,
        latencyMs: -1,
      };
      this.#byAddr.set(addr, candidate);
    }
    note(candidate);
  }

  /**
   * Makes room by dropping the longest unheard address that only pings stand behind, one that never answered first:
   * a replayed ping has its source for free, an answer it cannot have.
   */
  #evictHeard(keep: AddrId): void {
    let victim: Candidate | undefined;
    for (const candidate of this.#byAddr.values()) {
      if (candidate.configured || candidate.announced || candidate.addr === keep) continue;
      if (victim === undefined || olderClaim(candidate, victim)) victim = candidate;
    }
    if (victim !== undefined) this.#byAddr.delete(victim.addr);
  }
}

function olderClaim(a: Candidate, b: Candidate): boolean {
  if ((a.latencyMs < 0) !== (b.latencyMs < 0)) return a.latencyMs < 0;
  return a.heardAt < b.heardAt;
}
