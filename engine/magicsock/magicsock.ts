/**
 * Path discovery for all peers: answers disco, owns the endpoints, and knows what this node may tell of itself.
 *
 * ```
 * us                                          peer
 *  │── ping ─── each candidate, by UDP ──────▶ │   opens our firewall even where it does not arrive
 *  │── CallMeMaybe ── own endpoints, by DERP ▶ │   held back until own endpoints are fresh (STUN)
 *  │ ◀── ping ── each of them, by UDP ──────── │
 *  │── pong ─────────────────────────────────▶ │   peer: direct
 *  │ ◀── pong ──────────────────────────────── │   us: direct
 * ```
 *
 * Nothing here waits or sends by itself: `advance` does what is due at `nextDeadline`, and `MagicsockIo` carries it out.
 * Nothing from the network is believed before its NaCl box opened, and then only what a peer may say of itself.
 *
 * Source: tailscale.com/wgengine/magicsock `handleDiscoMessage`, `handlePingLocked`, `enqueueCallMeMaybe`, `ReSTUN`.
 */
import { assertNever } from "../../base/assert_never.ts";
import { BOX_NONCE_LENGTH } from "../../base/box.ts";
import { equalBytes, fromHex, toHex } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import { type AddrPort, type IpBytes, parseAddrPort } from "../../base/ip.ts";
import { type DiscoPrivate, DiscoPublic, NodePublic, type RandomBytes } from "../../base/keys.ts";
import type { PeerConfig, PingOutcome } from "../config.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import { Deadlines } from "../wg/deadlines.ts";
import { encapsulate, GENEVE_DISCO } from "../geneve.ts";
import {
  ENDPOINTS_ASK_INTERVAL_MS,
  ENDPOINTS_FRESH_ENOUGH_MS,
  RELAY_CAPABILITY,
  RESTUN_MAX_MS,
  RESTUN_MIN_MS,
} from "./constants.ts";
import { BoxBudget } from "./box_budget.ts";
import {
  DISCO_PING_SIZE,
  type DiscoMessage,
  discoSender,
  encodeCallMeMaybe,
  encodePing,
  encodePong,
  openDisco,
  parseDisco,
  sealDisco,
} from "./disco.ts";
import { type DiscoPeer, DiscoPeers } from "./disco_peers.ts";
import { encodeAllocateResponse, type RelaySession } from "./disco_relay.ts";
import { Endpoint, type EndpointOwner } from "./endpoint.ts";
import { RelayClient } from "./relay_client.ts";

/** What magicsock needs done. Payloads are its callee's to keep. */
export interface MagicsockIo {
  /** @param relayed it goes through a peer relay, for the counters */
  sendUdp(to: AddrId, payload: Uint8Array, relayed: boolean): void;
  sendDerp(region: number, peer: NodePublic, payload: Uint8Array): void;
  /** Asks for a new STUN round, to be answered by `setLocalEndpoints`. */
  endpointsWanted(reason: string): void;
  /** `endpoint.currentAddress` or `currentRelay` is another now. */
  pathChanged(endpoint: Endpoint): void;
  /** Adds the peers of the disco key that sent something, where its owner knows some that are not here. */
  senderUnknown?(disco: string): void;
  /** A peer that may, or this node (undefined), wants a session of the relay server here: `answerRelayRequest`. */
  relayRequested(
    endpoint: Endpoint | undefined,
    clients: readonly [Uint8Array, Uint8Array],
    generation: number,
  ): void;
}

/**
 * Where a disco message came from: a UDP address, perhaps a relay server's and then in the session `vni`, from the server
 * itself when `control`; or a DERP region and the node the relay says sent it.
 */
export type DiscoSource = UdpSource | { readonly derp: number; readonly peer: NodePublic };

interface UdpSource {
  readonly addr: AddrId;
  readonly vni?: number;
  readonly control?: boolean;
}

/** 127.3.3.40, which stands for "by DERP", the port being the region. `tailcfg.DerpMagicIP`. */
const DERP_MAGIC_IP = Uint8Array.of(127, 3, 3, 40);

/** The paths to all peers. Every `now` is milliseconds of one clock, best with fractions: latencies come from it. */
export class Magicsock {
  readonly #disco: DiscoPrivate;
  readonly #random: RandomBytes;
  readonly #io: MagicsockIo;
  readonly #addrs: AddrTable;
  readonly #owner: EndpointOwner;
  readonly #byKey = new Map<string, Endpoint>();
  readonly #discoPeers: DiscoPeers;
  /** Failures from addresses that are not known to be the named peer's. */
  readonly #strangers = new BoxBudget();
  readonly #deadlines = new Deadlines<Endpoint>();
  /** Peers to be sent a CallMeMaybe once own endpoints are fresh. */
  readonly #callMeMaybes = new Set<Endpoint>();
  readonly #relays: RelayClient;
  /** Peers that may ask the relay server here. */
  readonly #relayUsers = new WeakSet<Endpoint>();
  /** Control wants no heartbeats (`silent-disco`). */
  silentDisco = false;
  #self: NodePublic | undefined;
  #homeDerp = 0;
  #local: readonly AddrPort[] = [];
  #localAt = -Infinity;
  #askedAt = -Infinity;
  #restunAt = Infinity;

  constructor(options: { disco: DiscoPrivate; random: RandomBytes; io: MagicsockIo; addrs: AddrTable }) {
    this.#disco = options.disco;
    this.#random = options.random;
    this.#io = options.io;
    this.#addrs = options.addrs;
    this.#discoPeers = new DiscoPeers(options.disco);
    this.#owner = {
      addrs: options.addrs,
      random: options.random,
      isSilent: () => this.silentDisco,
      sendPing: (endpoint, txId, addr, vni, derp, size) => this.#sendPing(endpoint, txId, addr, vni, derp, size),
      relayWanted: (endpoint, now) => this.#relays.want(endpoint, now),
      callMeMaybeWanted: (endpoint, now) => this.#wantCallMeMaybe(endpoint, now),
      sessionStarted: (now) => this.#sessionStarted(now),
      deadlineChanged: (endpoint) => this.#deadlines.update(endpoint),
      pathChanged: (endpoint) => this.#io.pathChanged(endpoint),
    };
    this.#relays = new RelayClient({
      disco: options.disco,
      random: options.random,
      addrs: options.addrs,
      sendUdp: (to, packet) => this.#io.sendUdp(to, packet, true),
      sendByDerp: (endpoint, payload) => this.#sendByDerp(endpoint, payload),
      sendPing: (endpoint, txId, addr, vni) => this.#sendPing(endpoint, txId, addr, vni, 0, 0),
      allocateHere: (clients, generation) => this.#io.relayRequested(undefined, clients, generation),
      intern: (addrs) => this.#intern(addrs),
    });
  }

  /**
   * Own node key, undefined when logged out or stopped: then all sessions end and no message is answered.
   * @param relay whether peer relays are used, and the one here is one to ask
   */
  setSelf(nodeKey: NodePublic | undefined, homeDerp: number, relay = { client: true, self: false }): void {
    this.#self = nodeKey;
    this.#homeDerp = homeDerp;
    this.#relays.configure(nodeKey === undefined ? { client: false, self: false } : relay);
    if (nodeKey !== undefined) return;
    this.#callMeMaybes.clear();
    this.#restunAt = Infinity;
    for (const endpoint of this.#byKey.values()) endpoint.reset();
  }

  /** Own home region as last set, 0 for none. */
  get homeDerp(): number {
    return this.#homeDerp;
  }

  /**
   * Own endpoints. @param fresh a STUN round that ended at `now` found them, perhaps the same as before: a CallMeMaybe
   * that waited for that goes out
   */
  setLocalEndpoints(addrs: readonly AddrPort[], fresh: boolean, now: number): void {
    this.#local = [...addrs];
    if (!fresh) return;
    this.#localAt = now;
    this.#askedAt = -Infinity;
    if (this.#restunAt !== Infinity) this.#restunAt = this.#nextRestun(now);
    const waiting = [...this.#callMeMaybes];
    this.#callMeMaybes.clear();
    for (const endpoint of waiting) this.#sendCallMeMaybe(endpoint, now);
  }

  /** Adds a peer or changes what is known of it. @throws TypeError for keys that are not 64 hex digits. */
  upsertPeer(config: PeerConfig, now: number): Endpoint {
    let endpoint = this.#byKey.get(config.key);
    if (endpoint === undefined) {
      endpoint = new Endpoint(new NodePublic(keyBytes(config.key)), this.#owner);
      this.#byKey.set(config.key, endpoint);
    }
    const disco = config.disco === "" ? undefined : new DiscoPublic(keyBytes(config.disco));
    if (endpoint.disco?.hex !== disco?.hex) {
      if (endpoint.disco !== undefined) this.#discoPeers.remove(endpoint.disco, endpoint);
      if (disco !== undefined) this.#discoPeers.add(disco, endpoint);
      this.#relays.stop(endpoint);
    }
    const endpoints = config.endpoints.map(parseAddrPort).filter((addr) => addr !== undefined);
    const relayCapable = disco !== undefined && config.cap >= RELAY_CAPABILITY;
    endpoint.configure({ disco, derp: config.derp, endpoints: this.#intern(endpoints), relayCapable }, now);
    this.#relays.setServer(endpoint, relayCapable && config.relay?.serves === true);
    if (config.relay?.mayAsk === true) this.#relayUsers.add(endpoint);
    else this.#relayUsers.delete(endpoint);
    return endpoint;
  }

  removePeer(key: string): void {
    const endpoint = this.#byKey.get(key);
    if (endpoint === undefined) return;
    this.#byKey.delete(key);
    this.#callMeMaybes.delete(endpoint);
    this.#relays.forget(endpoint);
    if (endpoint.disco !== undefined) this.#discoPeers.remove(endpoint.disco, endpoint);
    endpoint.reset();
    this.#deadlines.remove(endpoint);
  }

  /** @param key 64 hex digits of a node key. */
  endpoint(key: string): Endpoint | undefined {
    return this.#byKey.get(key);
  }

  endpoints(): IterableIterator<Endpoint> {
    return this.#byKey.values();
  }

  /**
   * Takes a datagram that `classify` calls disco, from UDP or DERP; the bytes are borrowed.
   * @returns why it was of no use, or undefined. A ping seen before is neither answered nor counted.
   */
  handleDisco(message: Uint8Array, source: DiscoSource, now: number): Drop | undefined {
    const sender = discoSender(message);
    if (sender === undefined) return "disco-envelope";
    if ("addr" in source && source.control === true) {
      return this.#relays.handleControl(message, toHex(sender), source.addr, source.vni ?? 0, now);
    }
    const peer = this.#self === undefined ? undefined : this.#sender(toHex(sender));
    if (peer === undefined) return "disco-unknown-sender";
    const box = peer.box;
    if (box === undefined) return "low-order-key";
    const budget = isKnownSource(peer, source) ? peer.budget : this.#strangers;
    if (!budget.allows(now)) return "disco-rate";
    const payload = openDisco(message, box);
    if (payload === undefined) {
      budget.failed(now);
      return "disco-decrypt";
    }
    const parsed = parseDisco(payload);
    if (typeof parsed === "string") return parsed;
    switch (parsed.type) {
      case "ping":
        return this.#handlePing(parsed, peer, source, now);
      case "pong":
        return this.#handlePong(parsed, peer, source, now);
      case "call-me-maybe":
        return this.#handleCallMeMaybe(parsed, peer, source, now);
      case "call-me-maybe-via":
      case "allocate-request":
      case "allocate-response":
        return this.#handleRelaying(parsed, peer, source, now);
      case "bind":
      case "bind-challenge":
      case "bind-answer":
        // Between a node and a relay server only.
        return "relay-session";
      default:
        return assertNever(parsed);
    }
  }

  /** The relay server here gave a session to a peer, or to us (key ""), that asked for it. */
  answerRelayRequest(key: string, disco: string, generation: number, session: RelaySession, now: number): void {
    if (key === "") return void this.#relays.handleAllocated(undefined, generation, session, now);
    const endpoint = this.#byKey.get(key);
    if (endpoint?.disco?.hex === disco) this.#sendByDerp(endpoint, encodeAllocateResponse(generation, session));
  }

  /** A packet of this peer came through this relay: the way back when it has no home region of its own. */
  noteDerp(region: number, key: string): void {
    this.#byKey.get(key)?.noteDerp(region);
  }

  /** The relay says the peer is not there. */
  derpPeerGone(region: number, key: string): void {
    this.#byKey.get(key)?.derpPeerGone(region);
  }

  /**
   * Pings a peer for a person, directly and by DERP at once unless a direct path is trusted; see `Endpoint.ping`.
   * @param done called once: with the first pong, or undefined when none came in time or there is no such peer.
   */
  ping(
    key: string,
    size: number,
    timeoutMs: number,
    now: number,
    done: (outcome: PingOutcome | undefined) => void,
  ): void {
    const endpoint = this.#byKey.get(key);
    if (endpoint === undefined || this.#self === undefined) return done(undefined);
    endpoint.ping(size, timeoutMs, now, done);
  }

  /** Sockets or links changed: trust in all paths, and own endpoints, are forgotten, and new ones asked for. */
  rebind(now: number): void {
    this.#localAt = this.#askedAt = -Infinity;
    for (const endpoint of this.#byKey.values()) endpoint.forgetPaths();
    this.#relays.networkChanged();
    if (this.#self !== undefined) this.#ask("rebind", now);
  }

  /** Address ids held anywhere here, to survive `AddrTable.sweep`; perhaps with repetitions and 0. */
  *liveAddresses(): IterableIterator<AddrId> {
    for (const endpoint of this.#byKey.values()) yield* endpoint.addresses();
    yield* this.#relays.addresses();
  }

  /** When `advance` has something to do, Infinity while all peers are idle. */
  nextDeadline(): number {
    return Math.min(this.#deadlines.next(), this.#restunAt, this.#relays.nextDeadline());
  }

  /** Does everything that is due by `now`. */
  advance(now: number): void {
    for (let due = this.#deadlines.takeDue(now); due !== undefined; due = this.#deadlines.takeDue(now)) {
      due.advance(now);
      this.#deadlines.update(due);
    }
    this.#relays.advance(now);
    if (this.#restunAt <= now) this.#restun(now);
  }

  #sender(disco: string): DiscoPeer | undefined {
    const known = this.#discoPeers.find(disco);
    if (known !== undefined) return known;
    this.#io.senderUnknown?.(disco);
    return this.#discoPeers.find(disco);
  }

  #handlePing(
    ping: DiscoMessage & { type: "ping" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    const named = ping.nodeKey === undefined ? undefined : this.#byKey.get(toHex(ping.nodeKey));
    if (ping.nodeKey !== undefined && (named === undefined || !peer.endpoints.has(named))) {
      return "disco-unknown-sender";
    }
    if ("derp" in source) {
      const endpoint = this.#byKey.get(source.peer.hex);
      if (endpoint === undefined || !peer.endpoints.has(endpoint)) return "disco-unknown-sender";
      if (named !== undefined && named !== endpoint) return "disco-unknown-sender";
      const pong = encodePong(ping.txId, { ip: DERP_MAGIC_IP, port: source.derp });
      this.#send(peer, pong, 0, 0, source.derp, endpoint.nodeKey);
      return undefined;
    }
    const from = { ip: copyIp(this.#addrs.ip(source.addr)), port: this.#addrs.port(source.addr) };
    if (source.vni !== undefined && source.vni !== 0) {
      // The address is the relay's: no candidate, and answered every time, whether or not we use the session too.
      this.#send(peer, encodePong(ping.txId, from), source.addr, source.vni, 0, undefined);
      this.#relays.notePing(source.addr, source.vni, now);
      return undefined;
    }
    // Until a node key says which of several nodes it is, the address is a candidate for each.
    const addr = this.#addrs.pin(source.addr);
    const txId = toHex(ping.txId);
    let fresh = false;
    for (const endpoint of named === undefined ? peer.endpoints : [named]) {
      if (addr === 0 || endpoint.handlePing(addr, txId, now)) fresh = true;
    }
    if (!fresh) return undefined;
    this.#send(peer, encodePong(ping.txId, from), source.addr, 0, 0, undefined);
    return undefined;
  }

  #handlePong(
    pong: DiscoMessage & { type: "pong" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    const addr = "addr" in source ? source.addr : 0;
    const txId = toHex(pong.txId);
    for (const endpoint of peer.endpoints) if (endpoint.handlePong(txId, addr, now)) return undefined;
    const vni = "addr" in source ? source.vni ?? 0 : 0;
    if (vni !== 0 && this.#relays.handlePong(txId, addr, vni, now)) return undefined;
    return "disco-unknown-transaction";
  }

  #handleCallMeMaybe(
    message: DiscoMessage & { type: "call-me-maybe" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    if ("addr" in source) return "disco-malformed";
    const endpoint = this.#byKey.get(source.peer.hex);
    if (endpoint === undefined || !peer.endpoints.has(endpoint)) return "disco-unknown-sender";
    return endpoint.handleCallMeMaybe(this.#intern(message.endpoints), now) ? undefined : "disco-rate";
  }

  /** What two nodes and a relay's node say to each other about sessions, by DERP only. */
  #handleRelaying(
    message: DiscoMessage & { type: "call-me-maybe-via" | "allocate-request" | "allocate-response" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    if ("addr" in source) return "disco-malformed";
    const endpoint = this.#byKey.get(source.peer.hex);
    if (endpoint === undefined || !peer.endpoints.has(endpoint)) return "disco-unknown-sender";
    switch (message.type) {
      case "call-me-maybe-via":
        if (!endpoint.takeCallMeMaybe(now)) return "disco-rate";
        return this.#relays.handleCallMeMaybeVia(endpoint, message.session, now) ? undefined : "relay-denied";
      case "allocate-response": {
        const expected = this.#relays.handleAllocated(endpoint, message.generation, message.session, now);
        return expected ? undefined : "relay-session";
      }
      case "allocate-request": {
        // Who asks must be one of the two.
        const involved = message.clients.some((client) => equalBytes(client, peer.key.bytes));
        if (!involved || !this.#relayUsers.has(endpoint)) return "relay-denied";
        this.#io.relayRequested(endpoint, message.clients, message.generation);
        return undefined;
      }
    }
  }

  /** Ids of those addresses that a node can have, each once. */
  #intern(addrs: readonly AddrPort[]): AddrId[] {
    const ids = addrs.filter(isNodeAddress).map(({ ip, port }) => this.#addrs.intern(ip, port));
    return [...new Set(ids)].filter((id) => id !== 0);
  }

  #sendPing(endpoint: Endpoint, txId: Uint8Array, addr: AddrId, vni: number, derp: number, size: number): void {
    const padding = Math.max(size - DISCO_PING_SIZE, 0);
    const peer = endpoint.disco && this.#discoPeers.find(endpoint.disco.hex);
    if (peer !== undefined) this.#send(peer, encodePing(txId, this.#self, padding), addr, vni, derp, endpoint.nodeKey);
  }

  #sendByDerp(endpoint: Endpoint, payload: Uint8Array): void {
    const peer = endpoint.disco && this.#discoPeers.find(endpoint.disco.hex);
    if (peer !== undefined && endpoint.derp !== 0) this.#send(peer, payload, 0, 0, endpoint.derp, endpoint.nodeKey);
  }

  #send(
    peer: DiscoPeer,
    payload: Uint8Array,
    addr: AddrId,
    vni: number,
    derp: number,
    node: NodePublic | undefined,
  ): void {
    const box = peer.box;
    if (box === undefined) return;
    const message = sealDisco(this.#disco.public, box, this.#random(BOX_NONCE_LENGTH), payload);
    if (vni !== 0) this.#io.sendUdp(addr, encapsulate({ protocol: GENEVE_DISCO, control: false, vni }, message), true);
    else if (addr !== 0) this.#io.sendUdp(addr, message, false);
    else if (node !== undefined) this.#io.sendDerp(derp, node, message);
  }

  #wantCallMeMaybe(endpoint: Endpoint, now: number): void {
    if (now - this.#localAt < ENDPOINTS_FRESH_ENOUGH_MS) return this.#sendCallMeMaybe(endpoint, now);
    this.#callMeMaybes.add(endpoint);
    this.#ask("refresh-for-peering", now);
  }

  #sendCallMeMaybe(endpoint: Endpoint, now: number): void {
    this.#sendByDerp(endpoint, encodeCallMeMaybe(this.#local));
    endpoint.noteCallMeMaybeSent(now);
  }

  /** Asks for endpoints, unless a round asked for a moment ago may still be under way. */
  #ask(reason: string, now: number): void {
    if (now - this.#askedAt < ENDPOINTS_ASK_INTERVAL_MS) return;
    this.#askedAt = now;
    this.#io.endpointsWanted(reason);
  }

  #sessionStarted(now: number): void {
    if (this.#restunAt === Infinity) this.#restunAt = Math.max(now, this.#nextRestun(this.#localAt));
  }

  /** Keeps the NAT's mapping of this node alive while there is any session. */
  #restun(now: number): void {
    if (this.#deadlines.next() === Infinity) {
      this.#restunAt = Infinity;
      return;
    }
    this.#restunAt = this.#nextRestun(now);
    this.#ask("periodic", now);
  }

  #nextRestun(since: number): number {
    const [high, low] = this.#random(2);
    return since + RESTUN_MIN_MS + ((high << 8 | low) / 65_536) * (RESTUN_MAX_MS - RESTUN_MIN_MS);
  }
}

/** The message came by a path this peer is known by: an address of its candidates, or a relay, which says who sends. */
function isKnownSource(peer: DiscoPeer, source: DiscoSource): boolean {
  if ("derp" in source) return [...peer.endpoints].some((endpoint) => endpoint.key === source.peer.hex);
  for (const endpoint of peer.endpoints) if (endpoint.knows(source.addr)) return true;
  return false;
}

function keyBytes(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  if (bytes?.length !== 32) throw new TypeError(`Cannot use "${hex}" as a key, want 64 hex digits`);
  return bytes;
}

function copyIp(ip: Uint8Array): IpBytes {
  return new Uint8Array(ip);
}

/**
 * False for addresses that cannot be a node's: port 0, unspecified, multicast, broadcast, the stand-in for DERP, and
 * IPv6 link-local, which means nothing without an interface.
 */
function isNodeAddress({ ip, port }: AddrPort): boolean {
  if (port === 0 || ip.every((byte) => byte === 0)) return false;
  if (ip.length === 4) return ip[0] < 224 && !DERP_MAGIC_IP.every((byte, i) => ip[i] === byte);
  return ip[0] !== 0xff && !(ip[0] === 0xfe && (ip[1] & 0xc0) === 0x80);
}
