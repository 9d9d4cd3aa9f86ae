/**
 * How a peer is reached through peer relays: nodes of the tailnet that forward UDP for others.
 *
 * ```
 *            wanted, at most every 30 s                   by DERP, from the relay's node
 *   ┌──────┐ ─ allocate-request ─▶ ┌────────────┐ ─ response ─▶ call-me-maybe-via to the peer ─┐
 *   │ idle │                       │ allocating │ ─ 10 s: idle                                 │
 *   └──────┘ ── call-me-maybe-via of the peer, which has just done the same ───────────────────┤
 *                                                                     bind to every address    ▼
 *   ┌───────┐   pong   ┌──────────┐  challenge, from one address                        ┌─────────┐
 *   │ ready │ ◀─────── │ answered │ ◀─ answer and ping through it ───────────────────── │ binding │
 *   └───────┘          └──────────┘  a ping through it: ping again      30 s: idle      └─────────┘
 * ```
 *
 * One allocation a relay server and peer, here; one handshake a session, in relay_handshakes.ts. Both peers bind.
 *
 * Source: tailscale.com/wgengine/magicsock `relaymanager.go`, `endpoint.wantUDPRelayPathDiscoveryLocked`.
 */
import { equalBytes } from "../../base/bytes.ts";
import {
  ALLOCATE_RETRY_MS,
  ALLOCATE_TIMEOUT_MS,
  DISCOVER_RELAY_INTERVAL_MS,
  UPGRADE_RELAY_INTERVAL_MS,
} from "./constants.ts";
import { encodeAllocateRequest, encodeCallMeMaybeVia, type RelaySession, sortedPair } from "./disco_relay.ts";
import type { Endpoint } from "./endpoint.ts";
import { RelayHandshakes, type RelayHandshakesOwner } from "./relay_handshakes.ts";

/** What the relay client needs of its magicsock. */
export interface RelayClientOwner extends RelayHandshakesOwner {
  /** Seals a disco payload for the peer and sends it by DERP. */
  sendByDerp(endpoint: Endpoint, payload: Uint8Array): void;
  /** Asks the relay server of this very node; the answer comes by `handleAllocated`. */
  allocateHere(clients: readonly [Uint8Array, Uint8Array], generation: number): void;
}

/** The node's own relay server, where peers have an endpoint. */
const HERE = "here";
type Server = Endpoint | typeof HERE;

interface Allocation {
  readonly endpoint: Endpoint;
  readonly clients: readonly [Uint8Array, Uint8Array];
  readonly generation: number;
  /** When the request is sent again; Infinity once it was. */
  retryAt: number;
  readonly deadline: number;
}

/** Sessions at peer relays, sought and bound. Every `now` is milliseconds of one clock. */
export class RelayClient {
  readonly #owner: RelayClientOwner;
  readonly #servers = new Set<Server>();
  /** By server, then by peer. */
  readonly #allocations = new Map<Server, Map<Endpoint, Allocation>>();
  /** Sessions that are being bound. */
  readonly handshakes: RelayHandshakes;
  #lastSearch = new WeakMap<Endpoint, number>();
  #enabled = true;
  #generation: number;
  /** No later than the earliest deadline: what ended early may be looked at once in vain. */
  #next = Infinity;

  constructor(owner: RelayClientOwner) {
    this.#owner = owner;
    const [a, b, c] = owner.random(3);
    this.#generation = a << 16 | b << 8 | c;
    this.handshakes = new RelayHandshakes(owner, () => this.#nextGeneration());
  }

  /** Whether sessions are used at all, and whether this node's own server is one to ask. */
  configure({ client, self }: { client: boolean; self: boolean }): void {
    this.#enabled = client;
    if (client && self) this.#servers.add(HERE);
    else this.#servers.delete(HERE);
    if (!client) this.#clear();
  }

  /** Peers that run a relay server we may ask. */
  setServer(endpoint: Endpoint, serves: boolean): void {
    if (serves) this.#servers.add(endpoint);
    else if (this.#servers.delete(endpoint)) this.#allocations.delete(endpoint);
  }

  /** Ends what is under way for a peer. */
  stop(endpoint: Endpoint): void {
    for (const byPeer of this.#allocations.values()) byPeer.delete(endpoint);
    this.handshakes.stop(endpoint);
  }

  /** Sockets or links changed: what was bound was bound to the old ones, and what is searched for is searched for anew. */
  networkChanged(): void {
    this.#clear();
    this.#lastSearch = new WeakMap();
  }

  /** The peer is gone for good. */
  forget(endpoint: Endpoint): void {
    this.setServer(endpoint, false);
    this.stop(endpoint);
  }

  /** Traffic flows and no direct path carries it: looks for relays unless it is too early. Cheap when it is. */
  want(endpoint: Endpoint, now: number): void {
    if (!this.#enabled || this.#servers.size === 0 || !endpoint.relayCapable || endpoint.path.isDirect(now)) return;
    const since = now - (this.#lastSearch.get(endpoint) ?? -Infinity);
    if (since < (endpoint.path.isTrusted(now) ? UPGRADE_RELAY_INTERVAL_MS : DISCOVER_RELAY_INTERVAL_MS)) return;
    this.#lastSearch.set(endpoint, now);
    if (!this.#busyWith(endpoint)) { for (const server of this.#servers) this.#allocate(server, endpoint, now); }
  }

  /** A server, asked by DERP or ours, gave a session. False when nobody waits for it. */
  handleAllocated(server: Endpoint | undefined, generation: number, session: RelaySession, now: number): boolean {
    const byPeer = this.#allocations.get(server ?? HERE);
    for (const [endpoint, allocation] of byPeer ?? []) {
      if (allocation.generation !== generation || !samePair(allocation.clients, session.clients)) continue;
      byPeer!.delete(endpoint);
      endpoint.noteRelaying("relay-granted", `vni:${session.vni} by ${nameOf(server ?? HERE)}`, now);
      if (this.handshakes.isNews(endpoint, session)) {
        this.#owner.sendByDerp(endpoint, encodeCallMeMaybeVia(session));
        endpoint.noteRelaying("relay-told", `vni:${session.vni}`, now);
      }
      this.handshakes.bind(endpoint, session, now);
      return true;
    }
    return false;
  }

  /** A peer says by DERP in which session it can be reached. False when that cannot be one of ours. */
  handleCallMeMaybeVia(endpoint: Endpoint, session: RelaySession, now: number): boolean {
    if (!this.#enabled || !endpoint.relayCapable || endpoint.disco === undefined) return false;
    if (!samePair(this.#pairWith(endpoint.disco.bytes), session.clients)) return false;
    endpoint.noteRelaying("relay-heard", `vni:${session.vni}`, now);
    this.handshakes.bind(endpoint, session, now);
    return true;
  }

  /** When `advance` may have something to do; asked every turn. */
  nextDeadline(): number {
    return Math.min(this.#next, this.handshakes.nextDeadline);
  }

  /** Asks a second time, and gives up what took too long. */
  advance(now: number): void {
    this.handshakes.advance(now);
    if (this.#next > now) return;
    this.#next = Infinity;
    for (const [server, byPeer] of this.#allocations) {
      for (const [endpoint, allocation] of byPeer) {
        if (allocation.deadline <= now) {
          byPeer.delete(endpoint);
          endpoint.noteRelaying("relay-unanswered", nameOf(server), now);
        } else if (allocation.retryAt <= now) {
          allocation.retryAt = Infinity;
          this.#sendRequest(server, allocation);
        }
        if (byPeer.has(endpoint)) this.#next = Math.min(this.#next, allocation.retryAt, allocation.deadline);
      }
      if (byPeer.size === 0) this.#allocations.delete(server);
    }
  }

  #clear(): void {
    this.#allocations.clear();
    this.handshakes.clear();
    this.#next = Infinity;
  }

  #busyWith(endpoint: Endpoint): boolean {
    for (const byPeer of this.#allocations.values()) if (byPeer.has(endpoint)) return true;
    return this.handshakes.has(endpoint);
  }

  #pairWith(disco: Uint8Array): readonly [Uint8Array, Uint8Array] {
    return sortedPair(this.#owner.disco.public.bytes, disco);
  }

  #nextGeneration(): number {
    this.#generation = (this.#generation + 1) >>> 0 || 1;
    return this.#generation;
  }

  #allocate(server: Server, endpoint: Endpoint, now: number): void {
    if (endpoint.disco === undefined) return;
    let byPeer = this.#allocations.get(server);
    if (byPeer === undefined) this.#allocations.set(server, byPeer = new Map());
    const allocation: Allocation = {
      endpoint,
      clients: this.#pairWith(endpoint.disco.bytes),
      generation: this.#nextGeneration(),
      retryAt: now + ALLOCATE_RETRY_MS,
      deadline: now + ALLOCATE_TIMEOUT_MS,
    };
    byPeer.set(endpoint, allocation);
    this.#next = Math.min(this.#next, allocation.retryAt);
    endpoint.noteRelaying("relay-asked", nameOf(server), now);
    this.#sendRequest(server, allocation);
  }

  #sendRequest(server: Server, { clients, generation }: Allocation): void {
    if (server === HERE) this.#owner.allocateHere(clients, generation);
    else this.#owner.sendByDerp(server, encodeAllocateRequest(clients, generation));
  }
}

/** How the story of a path names the node a relay server runs on. */
function nameOf(server: Server): string {
  return server === HERE ? "this node" : `nodekey:${server.key}`;
}

function samePair(a: readonly [Uint8Array, Uint8Array], b: readonly [Uint8Array, Uint8Array]): boolean {
  return equalBytes(a[0], b[0]) && equalBytes(a[1], b[1]);
}
