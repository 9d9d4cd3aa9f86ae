/**
 * When which candidate of a peer is pinged, and how often the peer is told to ping.
 *
 * Every candidate at most once in 5 s, unless the peer asks by CallMeMaybe. Tailscale sends a CallMeMaybe with its own pings
 * only, and none in answer to one: then, of two peers, the one whose CallMeMaybes make the other ping, and whose own pings
 * came too early for the other's firewall, waits 5 s for the next. Here one goes out once in 5 s whatever was pinged, a ping
 * that is heard is pinged back, and a peer that was not heard before its pong is told once more.
 *
 * Source: tailscale.com/wgengine/magicsock `endpoint.sendDiscoPingsLocked`, `wantFullPingLocked`.
 */
import type { AddrId } from "../ports.ts";
import type { BestPath } from "./best_path.ts";
import type { CandidateSet } from "./candidates.ts";
import { DISCO_PING_INTERVAL_MS, GOOD_ENOUGH_LATENCY_MS, UPGRADE_DIRECT_INTERVAL_MS } from "./constants.ts";

/** The pace of one peer's discovery. */
export class Discovery {
  readonly #candidates: CandidateSet;
  readonly #send: (addr: AddrId, now: number) => void;
  /** When it was last looked for a better path. */
  #lastAt = -Infinity;
  /** No candidate may be pinged for discovery before this. */
  #pingsAt = -Infinity;
  #callMeMaybeAt = -Infinity;

  /** @param send sends a ping to a candidate */
  constructor(candidates: CandidateSet, send: (addr: AddrId, now: number) => void) {
    this.#candidates = candidates;
    this.#send = send;
  }

  /** Whether a heartbeat is to look for a better path than this. */
  isDue(best: BestPath, now: number): boolean {
    if (this.#lastAt === -Infinity || !best.isDirect(now)) return true;
    if (best.latencyMs <= GOOD_ENOUGH_LATENCY_MS) return false;
    return now - this.#lastAt >= UPGRADE_DIRECT_INTERVAL_MS;
  }

  /** Notes that a better path is looked for. True when `pingAll` would ping any. */
  begin(now: number): boolean {
    this.#lastAt = now;
    return now >= this.#pingsAt;
  }

  /** Pings every candidate that was not pinged within 5 s. */
  pingAll(now: number): void {
    this.#pingsAt = Infinity;
    for (const candidate of this.#candidates) {
      if (now - candidate.lastPing >= DISCO_PING_INTERVAL_MS) this.ping(candidate.addr, now);
      this.#pingsAt = Math.min(this.#pingsAt, candidate.lastPing + DISCO_PING_INTERVAL_MS);
    }
  }

  /** Pings one candidate, whenever it was pinged before; nothing else. */
  ping(addr: AddrId, now: number): void {
    const candidate = this.#candidates.get(addr);
    if (candidate === undefined) return;
    candidate.lastPing = now;
    this.#send(addr, now);
  }

  /**
   * The peer's ping has opened the way back: what was sent there before may have been lost at its firewall. Once in 5 s, so
   * that a ping somebody repeats from where he likes makes us send little more than the pong.
   */
  pingBack(addr: AddrId, now: number): void {
    const candidate = this.#candidates.get(addr);
    if (candidate === undefined || now - candidate.pingedBack < DISCO_PING_INTERVAL_MS) return;
    candidate.pingedBack = now;
    this.ping(addr, now);
  }

  /** Whether it is time for a CallMeMaybe, which then counts as sent. */
  takeCallMeMaybe(now: number): boolean {
    if (now - this.#callMeMaybeAt < DISCO_PING_INTERVAL_MS) return false;
    this.#callMeMaybeAt = now;
    return true;
  }

  /**
   * A direct path was found. Whether the peer is to be told once more, which then counts as sent: its own pings may have come
   * too early for our firewall, and what let them in is known to have arrived only now. Not where one came through already.
   */
  takeOpened(addr: AddrId, now: number): boolean {
    const candidate = this.#candidates.get(addr);
    if (candidate === undefined || now - candidate.heardAt < DISCO_PING_INTERVAL_MS) return false;
    this.#callMeMaybeAt = now;
    return true;
  }

  /** There may be candidates that were never pinged. */
  candidatesChanged(): void {
    this.#pingsAt = -Infinity;
  }

  /** Sockets, links or the peer are others now: all may be pinged, and the peer told, at once. */
  forget(): void {
    this.#pingsAt = this.#callMeMaybeAt = -Infinity;
  }

  /** As if nothing had been looked for yet. */
  reset(): void {
    this.forget();
    this.#lastAt = -Infinity;
  }
}
