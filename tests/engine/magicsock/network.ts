/**
 * A scripted network for magicsocks: UDP with latency, NATs and blocks, a DERP relay, STUN rounds that take their time,
 * all on one fake clock. Nothing is real but the magicsocks.
 */
import type { Drop } from "../../../base/drops.ts";
import { parseAddrPort } from "../../../base/ip.ts";
import { DiscoPrivate, NodePrivate, type NodePublic } from "../../../base/keys.ts";
import type { PeerConfig, PingOutcome } from "../../../engine/config.ts";
import type { Endpoint } from "../../../engine/magicsock/endpoint.ts";
import { EndpointTracker } from "../../../engine/magicsock/endpoint_tracker.ts";
import { GENEVE_LENGTH, readGeneve } from "../../../engine/geneve.ts";
import type { DiscoSource } from "../../../engine/magicsock/disco_receiver.ts";
import { Magicsock } from "../../../engine/magicsock/magicsock.ts";
import { RelaySessions } from "../../../engine/peer_relay/sessions.ts";
import { MemoryAddrs } from "../../support/memory_ports.ts";
import { SeededRandom } from "../../support/random.ts";

const STEP_MS = 10;
const NAT_MAPPING_MS = 30_000;
const UDP_LATENCY_MS = 7;
const DERP_LATENCY_MS = 20;
const STUN_MS = 150;
const STUN_BLOCKED_MS = 5_000;

/** "hard" maps every destination to another port; both kinds let in only whom the node has sent to. */
export type Nat = "none" | "easy" | "hard";

export interface NodeOptions {
  readonly name: string;
  /** `ip:port` of its socket. */
  readonly local: string;
  /** Another address of the same socket, without NAT. */
  readonly also?: string;
  readonly nat?: Nat;
  /** Address of the NAT. */
  readonly publicIp?: string;
}

/** A node: one magicsock, its NAT, and what happened to it. */
export class SimNode {
  readonly name: string;
  readonly key: NodePublic;
  readonly disco: DiscoPrivate;
  readonly addrs = new MemoryAddrs();
  readonly magicsock: Magicsock;
  readonly drops: Drop[] = [];
  /** What it asked its daemon for. */
  readonly wanted: string[] = [];
  /** The relay server that runs on it. */
  relay: SimRelay | undefined;
  /** Its paths, in order: "1.2.3.4:5", or "" for a relay. */
  readonly paths: { at: number; path: string }[] = [];
  udpSent = 0;
  /** Where to, in order. */
  readonly udpTo: string[] = [];
  derpSent = 0;
  readonly #options: NodeOptions;
  readonly #network: Network;
  /** By `destination` (hard) or "" (easy): the public port and who may answer until when. */
  readonly #mappings = new Map<string, { port: number; usedAt: number; allowed: Map<string, number> }>();
  readonly #tracker = new EndpointTracker();
  #stunDoneAt = Infinity;

  constructor(network: Network, options: NodeOptions) {
    this.#network = network;
    this.#options = options;
    this.name = options.name;
    const { random } = network;
    this.disco = DiscoPrivate.generate(random.bytes);
    this.key = NodePrivate.generate(random.bytes).public;
    this.magicsock = new Magicsock({
      disco: this.disco,
      random: random.bytes,
      addrs: this.addrs,
      io: {
        sendUdp: (to, payload) => network.sendUdp(this, this.addrs.text(to), payload),
        sendDerp: (region, peer, payload) => network.sendDerp(this, region, peer, payload),
        endpointsWanted: (reason) => this.#startStun(reason),
        relayRequested: (endpoint, clients, generation) => this.#askRelay(endpoint, clients, generation),
        pathChanged: (endpoint) => this.paths.push({ at: network.now, path: endpoint.path.address(network.now) }),
      },
    });
    this.magicsock.setSelf(this.key, 1);
  }

  /** What control tells others of this node. */
  config(endpoints: readonly string[] = [this.#options.local]): PeerConfig {
    return {
      key: this.key.hex,
      disco: this.disco.public.hex,
      allowedIps: [],
      endpoints,
      derp: 1,
      jailed: false,
      addresses: [],
      cap: 121,
    };
  }

  #askRelay(
    endpoint: Endpoint | undefined,
    clients: readonly [Uint8Array, Uint8Array],
    generation: number,
  ): void {
    const disco = (endpoint?.disco ?? this.disco.public).hex;
    const session = this.relay?.allocate(disco, clients);
    if (session === undefined) return;
    this.magicsock.answerRelayRequest(endpoint?.key ?? "", disco, generation, session, this.#network.now);
  }

  peer(other: SimNode): Endpoint {
    return this.magicsock.endpoint(other.key.hex)!;
  }

  ping(other: SimNode, timeoutMs = 5000, size = 0): { outcome: PingOutcome | undefined; done: boolean } {
    const result: { outcome: PingOutcome | undefined; done: boolean } = { outcome: undefined, done: false };
    this.magicsock.ping(other.key.hex, size, timeoutMs, this.#network.now, (outcome) => {
      result.outcome = outcome;
      result.done = true;
    });
    return result;
  }

  advance(now: number): void {
    if (this.magicsock.nextDeadline() <= now) this.magicsock.advance(now);
    if (this.#stunDoneAt > now) return;
    this.#stunDoneAt = Infinity;
    const found = [this.#options.local];
    if (this.#network.udpAllowed && this.#options.nat) found.push(this.leaves("198.51.100.1:3478", now));
    const told = this.#tracker.update(found.map((addr) => ({ addr, type: 1 })), now);
    this.magicsock.setLocalEndpoints(told.map(({ addr }) => parseAddrPort(addr)!), true, now);
  }

  #startStun(reason: string): void {
    this.wanted.push(reason);
    if (this.#stunDoneAt !== Infinity) return;
    this.#stunDoneAt = this.#network.now + (this.#network.udpAllowed ? STUN_MS : STUN_BLOCKED_MS);
  }

  /** The source address the world sees for a datagram to `to`. */
  leaves(to: string, now: number): string {
    if ((this.#options.nat ?? "none") === "none") return this.#options.local;
    const id = this.#options.nat === "hard" ? to : "";
    let mapping = this.#mappings.get(id);
    if (mapping === undefined || now - mapping.usedAt > NAT_MAPPING_MS) {
      mapping = { port: 10_000 + this.#network.random.int(50_000), usedAt: now, allowed: new Map() };
      this.#mappings.set(id, mapping);
    }
    mapping.usedAt = now;
    mapping.allowed.set(to, now + NAT_MAPPING_MS);
    return `${this.#options.publicIp}:${mapping.port}`;
  }

  /** Whether a datagram to `to` from `from` gets in here. */
  accepts(from: string, to: string, now: number): boolean {
    if (to === this.#options.also) return true;
    if ((this.#options.nat ?? "none") === "none") return to === this.#options.local;
    return [...this.#mappings.values()].some((mapping) =>
      to === `${this.#options.publicIp}:${mapping.port}` && (mapping.allowed.get(from) ?? 0) >= now
    );
  }
}

/** A relay server on an address of its own. */
export class SimRelay {
  readonly address: string;
  readonly addrs = new MemoryAddrs();
  readonly sessions: RelaySessions;
  readonly #network: Network;
  /** False: it is silent, as one whose machine is off. */
  alive = true;
  /** Datagrams of data it forwarded. */
  forwarded = 0;

  constructor(network: Network, address: string) {
    this.#network = network;
    this.address = address;
    const { bytes: random } = network.random;
    this.sessions = new RelaySessions({ disco: DiscoPrivate.generate(random), random, addrs: this.addrs });
    network.relays.push(this);
  }

  allocate(asker: string, clients: readonly [Uint8Array, Uint8Array]) {
    if (!this.alive) return undefined;
    const session = this.sessions.allocate(asker, clients[0], clients[1], this.#network.now);
    return session && { ...session, addrs: [parseAddrPort("10.66.66.66:1")!, parseAddrPort(this.address)!] };
  }

  /** A datagram arrives; what it leads to leaves. */
  take(from: string, packet: Uint8Array): void {
    const { now } = this.#network;
    const header = readGeneve(packet, 0, packet.length);
    if (!this.alive || header === undefined) return;
    const { ip, port } = parseAddrPort(from)!;
    const source = this.addrs.intern(ip, port);
    if (header.control) {
      const reply = this.sessions.handleControl(header.vni, source, packet.subarray(GENEVE_LENGTH), now);
      if (reply instanceof Uint8Array) this.#network.fromRelay(this, from, reply);
      return;
    }
    const to = this.sessions.forward(header.vni, source, 1, packet.length, now);
    if (to === 0) return;
    this.forwarded++;
    this.#network.fromRelay(this, this.addrs.text(to), packet);
  }

  /** Whether data that comes from `from` for this session now would arrive at `peer`. */
  reaches(vni: number, from: string, peer: SimNode): boolean {
    if (!this.alive) return false;
    const { ip, port } = parseAddrPort(from)!;
    const to = this.sessions.forward(vni, this.addrs.intern(ip, port), 1, 100, this.#network.now);
    return to !== 0 && peer.accepts(this.address, this.addrs.text(to), this.#network.now);
  }
}

/** The world between nodes. */
export class Network {
  readonly random: SeededRandom;
  readonly nodes: SimNode[] = [];
  readonly relays: SimRelay[] = [];
  now = 1_000_000;
  /** False drops all of UDP, STUN too: beyond the NATs, which see it leave, or before them. */
  udpAllowed = true;
  blockedBehindNat = false;
  derpAllowed = true;
  /** Milliseconds to this address. */
  latency: (to: string) => number = () => UDP_LATENCY_MS;
  /** Decides on single datagrams; false drops. */
  gate: (from: SimNode, to: SimNode) => boolean = () => true;
  #inFlight: { at: number; deliver: () => unknown }[] = [];

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  add(options: NodeOptions): SimNode {
    const node = new SimNode(this, options);
    this.nodes.push(node);
    return node;
  }

  /** Whether data that `from` sends to this address now would arrive at `peer`. */
  reaches(from: SimNode, to: string, peer: SimNode): boolean {
    return this.udpAllowed && this.gate(from, peer) && peer.accepts(from.leaves(to, this.now), to, this.now);
  }

  sendUdp(from: SimNode, to: string, payload: Uint8Array): void {
    from.udpSent++;
    from.udpTo.push(to);
    if (this.blockedBehindNat && !this.udpAllowed) return;
    const source = from.leaves(to, this.now);
    const relay = this.relays.find(({ address }) => address === to);
    if (relay !== undefined) return this.#later(this.latency(to), () => this.udpAllowed && relay.take(source, payload));
    this.#later(this.latency(to), () => {
      const node = this.nodes.find((candidate) => candidate !== from && candidate.accepts(source, to, this.now));
      if (node === undefined || !this.udpAllowed || !this.gate(from, node)) return;
      const { ip, port } = parseAddrPort(source)!;
      this.#hand(node, payload, { addr: node.addrs.intern(ip, port) });
    });
  }

  /** What a relay server sends. */
  fromRelay(relay: SimRelay, to: string, packet: Uint8Array): void {
    this.#later(this.latency(relay.address), () => {
      const node = this.nodes.find((candidate) => candidate.accepts(relay.address, to, this.now));
      const header = readGeneve(packet, 0, packet.length)!;
      if (node === undefined || !this.udpAllowed) return;
      const { ip, port } = parseAddrPort(relay.address)!;
      const { vni, control } = header;
      this.#hand(node, packet.slice(GENEVE_LENGTH), { addr: node.addrs.intern(ip, port), vni, control });
    });
  }

  sendDerp(from: SimNode, region: number, peer: NodePublic, payload: Uint8Array): void {
    from.derpSent++;
    if (!this.derpAllowed) return;
    this.#later(DERP_LATENCY_MS, () => {
      const node = this.nodes.find((candidate) => candidate.key.equals(peer));
      if (node === undefined) return;
      node.magicsock.noteDerp(region, from.key.hex);
      this.#hand(node, payload, { derp: region, peer: from.key });
    });
  }

  #hand(node: SimNode, payload: Uint8Array, source: DiscoSource): void {
    const drop = node.magicsock.handleDisco(payload, source, this.now);
    if (drop !== undefined) node.drops.push(drop);
  }

  #later(delay: number, deliver: () => unknown): void {
    this.#inFlight.push({ at: this.now + delay, deliver });
  }

  /** Lets time pass; `tick` runs every 10 ms. */
  run(forMs: number, tick: () => void = () => {}): void {
    for (const until = this.now + forMs; this.now < until;) {
      this.now += STEP_MS;
      const due = this.#inFlight.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at);
      this.#inFlight = this.#inFlight.filter(({ at }) => at > this.now);
      for (const { deliver } of due) deliver();
      for (const node of this.nodes) node.advance(this.now);
      tick();
    }
  }
}

/** Makes two nodes peers of each other. */
export function introduce(a: SimNode, b: SimNode, now: number): void {
  a.magicsock.upsertPeer(b.config(), now);
  b.magicsock.upsertPeer(a.config(), now);
}
