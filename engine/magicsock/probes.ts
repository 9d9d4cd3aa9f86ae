/**
 * Pings to one peer, and what their answers and losses say of its paths.
 *
 * Not the address an answer came from but the one that was pinged is what works. A person's ping is several of these at
 * once, and the first answer settles it.
 */
import { toHex } from "../../base/bytes.ts";
import type { PingOutcome } from "../config.ts";
import type { AddrId } from "../ports.ts";
import { type BestPath, wireLength } from "./best_path.ts";
import type { CandidateSet } from "./candidates.ts";
import { MAX_DISCO_PING_SIZE, TX_ID_LENGTH } from "./disco.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointOwner } from "./endpoint_owner.ts";
import type { PathStory } from "./path_story.ts";
import { pathText, relayText } from "./path_text.ts";
import { type PingRequest, type SentPing, SentPings } from "./pings.ts";

/** What pings teach. */
export interface ProbedPaths {
  readonly best: BestPath;
  readonly candidates: CandidateSet;
  readonly story: PathStory;
}

export class Probes {
  readonly #endpoint: Endpoint;
  readonly #owner: EndpointOwner;
  readonly #known: ProbedPaths;
  readonly #offered: (now: number) => void;
  readonly #sent = new SentPings();
  readonly #requests = new Set<PingRequest>();

  /** @param offered called when an answer may have made another path the best */
  constructor(endpoint: Endpoint, owner: EndpointOwner, known: ProbedPaths, offered: (now: number) => void) {
    this.#endpoint = endpoint;
    this.#owner = owner;
    this.#known = known;
    this.#offered = offered;
  }

  /** When `expire` has something to do, Infinity when nothing is out. */
  get deadline(): number {
    let deadline = this.#sent.deadline;
    for (const request of this.#requests) deadline = Math.min(deadline, request.deadline);
    return deadline;
  }

  /**
   * A person's ping. On a trusted direct path it goes there alone; on a trusted relay there and to every candidate;
   * otherwise by DERP and to every candidate at once.
   * @param size bytes of the whole disco message, 0 for the smallest. @param done called once, perhaps at once
   * @returns where it went: the trusted path alone, candidates too, or nowhere as no ping has this size
   */
  ping(size: number, timeoutMs: number, now: number, done: PingRequest["done"]): "trusted" | "all" | "none" {
    if (size > MAX_DISCO_PING_SIZE) {
      done(undefined);
      return "none";
    }
    const request: PingRequest = { deadline: now + timeoutMs, done };
    this.#requests.add(request);
    const { best, candidates } = this.#known;
    const { derp } = this.#endpoint;
    const trusted = best.fits(size) ? best.trusted(now) : 0;
    if (trusted !== 0) this.start({ addr: trusted, vni: best.vni, derp: 0 }, now, size, request);
    else if (derp !== 0) this.start({ addr: 0, vni: 0, derp }, now, size, request);
    if (trusted !== 0 && best.vni === 0) return "trusted";
    for (const { addr } of candidates) this.start({ addr, vni: 0, derp: 0 }, now, size, request);
    return "all";
  }

  /** Sends a ping, by the relay `derp` when `addr` is 0. Nothing to a peer without a disco key. */
  start(to: Pick<SentPing, "addr" | "vni" | "derp">, now: number, size = 0, request?: PingRequest): void {
    if (this.#endpoint.disco === undefined) return;
    const txId = this.#owner.random(TX_ID_LENGTH);
    const { addr, vni, derp } = to;
    this.#sent.add(toHex(txId), { addr, vni, derp, at: now, size, request });
    this.#known.story.note("ping", pathText(this.#owner.addrs, to), now);
    this.#owner.deadlineChanged(this.#endpoint);
    this.#owner.sendPing(this.#endpoint, txId, addr, vni, derp, size);
  }

  /** An authenticated pong came from `source`, 0 for by DERP. False when it answers no ping of these. */
  answered(txId: string, source: AddrId, now: number): boolean {
    const ping = this.#sent.take(txId);
    if (ping === undefined) return false;
    const latencyMs = Math.max(0, now - ping.at);
    this.#known.story.note("pong", pathText(this.#owner.addrs, ping), now, latencyMs);
    if (source !== 0) this.#noteLatency(ping, latencyMs, now);
    if (ping.request !== undefined) this.#finish(ping.request, this.#outcome(ping, latencyMs));
    return true;
  }

  /** Gives up what was not answered in time. True when that was the best path, and it is not trusted otherwise. */
  expire(now: number): boolean {
    const { best, story } = this.#known;
    let lostBest = false;
    for (const ping of this.#sent.expire(now)) {
      story.note("lost", pathText(this.#owner.addrs, ping), now);
      if (ping.addr !== 0 && best.is(ping) && best.trusted(now) === 0) lostBest = true;
    }
    for (const request of [...this.#requests]) if (request.deadline <= now) this.#finish(request, undefined);
    return lostBest;
  }

  /** The answers to what is out would be another's. */
  forget(): void {
    this.#sent.clear();
  }

  /** As `forget`, and who waits is told that nothing came. */
  end(): void {
    for (const request of [...this.#requests]) this.#finish(request, undefined);
    this.#sent.clear();
  }

  /** Addresses that pings are out to; 0 among them for relays. */
  *addresses(): IterableIterator<AddrId> {
    for (const ping of this.#sent) yield ping.addr;
  }

  #noteLatency(ping: SentPing, latencyMs: number, now: number): void {
    const { best, candidates } = this.#known;
    const { addr, vni } = ping;
    // A relay's address is nobody's candidate: a session is in use, or it is forgotten.
    const candidate = vni === 0 ? candidates.get(addr) : undefined;
    if (vni === 0 ? candidate === undefined : !best.is(ping)) return;
    if (candidate !== undefined) candidate.latencyMs = latencyMs;
    const ip = this.#owner.addrs.ip(addr).slice();
    const relay = vni === 0 ? "" : best.relay;
    best.offer({ addr, vni, relay, ip, latencyMs, wireMtu: wireLength(ping.size, ip, vni) }, now);
    this.#offered(now);
  }

  #outcome({ addr, vni, derp }: SentPing, latencyMs: number): PingOutcome {
    if (vni !== 0) return { latencyMs, endpoint: "", relay: relayText(this.#owner.addrs, addr, vni), derp };
    return { latencyMs, endpoint: addr === 0 ? "" : this.#owner.addrs.text(addr), derp };
  }

  #finish(request: PingRequest, outcome: PingOutcome | undefined): void {
    if (this.#requests.delete(request)) request.done(outcome);
  }
}
