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
 * One allocation a relay server and peer, one handshake a session. Both peers bind; whoever gets a pong through the session
 * tells its endpoint (`relayReady`), which uses it until a direct path appears or it stops answering.
 *
 * Source: tailscale.com/wgengine/magicsock `relaymanager.go`, `endpoint.wantUDPRelayPathDiscoveryLocked`.
 */
import { BOX_NONCE_LENGTH, BoxKey } from "../../base/box.ts";
import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import type { DiscoPrivate, RandomBytes } from "../../base/keys.ts";
import { encapsulate, GENEVE_DISCO, MAX_VNI } from "../geneve.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import {
  ALLOCATE_RETRY_MS,
  ALLOCATE_TIMEOUT_MS,
  DISCOVER_RELAY_INTERVAL_MS,
  RELAY_HANDSHAKE_MS,
  RELAY_HANDSHAKE_PINGS,
  UPGRADE_RELAY_INTERVAL_MS,
} from "./constants.ts";
import { openDisco, parseDisco, sealDisco, TX_ID_LENGTH } from "./disco.ts";
import {
  CHALLENGE_LENGTH,
  encodeAllocateRequest,
  encodeBind,
  encodeCallMeMaybeVia,
  type RelaySession,
  sortedPair,
} from "./disco_relay.ts";
import type { Endpoint } from "./endpoint.ts";
import { relayText } from "./path_text.ts";

/** What the relay client needs of its magicsock. */
export interface RelayClientOwner {
  readonly disco: DiscoPrivate;
  readonly random: RandomBytes;
  readonly addrs: AddrTable;
  sendUdp(to: AddrId, packet: Uint8Array): void;
  /** Seals a disco payload for the peer and sends it by DERP. */
  sendByDerp(endpoint: Endpoint, payload: Uint8Array): void;
  /** Pings the peer through a session. */
  sendPing(endpoint: Endpoint, txId: Uint8Array, addr: AddrId, vni: number): void;
  /** Asks the relay server of this very node; the answer comes by `handleAllocated`. */
  allocateHere(clients: readonly [Uint8Array, Uint8Array], generation: number): void;
  /** Ids of those addresses that a node can have, each once. */
  intern(addrs: RelaySession["addrs"]): AddrId[];
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

/** Sessions at peer relays, sought and bound. Every `now` is milliseconds of one clock. */
export class RelayClient {
  readonly #owner: RelayClientOwner;
  readonly #servers = new Set<Server>();
  /** By server, then by peer. */
  readonly #allocations = new Map<Server, Map<Endpoint, Allocation>>();
  /** By server's disco key and VNI. */
  readonly #handshakes = new Map<string, Handshake>();
  #lastSearch = new WeakMap<Endpoint, number>();
  #enabled = true;
  #generation: number;
  /** No later than the earliest deadline: what ended early may be looked at once in vain. */
  #next = Infinity;

  constructor(owner: RelayClientOwner) {
    this.#owner = owner;
    const [a, b, c] = owner.random(3);
    this.#generation = a << 16 | b << 8 | c;
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
    for (const [id, handshake] of this.#handshakes) if (handshake.endpoint === endpoint) this.#handshakes.delete(id);
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
      if (this.#isNews(endpoint, session)) {
        this.#owner.sendByDerp(endpoint, encodeCallMeMaybeVia(session));
        endpoint.noteRelaying("relay-told", `vni:${session.vni}`, now);
      }
      this.#bind(endpoint, session, now);
      return true;
    }
    return false;
  }

  /** A peer says by DERP in which session it can be reached. False when that cannot be one of ours. */
  handleCallMeMaybeVia(endpoint: Endpoint, session: RelaySession, now: number): boolean {
    if (!this.#enabled || !endpoint.relayCapable || endpoint.disco === undefined) return false;
    if (!samePair(this.#pairWith(endpoint.disco.bytes), session.clients)) return false;
    endpoint.noteRelaying("relay-heard", `vni:${session.vni}`, now);
    this.#bind(endpoint, session, now);
    return true;
  }

  /** A disco message with the control bit came through the session `vni` at `addr`: it can only be a challenge. */
  handleControl(message: Uint8Array, sender: string, addr: AddrId, vni: number, now: number): Drop | undefined {
    const handshake = this.#handshakes.get(idOf(sender, vni));
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
    for (const handshake of this.#handshakes.values()) {
      if (handshake.session.vni === vni && handshake.addr === addr && addr !== 0) this.#ping(handshake, now);
    }
  }

  /** A pong came through a session. False when it answers no ping of a handshake. */
  handlePong(txId: string, addr: AddrId, vni: number, now: number): boolean {
    for (const [id, handshake] of this.#handshakes) {
      const sentAt = handshake.pings.get(txId);
      if (sentAt === undefined || handshake.session.vni !== vni || handshake.addr !== addr) continue;
      this.#handshakes.delete(id);
      const latencyMs = Math.max(0, now - sentAt);
      handshake.endpoint.noteRelaying("pong", relayText(this.#owner.addrs, addr, vni), now, latencyMs);
      handshake.endpoint.relayReady({ addr, vni, relay: handshake.server, latencyMs }, now);
      return true;
    }
    return false;
  }

  /** When `advance` may have something to do; asked every turn. */
  nextDeadline(): number {
    return this.#next;
  }

  /** Asks a second time, and gives up what took too long. */
  advance(now: number): void {
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
    for (const [id, { deadline, endpoint, session }] of this.#handshakes) {
      if (deadline <= now) {
        this.#handshakes.delete(id);
        endpoint.noteRelaying("relay-lost", `vni:${session.vni}`, now);
      } else this.#next = Math.min(this.#next, deadline);
    }
  }

  /** Addresses held here. */
  *addresses(): IterableIterator<AddrId> {
    for (const { addr } of this.#handshakes.values()) yield addr;
  }

  #clear(): void {
    this.#allocations.clear();
    this.#handshakes.clear();
    this.#next = Infinity;
  }

  #busyWith(endpoint: Endpoint): boolean {
    for (const byPeer of this.#allocations.values()) if (byPeer.has(endpoint)) return true;
    for (const handshake of this.#handshakes.values()) if (handshake.endpoint === endpoint) return true;
    return false;
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

  /**
   * False for a session that is being bound already, or is older than one of the same server that is. One that is being
   * bound with another peer stays its: peers say what they like.
   */
  #isNews(endpoint: Endpoint, { server, vni, lamportId }: RelaySession): boolean {
    const hex = toHex(server);
    for (const handshake of this.#handshakes.values()) {
      if (handshake.server !== hex) continue;
      if (handshake.endpoint === endpoint && handshake.session.lamportId >= lamportId) return false;
      if (handshake.endpoint !== endpoint && handshake.session.vni === vni) return false;
    }
    return true;
  }

  #bind(endpoint: Endpoint, session: RelaySession, now: number): void {
    const { vni, lamportId, bindLifetimeMs } = session;
    const server = toHex(session.server);
    if (!this.#isNews(endpoint, session) || vni === 0 || vni > MAX_VNI || endpoint.disco === undefined) return;
    for (const [id, old] of this.#handshakes) {
      if (old.server === server && old.endpoint === endpoint) this.#handshakes.delete(id);
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
      generation: this.#nextGeneration(),
      remote: endpoint.disco.bytes,
      deadline: now + Math.max(0, Math.min(bindLifetimeMs, RELAY_HANDSHAKE_MS)),
      addr: 0,
      pings: new Map(),
    };
    this.#handshakes.set(idOf(server, vni), handshake);
    this.#next = Math.min(this.#next, handshake.deadline);
    const { generation, remote } = handshake;
    const bind = encodeBind("bind", { vni, generation, remote, challenge: new Uint8Array(CHALLENGE_LENGTH) });
    for (const addr of this.#owner.intern(session.addrs)) {
      endpoint.noteRelaying("relay-bind", relayText(this.#owner.addrs, addr, vni), now);
      this.#sendBind(handshake, addr, bind);
    }
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

/** How the story of a path names the node a relay server runs on. */
function nameOf(server: Server): string {
  return server === HERE ? "this node" : `nodekey:${server.key}`;
}

function idOf(server: string, vni: number): string {
  return `${server}/${vni}`;
}

function samePair(a: readonly [Uint8Array, Uint8Array], b: readonly [Uint8Array, Uint8Array]): boolean {
  return equalBytes(a[0], b[0]) && equalBytes(a[1], b[1]);
}
