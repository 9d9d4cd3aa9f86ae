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
import { fromHex } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import { type AddrPort, parseAddrPort } from "../../base/ip.ts";
import { type DiscoPrivate, DiscoPublic, NodePublic, type RandomBytes } from "../../base/keys.ts";
import type { PeerConfig, PingOutcome } from "../config.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import { Deadlines } from "../wg/deadlines.ts";
import { RELAY_CAPABILITY } from "./constants.ts";
import { encodeCallMeMaybe } from "./disco.ts";
import { DiscoPeers } from "./disco_peers.ts";
import { DiscoReceiver, type DiscoSleepers, type DiscoSource } from "./disco_receiver.ts";
import { encodeAllocateResponse, type RelaySession } from "./disco_relay.ts";
import { DiscoSender } from "./disco_sender.ts";
import { Endpoint } from "./endpoint.ts";
import type { EndpointOwner } from "./endpoint_owner.ts";
import { internNodeAddresses } from "./node_address.ts";
import { OwnEndpoints } from "./own_endpoints.ts";
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
  /** Peers that its owner knows but has not added. */
  readonly sleepers?: DiscoSleepers;
  /** A peer that may, or this node (undefined), wants a session of the relay server here: `answerRelayRequest`. */
  relayRequested(
    endpoint: Endpoint | undefined,
    clients: readonly [Uint8Array, Uint8Array],
    generation: number,
  ): void;
}

/** The paths to all peers. Every `now` is milliseconds of one clock, best with fractions: latencies come from it. */
export class Magicsock {
  readonly #addrs: AddrTable;
  readonly #owner: EndpointOwner;
  readonly #byKey = new Map<string, Endpoint>();
  readonly #discoPeers: DiscoPeers;
  readonly #deadlines = new Deadlines<Endpoint>();
  readonly #own: OwnEndpoints;
  readonly #sender: DiscoSender;
  readonly #receiver: DiscoReceiver;
  readonly #relays: RelayClient;
  /** Peers that may ask the relay server here. */
  readonly #relayUsers = new WeakSet<Endpoint>();
  /** Control wants no heartbeats (`silent-disco`). */
  silentDisco = false;
  #homeDerp = 0;

  constructor(options: { disco: DiscoPrivate; random: RandomBytes; io: MagicsockIo; addrs: AddrTable }) {
    const { disco, random, io, addrs } = options;
    this.#addrs = addrs;
    this.#discoPeers = new DiscoPeers(disco);
    const sender = this.#sender = new DiscoSender({
      disco,
      random,
      peers: this.#discoPeers,
      sendUdp: (to, payload, relayed) => io.sendUdp(to, payload, relayed),
      sendDerp: (region, peer, payload) => io.sendDerp(region, peer, payload),
    });
    this.#own = new OwnEndpoints({
      random,
      ask: (reason) => io.endpointsWanted(reason),
      tell: (endpoint, own, now) => {
        sender.byDerp(endpoint, encodeCallMeMaybe(own));
        endpoint.noteCallMeMaybeSent(now);
      },
    });
    this.#owner = {
      addrs,
      random,
      isSilent: () => this.silentDisco,
      sendPing: (endpoint, txId, addr, vni, derp, size) => sender.ping(endpoint, txId, { addr, vni, derp }, size),
      relayWanted: (endpoint, now) => this.#relays.want(endpoint, now),
      callMeMaybeWanted: (endpoint, now) => this.#own.tell(endpoint, now),
      sessionStarted: (now) => this.#own.sessionStarted(now),
      deadlineChanged: (endpoint) => this.#deadlines.update(endpoint),
      pathChanged: (endpoint) => io.pathChanged(endpoint),
    };
    this.#relays = new RelayClient({
      disco,
      random,
      addrs,
      sendUdp: (to, packet) => io.sendUdp(to, packet, true),
      sendByDerp: (endpoint, payload) => sender.byDerp(endpoint, payload),
      sendPing: (endpoint, txId, addr, vni) => sender.ping(endpoint, txId, { addr, vni, derp: 0 }, 0),
      allocateHere: (clients, generation) => io.relayRequested(undefined, clients, generation),
      intern: (endpoints) => internNodeAddresses(addrs, endpoints),
    });
    this.#receiver = new DiscoReceiver({
      addrs,
      byKey: this.#byKey,
      discoPeers: this.#discoPeers,
      sender,
      relays: this.#relays,
      relayUsers: this.#relayUsers,
      sleepers: io.sleepers,
      relayRequested: (endpoint, clients, generation) => io.relayRequested(endpoint, clients, generation),
    });
  }

  /**
   * Own node key, undefined when logged out or stopped: then all sessions end and no message is answered.
   * @param relay whether peer relays are used, and the one here is one to ask
   */
  setSelf(nodeKey: NodePublic | undefined, homeDerp: number, relay = { client: true, self: false }): void {
    this.#sender.self = nodeKey;
    this.#homeDerp = homeDerp;
    this.#relays.configure(nodeKey === undefined ? { client: false, self: false } : relay);
    if (nodeKey !== undefined) return;
    this.#own.stop();
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
    this.#own.set(addrs, fresh, now);
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
    endpoint.configure({
      disco,
      derp: config.derp,
      endpoints: internNodeAddresses(this.#addrs, endpoints),
      relayCapable,
    }, now);
    this.#relays.setServer(endpoint, relayCapable && config.relay?.serves === true);
    if (config.relay?.mayAsk === true) this.#relayUsers.add(endpoint);
    else this.#relayUsers.delete(endpoint);
    return endpoint;
  }

  removePeer(key: string): void {
    const endpoint = this.#byKey.get(key);
    if (endpoint === undefined) return;
    this.#byKey.delete(key);
    this.#own.forget(endpoint);
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
    return this.#receiver.handle(message, source, now);
  }

  /** The relay server here gave a session to a peer, or to us (key ""), that asked for it. */
  answerRelayRequest(key: string, disco: string, generation: number, session: RelaySession, now: number): void {
    if (key === "") return void this.#relays.handleAllocated(undefined, generation, session, now);
    const endpoint = this.#byKey.get(key);
    if (endpoint?.disco?.hex === disco) this.#sender.byDerp(endpoint, encodeAllocateResponse(generation, session));
  }

  /** A packet of this peer came through this relay: the way back when it has no home region of its own. */
  noteDerp(region: number, key: string): void {
    this.#byKey.get(key)?.noteDerp(region);
  }

  /** This machine has no way to `addr` now: whoever is reached there is left to the relay until a pong comes again. */
  noteUnreachable(addr: AddrId): void {
    for (const endpoint of this.#byKey.values()) endpoint.noteUnreachable(addr);
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
    if (endpoint === undefined || this.#sender.self === undefined) return done(undefined);
    endpoint.ping(size, timeoutMs, now, done);
  }

  /** Sockets or links changed: trust in all paths, and own endpoints, are forgotten, and new ones asked for. */
  rebind(now: number): void {
    for (const endpoint of this.#byKey.values()) endpoint.forgetPaths();
    this.#relays.networkChanged();
    this.#own.networkChanged(this.#sender.self !== undefined, now);
  }

  /** Address ids held anywhere here, to survive `AddrTable.sweep`; perhaps with repetitions and 0. */
  *liveAddresses(): IterableIterator<AddrId> {
    for (const endpoint of this.#byKey.values()) yield* endpoint.addresses();
    yield* this.#relays.handshakes.addresses();
  }

  /** When `advance` has something to do, Infinity while all peers are idle. */
  nextDeadline(): number {
    return Math.min(this.#deadlines.next(), this.#own.deadline, this.#relays.nextDeadline());
  }

  /** Does everything that is due by `now`. */
  advance(now: number): void {
    for (let due = this.#deadlines.takeDue(now); due !== undefined; due = this.#deadlines.takeDue(now)) {
      due.advance(now);
      this.#deadlines.update(due);
    }
    this.#relays.advance(now);
    this.#own.advance(() => this.#anySession(now), now);
  }

  /** Not by timers: with `silent-disco` a session has none. */
  #anySession(now: number): boolean {
    for (const endpoint of this.#byKey.values()) if (endpoint.active(now)) return true;
    return false;
  }
}

function keyBytes(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  if (bytes?.length !== 32) throw new TypeError(`Cannot use "${hex}" as a key, want 64 hex digits`);
  return bytes;
}
