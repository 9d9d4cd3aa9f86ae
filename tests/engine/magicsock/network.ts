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
import { Magicsock } from "../../../engine/magicsock/magicsock.ts";
import type { AddrId } from "../../../engine/ports.ts";
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
  /** Its paths, in order: "1.2.3.4:5", or "" for a relay. */
  readonly paths: { at: number; path: string }[] = [];
  udpSent = 0;
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
        relayRequested: () => {},
        pathChanged: (endpoint) => this.paths.push({ at: network.now, path: endpoint.currentAddress(network.now) }),
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
      cap: 0,
    };
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
    this.magicsock.setLocalEndpoints(told.map(({ addr }) => parseAddrPort(addr)!), now);
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

/** The world between nodes. */
export class Network {
  readonly random: SeededRandom;
  readonly nodes: SimNode[] = [];
  now = 1_000_000;
  /** False drops all of UDP, STUN too: beyond the NATs, which see it leave, or before them. */
  udpAllowed = true;
  blockedBehindNat = false;
  derpAllowed = true;
  /** Milliseconds to this address. */
  latency: (to: string) => number = () => UDP_LATENCY_MS;
  /** Decides on single datagrams; false drops. */
  gate: (from: SimNode, to: SimNode) => boolean = () => true;
  #inFlight: { at: number; deliver: () => void }[] = [];

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
    if (this.blockedBehindNat && !this.udpAllowed) return;
    const source = from.leaves(to, this.now);
    this.#later(this.latency(to), () => {
      const node = this.nodes.find((candidate) => candidate !== from && candidate.accepts(source, to, this.now));
      if (node === undefined || !this.udpAllowed || !this.gate(from, node)) return;
      const { ip, port } = parseAddrPort(source)!;
      this.#hand(node, payload, { addr: node.addrs.intern(ip, port) });
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

  #hand(node: SimNode, payload: Uint8Array, source: { addr: AddrId } | { derp: number; peer: NodePublic }): void {
    const drop = node.magicsock.handleDisco(payload, source, this.now);
    if (drop !== undefined) node.drops.push(drop);
  }

  #later(delay: number, deliver: () => void): void {
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
