/**
 * The paths to one peer: a relay (DERP) that always works, and UDP addresses that may.
 *
 * While packets are sent (and 45 s longer) a heartbeat every 3 s pings bestAddr; outside "direct" it pings every candidate,
 * each at most every 5 s, and asks the peer by CallMeMaybe to do the same. So a path that dies is left within 6.5 s and
 * one that comes back is used within 6 s. An idle peer costs nothing: no timer runs for it.
 *
 * What carries the traffic then is path_in_use.ts's; sessions at peer relays are found and bound by relay_client.ts.
 *
 * For all but peers without disco (wireguard_only.ts) authenticated *disco* decides, and data never moves the path.
 *
 * Source: tailscale.com/wgengine/magicsock `endpoint.go`.
 */
import type { DiscoPublic, NodePublic } from "../../base/keys.ts";
import type { AddrId } from "../ports.ts";
import type { Deadlined } from "../wg/deadlines.ts";
import type { PathReport, PingOutcome, RelayEventKind } from "../config.ts";
import { BestPath, wireLength } from "./best_path.ts";
import { CandidateSet } from "./candidates.ts";
import {
  CALL_ME_MAYBE_BURST,
  CALL_ME_MAYBE_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  SESSION_ACTIVE_TIMEOUT_MS,
  TRUST_UDP_ADDR_MS,
} from "./constants.ts";
import { Discovery } from "./discovery.ts";
import type { EndpointOwner, EndpointSettings, SendPath } from "./endpoint_owner.ts";
import { reportPath } from "./path_report.ts";
import { PathInUse } from "./path_in_use.ts";
import { PathStory } from "./path_story.ts";
import { pathText } from "./path_text.ts";
import { Probes } from "./probes.ts";
import { TokenBucket } from "./token_bucket.ts";
import { WireguardOnly } from "./wireguard_only.ts";

/** One peer's paths. All times are milliseconds of the clock that `now` is read from. */
export class Endpoint implements Deadlined {
  readonly nodeKey: NodePublic;
  /** What carries the traffic. */
  readonly path: PathInUse;
  /** When a data packet was last sent or a person pinged, 0 for never. */
  lastSend = 0;
  /** When data was last authenticated, 0 for never. */
  lastReceive = 0;
  queuedAt = Infinity;
  place = -1;

  readonly #owner: EndpointOwner;
  readonly #candidates = new CandidateSet();
  readonly #best = new BestPath();
  readonly #wireguard: WireguardOnly;
  readonly #story = new PathStory();
  readonly #probes: Probes;
  readonly #sendPath: SendPath = { addr: 0, vni: 0, derp: 0 };
  #disco: DiscoPublic | undefined;
  #homeDerp = 0;
  #heardDerp = 0;
  #heartbeatAt = Infinity;
  readonly #discovery: Discovery;
  /** How many CallMeMaybes of the peer's are obeyed. */
  readonly #callMeMaybes = new TokenBucket(CALL_ME_MAYBE_BURST, CALL_ME_MAYBE_INTERVAL_MS);
  #relayCapable = false;

  constructor(nodeKey: NodePublic, owner: EndpointOwner) {
    this.nodeKey = nodeKey;
    this.#owner = owner;
    this.path = new PathInUse(owner.addrs, this.#best);
    this.#wireguard = new WireguardOnly(owner.addrs, this.#best, this.#candidates);
    const known = { best: this.#best, candidates: this.#candidates, story: this.#story };
    this.#probes = new Probes(this, owner, known, (now) => this.#report(now));
    this.#discovery = new Discovery(
      this.#candidates,
      (addr, now) => this.#probes.start({ addr, vni: 0, derp: 0 }, now),
    );
  }

  /** 64 hex digits of the node key. */
  get key(): string {
    return this.nodeKey.hex;
  }

  get disco(): DiscoPublic | undefined {
    return this.#disco;
  }

  /** Region that relays to the peer: its home, or where it was last heard when it has none. 0 for none. */
  get derp(): number {
    return this.#homeDerp || this.#heardDerp;
  }

  /** The peer speaks by peer relays too. */
  get relayCapable(): boolean {
    return this.#relayCapable;
  }

  get #wireguardOnly(): boolean {
    return this.#disco === undefined && this.#homeDerp === 0;
  }

  /** Takes what the netmap says now. */
  configure(settings: EndpointSettings, now: number): void {
    const hadDisco = this.#disco;
    this.#disco = settings.disco;
    this.#homeDerp = settings.derp;
    this.#relayCapable = settings.relayCapable;
    this.#candidates.configure(settings.endpoints, now, this.#best.trusted(now));
    this.#candidatesChanged();
    // A new disco key is a restarted peer: the pings sent to the old one are lost, its address is to prove itself.
    if (hadDisco !== undefined && !hadDisco.equals(settings.disco)) {
      this.#probes.forget();
      this.#candidates.forgetPings();
      this.#discovery.forget();
      this.#best.distrust();
    }
  }

  /**
   * The path for the next packets, to be asked once per batch: it also keeps the session alive and starts looking for a
   * better path. The object is reused at the next call.
   */
  pathForSend(now: number): SendPath {
    const path = this.#sendPath;
    path.addr = this.#best.trusted(now);
    path.vni = this.#best.vni;
    path.derp = 0;
    if (path.addr !== 0) {
      if (path.vni !== 0) this.#discover(now);
      this.#noteSend(now);
      return path;
    }
    if (this.#wireguardOnly) {
      path.addr = this.#wireguard.addrForSend(now);
      path.derp = path.addr === 0 ? this.#heardDerp : 0;
      this.#report(now);
    } else {
      path.addr = this.#best.addr;
      path.derp = this.#homeDerp || (path.addr === 0 ? this.#heardDerp : 0);
      this.#report(now);
      this.#discover(now);
    }
    this.#noteSend(now);
    return path;
  }

  /** WireGuard data was authenticated from `source`, through its session `vni` if it is a relay server's; 0 for by DERP. */
  noteReceived(source: AddrId, vni: number, now: number): void {
    this.lastReceive = now;
    if (source === 0) return;
    if (!this.#wireguardOnly) {
      if (this.#owner.isSilent() && this.#best.is({ addr: source, vni })) {
        this.#best.trust(now + TRUST_UDP_ADDR_MS);
        this.#report(now);
      }
      return;
    }
    if (vni === 0 && this.#wireguard.received(source, now)) this.#report(now);
  }

  /** A packet of the peer came through this relay. */
  noteDerp(region: number): void {
    this.#heardDerp = region;
  }

  /** The relay does not know the peer (any more). */
  derpPeerGone(region: number): void {
    if (this.#heardDerp === region) this.#heardDerp = 0;
  }

  /** This machine has no way to `addr` now. */
  noteUnreachable(addr: AddrId): void {
    const candidate = this.#candidates.get(addr);
    if (candidate !== undefined) candidate.latencyMs = -1;
    if (this.#best.addr === addr) this.#clearBest();
  }

  /** A pong came through a session at a relay server. */
  relayReady(session: { addr: AddrId; vni: number; relay: string; latencyMs: number }, now: number): void {
    const ip = this.#owner.addrs.ip(session.addr).slice();
    this.#best.offerRelay({ ...session, ip, wireMtu: wireLength(0, ip, session.vni) }, now);
    this.#report(now);
  }

  /** Something happened on the way to a peer relay, or through it. */
  noteRelaying(kind: RelayEventKind | "ping" | "pong", path: string, now: number, latencyMs?: number): void {
    this.#story.note(kind, path, now, latencyMs);
  }

  /** Sent to within the last 45 s. */
  active(now: number): boolean {
    return this.lastSend !== 0 && now - this.lastSend < SESSION_ACTIVE_TIMEOUT_MS;
  }

  /** A CallMeMaybe was sent to the peer. */
  noteCallMeMaybeSent(now: number): void {
    this.#story.note("call-me-maybe-sent", `derp-${this.#homeDerp}`, now);
  }

  /** Whether `addr` is a candidate, or the relay server in use. */
  knows(addr: AddrId): boolean {
    return this.#candidates.has(addr) || (addr !== 0 && this.#best.addr === addr);
  }

  /** An authenticated ping came from `addr` (stable). False when it is one heard before, not to be answered again. */
  handlePing(addr: AddrId, txId: string, now: number): boolean {
    const fresh = this.#candidates.hear(addr, txId, now, this.#best.trusted(now));
    if (fresh) this.#story.note("heard", this.#owner.addrs.text(addr), now);
    this.#candidatesChanged();
    if (fresh && this.active(now) && !this.#best.isDirect(now)) this.#discovery.pingBack(addr, now);
    return fresh;
  }

  /**
   * An authenticated pong came from `source`, 0 for by DERP. False when it answers no ping of this endpoint.
   * Not the address it came from but the one that was pinged is what works.
   */
  handlePong(txId: string, source: AddrId, now: number): boolean {
    return this.#probes.answered(txId, source, now);
  }

  /** Whether another CallMeMaybe, of either kind, is within what is obeyed of this peer. */
  takeCallMeMaybe(now: number): boolean {
    return this.#callMeMaybes.take(now);
  }

  /** The peer says by DERP where it is and that it has just pinged. False when it says so too often. */
  handleCallMeMaybe(endpoints: readonly AddrId[], now: number): boolean {
    if (!this.takeCallMeMaybe(now)) return false;
    this.#story.note("call-me-maybe-received", "", now);
    this.#candidates.announce(endpoints, now, this.#best.trusted(now));
    this.#candidatesChanged();
    this.#discover(now);
    return true;
  }

  /** A person's ping, as `Probes.ping`. */
  ping(size: number, timeoutMs: number, now: number, done: (outcome: PingOutcome | undefined) => void): void {
    const ways = this.#probes.ping(size, timeoutMs, now, done);
    if (ways === "none") return;
    if (ways === "all") this.#owner.relayWanted(this, now);
    this.#noteSend(now);
    this.#owner.deadlineChanged(this);
  }

  /** Sockets or links changed: nothing learnt by pinging is believed any more. */
  forgetPaths(): void {
    this.#candidates.forgetAnswers();
    this.#discovery.forget();
    this.#clearBest();
  }

  /** Back to a relay-only peer without a session; open pings end unanswered. */
  reset(): void {
    this.#probes.end();
    this.#candidates.forgetPings();
    this.#discovery.reset();
    this.#heartbeatAt = Infinity;
    this.lastSend = 0;
    this.#clearBest();
  }

  /** When `advance` has something to do, Infinity for an idle peer. */
  deadline(): number {
    return Math.min(this.#heartbeatAt, this.#probes.deadline);
  }

  /** Does what is due. */
  advance(now: number): void {
    if (this.#probes.expire(now)) this.#clearBest();
    if (this.#heartbeatAt <= now) this.#heartbeat(now);
    this.#report(now);
  }

  /** Every address this endpoint holds. */
  *addresses(): IterableIterator<AddrId> {
    for (const candidate of this.#candidates) yield candidate.addr;
    yield* this.#probes.addresses();
    yield* this.path.addresses();
  }

  #heartbeat(now: number): void {
    this.#heartbeatAt = Infinity;
    if (this.#owner.isSilent() || now - this.lastSend > SESSION_ACTIVE_TIMEOUT_MS) return;
    if (this.#best.vni === 0) this.#discovery.ping(this.#best.addr, now);
    else this.#probes.start({ addr: this.#best.addr, vni: this.#best.vni, derp: 0 }, now);
    if (this.#discovery.isDue(this.#best, now)) this.#discover(now);
    this.#heartbeatAt = now + HEARTBEAT_INTERVAL_MS;
  }

  /** Pings the candidates whose turn it is, looks for a relay meanwhile, and tells the peer to ping us. */
  #discover(now: number): void {
    const due = this.#discovery.begin(now);
    if (this.#disco === undefined) return;
    if (due) {
      this.#candidates.prune(now, this.#best.trusted(now));
      this.#dropLostBest();
      this.#discovery.pingAll(now);
    }
    if (!this.#best.isDirect(now)) this.#owner.relayWanted(this, now);
    if (this.#homeDerp === 0 || !this.#discovery.takeCallMeMaybe(now)) return;
    this.#owner.callMeMaybeWanted(this, now);
  }

  #noteSend(now: number): void {
    this.lastSend = now;
    if (this.#heartbeatAt !== Infinity || this.#disco === undefined) return;
    this.#owner.sessionStarted(now);
    if (this.#owner.isSilent()) return;
    this.#heartbeatAt = now + HEARTBEAT_INTERVAL_MS;
    this.#owner.deadlineChanged(this);
  }

  #candidatesChanged(): void {
    this.#discovery.candidatesChanged();
    this.#dropLostBest();
  }

  #dropLostBest(): void {
    if (this.#best.addr === 0 || this.#best.vni !== 0 || this.#wireguardOnly) return;
    if (!this.#candidates.has(this.#best.addr)) this.#clearBest();
  }

  #clearBest(): void {
    this.#best.clear();
    this.#report(-Infinity);
  }

  /** All that is known of the way to the peer. */
  report(now: number): PathReport {
    return reportPath({
      addrs: this.#owner.addrs,
      best: this.#best,
      candidates: this.#candidates,
      story: this.#story,
      derp: this.derp,
      active: this.active(now),
      lastSend: this.lastSend,
      lastReceive: this.lastReceive,
    }, now);
  }

  /** Tells the owner when the path that alone carries the traffic is another. */
  #report(now: number): void {
    const news = this.path.takeNews(now);
    if (news === undefined) return;
    const { addr, vni } = news;
    // `now` is -Infinity where a path is given up: then it is what happened last that led to it.
    const at = now === -Infinity ? this.#story.lastAt : now;
    this.#story.note("path", pathText(this.#owner.addrs, { addr, vni, derp: this.derp }), at);
    this.#owner.pathChanged(this);
    if (addr !== 0 && vni === 0 && this.#homeDerp !== 0 && this.#discovery.takeOpened(addr, now)) {
      this.#owner.callMeMaybeWanted(this, now);
    }
  }
}
