/**
 * Network to TUN: tell what a datagram is, open data in place, check it, coalesce, write.
 *
 * ```
 *   recvmsg (GRO: many datagrams) ─ classify ─┬─ WireGuard data ─ replay ─ open ─ inner length ─ allowed source ─ filter ─ TUN
 *                                             ├─ WireGuard handshake ─▶ wg device
 *                                             ├─ disco ─▶ magicsock
 *                                             └─ STUN answer ─▶ main thread (netcheck)
 * ```
 * A datagram from a DERP relay takes the same way; one from a peer relay does once its Geneve header is off. Nothing here
 * throws for what a packet says; every refusal is counted.
 */
import type { DropCounters } from "../../base/drops.ts";
import { NodePublic } from "../../base/keys.ts";
import { to16 } from "../../base/ip.ts";
import { concat, toHex } from "../../base/bytes.ts";
import type { Filter } from "../filter/filter.ts";
import { GENEVE_DISCO, GENEVE_LENGTH, GENEVE_WIREGUARD_WORD, readGeneve, vniAt } from "../geneve.ts";
import { classify, isDisco } from "../magicsock/classify.ts";
import type { DiscoSource } from "../magicsock/disco_receiver.ts";
import type { Magicsock } from "../magicsock/magicsock.ts";
import { Packet, parsePacket, PROTO } from "../packet.ts";
import type { StunGate } from "../magicsock/stun_gate.ts";
import type { AddrId, AddrTable, AeadProvider, Arena, UdpPort } from "../ports.ts";
import { MESSAGE_DATA } from "../wg/messages.ts";
import type { HandshakeSource, WgDevice } from "../wg/device.ts";
import type { Keypair } from "../wg/keypair.ts";
import type { Coalescer } from "./coalesce.ts";
import type { PathCounters } from "./counters.ts";
import { DATA_HEADER, DATA_OVERHEAD, DATAGRAM_MAX } from "./layout.ts";
import type { Layout } from "./layout.ts";
import type { Peers } from "./peers.ts";
import type { PlanePeer } from "./plane_peer.ts";

const EMSGSIZE = 90;
/** Receives of one turn, so that a flood of small datagrams does not keep the other direction waiting. */
const MOST_RECEIVES = 256;

/** Packets that helpers open before the worker goes on with them. */
const MOST_OPENING = 256;

/** What handshakes are rate-limited by: an IPv4 address, or the /64 that one IPv6 subscriber commonly has to itself. */
function rateKey(ip: Uint8Array): string {
  return toHex(ip.length === 4 ? ip : ip.subarray(0, 8));
}

/** The relay a datagram came by, for those that did. */
export interface Relay {
  readonly region: number;
  readonly peer: NodePublic;
}

/** A handshake's source that can be answered; `relay` is set when it came by DERP, `vni` when by a peer relay. */
export interface AnswerableSource extends HandshakeSource {
  readonly relay: Relay | undefined;
  readonly vni: number;
}

/** A data packet that is being opened; reused. */
class Opening {
  ticket = 0;
  at = 0;
  bytes = 0;
  keypair: Keypair | undefined;
  source: AddrId = 0;
  vni = 0;
  relay: Relay | undefined;
}

/** A UDP source, its parts made when first wanted: most of a flood is refused by mac1 and must not fill the address table. */
class UdpSource implements AnswerableSource {
  readonly relay = undefined;
  readonly vni: number;
  readonly #addrs: AddrTable;
  readonly #source: AddrId;

  constructor(addrs: AddrTable, source: AddrId, vni: number) {
    this.#addrs = addrs;
    this.#source = source;
    this.vni = vni;
  }

  get id(): AddrId {
    return this.#addrs.pin(this.#source);
  }

  get bytes(): Uint8Array {
    const port = this.#addrs.port(this.#source);
    return concat(to16(this.#addrs.ip(this.#source)), Uint8Array.of(port >> 8, port & 0xff));
  }

  get rateKey(): string {
    return rateKey(this.#addrs.ip(this.#source));
  }
}

/** What the receive path works with. */
export interface ReceiveOptions {
  readonly arena: Arena;
  readonly layout: Layout;
  readonly addrs: AddrTable;
  readonly provider: AeadProvider;
  readonly wg: WgDevice;
  readonly magicsock: Magicsock;
  readonly peers: Peers;
  readonly coalescer: Coalescer;
  readonly drops: DropCounters;
  readonly paths: PathCounters;
  readonly stunGate: StunGate;
  /** A STUN answer from `source`; the bytes are borrowed. */
  stun(payload: Uint8Array, source: AddrId): void;
  /** A TSMP packet, which the engine answers itself; the bytes are borrowed. */
  tsmp(packet: Uint8Array, peer: PlanePeer): void;
}

/** Opens what peers sent. */
export class Receive {
  readonly #options: ReceiveOptions;
  readonly #packet = new Packet();
  /** Packets that helpers open, in order of arrival. */
  readonly #opening = Array.from({ length: MOST_OPENING }, () => new Opening());
  #openingCount = 0;
  #derpCursor = 0;
  /** Told last about received data, so that it is told once a batch. */
  #lastKeypair: Keypair | undefined;
  #lastSource: AddrId = 0;
  #lastVni = 0;
  #lastWasData = false;
  filter: Filter | undefined;
  /** For peers that may open nothing towards us. */
  jailFilter: Filter | undefined;

  constructor(options: ReceiveOptions) {
    this.#options = options;
  }

  /**
   * Receives until the socket is empty, the buffer is full or it is the other direction's turn. Datagrams lie end to end:
   * the more there are, joined by the kernel or not, the longer the runs for the TUN.
   */
  drain(socket: UdpPort, now: number): void {
    const { layout, coalescer, paths, drops } = this.#options;
    const direct = paths.udp(socket.family, false);
    const relayed = paths.udp(socket.family, true);
    let at = layout.rx;
    for (let receives = 0; receives < MOST_RECEIVES && at + DATAGRAM_MAX <= layout.rxEnd; receives++) {
      const bytes = socket.recv(at, DATAGRAM_MAX);
      if (bytes < 0) {
        if (bytes !== -EMSGSIZE) break;
        drops.count("too-long");
        continue;
      }
      if (bytes === 0) drops.count("too-short");
      const { segment, source } = socket;
      for (let from = 0; from < bytes; from += segment) {
        const length = Math.min(segment, bytes - from);
        const path = this.#udpDatagram(at + from, length, source, now) ? relayed : direct;
        path.rxPackets++;
        path.rxBytes += length;
      }
      at = (at + bytes + 15) & ~15;
    }
    this.#finishOpening(now);
    coalescer.flush();
    this.#lastKeypair = undefined;
  }

  /** A datagram that a relay delivered; copied. `flushDerp` must follow the last of a batch. */
  fromDerp(payload: Uint8Array, relay: Relay, now: number): void {
    const { arena, layout, coalescer, drops, paths } = this.#options;
    if (payload.length > DATAGRAM_MAX) return drops.count("derp-too-large");
    if (this.#derpCursor + payload.length > DATAGRAM_MAX) {
      this.#finishOpening(now);
      coalescer.flush();
      this.#derpCursor = 0;
    }
    const at = layout.derp + this.#derpCursor;
    arena.u8.set(payload, at);
    this.#derpCursor = (this.#derpCursor + payload.length + 15) & ~15;
    paths.derp.rxPackets++;
    paths.derp.rxBytes += payload.length;
    this.#datagram(at, payload.length, 0, relay, now);
  }

  /** Writes what relayed datagrams left to write. */
  flushDerp(now: number): void {
    this.#finishOpening(now);
    this.#options.coalescer.flush();
    this.#derpCursor = 0;
    this.#lastKeypair = undefined;
  }

  /** True for one that came through a peer relay. */
  #udpDatagram(at: number, bytes: number, source: AddrId, now: number): boolean {
    const { u8, view } = this.#options.arena;
    const word = bytes >= DATA_OVERHEAD ? view.getUint32(at, true) : 0;
    if (word === MESSAGE_DATA) {
      this.#data(at, bytes, source, 0, undefined, now);
      return false;
    }
    if (word === GENEVE_WIREGUARD_WORD && u8[at + 7] === 0) {
      this.#relayed(at + GENEVE_LENGTH, bytes - GENEVE_LENGTH, source, vniAt(u8, at), now);
      return true;
    }
    const geneve = readGeneve(u8, at, bytes);
    if (geneve === undefined || geneve.protocol !== GENEVE_DISCO) {
      this.#datagram(at, bytes, source, undefined, now);
      return geneve !== undefined;
    }
    const message = u8.slice(at + GENEVE_LENGTH, at + bytes);
    if (isDisco(message, 0, message.length)) this.#disco(message, { addr: source, ...geneve }, now);
    else this.#options.drops.count("unknown-type");
    return true;
  }

  /** WireGuard through the session `vni` of the relay server at `source`. */
  #relayed(at: number, bytes: number, source: AddrId, vni: number, now: number): void {
    const { arena, drops } = this.#options;
    if (bytes >= DATA_OVERHEAD && arena.view.getUint32(at, true) === MESSAGE_DATA) {
      return this.#data(at, bytes, source, vni, undefined, now);
    }
    if (classify(arena.u8, at, bytes) !== "wireguard") return drops.count("unknown-type");
    this.#handshake(arena.u8.slice(at, at + bytes), source, vni, undefined, now);
  }

  #disco(message: Uint8Array, from: DiscoSource, now: number): void {
    this.#finishOpening(now);
    const drop = this.#options.magicsock.handleDisco(message, from, now);
    if (drop !== undefined) this.#options.drops.count(drop);
  }

  #datagram(at: number, bytes: number, source: AddrId, relay: Relay | undefined, now: number): void {
    const { arena, drops } = this.#options;
    if (bytes >= DATA_OVERHEAD && arena.view.getUint32(at, true) === MESSAGE_DATA) {
      return this.#data(at, bytes, source, 0, relay, now);
    }
    switch (classify(arena.u8, at, bytes)) {
      case "disco": {
        const from = relay === undefined ? { addr: source } : { derp: relay.region, peer: relay.peer };
        return this.#disco(arena.u8.slice(at, at + bytes), from, now);
      }
      case "stun":
        if (relay !== undefined) return drops.count("unknown-type");
        if (!this.#options.stunGate.takes(arena.u8, at, now)) return drops.count("stun-unknown-transaction");
        return this.#options.stun(arena.u8.subarray(at, at + bytes), source);
      case "wireguard":
        return this.#handshake(arena.u8.slice(at, at + bytes), source, 0, relay, now);
      default:
        return drops.count(bytes < 4 ? "too-short" : "unknown-type");
    }
  }

  #handshake(message: Uint8Array, source: AddrId, vni: number, relay: Relay | undefined, now: number): void {
    const { addrs, wg, drops, magicsock } = this.#options;
    this.#finishOpening(now);
    // A handshake may retire the keypair that the batch used so far.
    this.#lastKeypair = undefined;
    const from: AnswerableSource = relay === undefined
      ? new UdpSource(addrs, source, vni)
      : { id: 0, bytes: relay.peer.bytes, rateKey: relay.peer.hex, relay, vni };
    const { peer, drop } = wg.handleHandshake(message, from, now);
    if (drop !== undefined) return drops.count(drop);
    if (peer === undefined) return;
    const planePeer = peer.data as PlanePeer;
    planePeer.rxBytes += message.length;
    if (relay !== undefined) magicsock.noteDerp(relay.region, relay.peer.hex);
    planePeer.endpoint.noteReceived(source, vni, now);
  }

  #data(at: number, bytes: number, source: AddrId, vni: number, relay: Relay | undefined, now: number): void {
    const { arena, wg, provider, drops } = this.#options;
    const { view } = arena;
    const index = view.getUint32(at + 4, true);
    const last = this.#lastKeypair;
    const keypair = last !== undefined && last.localIndex === index ? last : wg.keypairByIndex(index);
    if (keypair === undefined) return drops.count("unknown-index");
    const low = view.getUint32(at + 8, true);
    const high = view.getUint32(at + 12, true);
    const refused = keypair.expired(now) ? "keypair-expired" : keypair.replay.check(low, high);
    if (refused !== undefined) return drops.count(refused);
    const body = at + DATA_HEADER;
    const length = bytes - DATA_OVERHEAD;
    if (provider.helpers !== undefined) {
      const opening = this.#opening[this.#openingCount++];
      opening.ticket = provider.helpers.openLater(keypair.receiveKey, body, length, low, high);
      opening.at = at;
      opening.bytes = bytes;
      opening.keypair = keypair;
      opening.source = source;
      opening.vni = vni;
      opening.relay = relay;
      if (this.#openingCount === MOST_OPENING) this.#finishOpening(now);
      return;
    }
    if (!provider.open(keypair.receiveKey, body, length, low, high)) return drops.count("decrypt");
    this.#opened(at, bytes, keypair, source, vni, relay, now);
  }

  /** Goes on, in their order, with the packets that helpers were given to open. */
  #finishOpening(now: number): void {
    const count = this.#openingCount;
    if (count === 0) return;
    this.#openingCount = 0;
    const { provider, drops } = this.#options;
    const helpers = provider.helpers!;
    helpers.settle();
    for (let i = 0; i < count; i++) {
      const opening = this.#opening[i];
      const { at, bytes, keypair, source, vni, relay } = opening;
      if (helpers.opened(opening.ticket)) this.#opened(at, bytes, keypair!, source, vni, relay, now);
      else drops.count("decrypt");
      opening.keypair = opening.relay = undefined;
    }
  }

  /** Takes over the opened packet of the datagram at `at`. */
  #opened(
    at: number,
    bytes: number,
    keypair: Keypair,
    source: AddrId,
    vni: number,
    relay: Relay | undefined,
    now: number,
  ): void {
    const { arena, drops, peers, coalescer } = this.#options;
    const { view } = arena;
    const body = at + DATA_HEADER;
    const length = bytes - DATA_OVERHEAD;
    // Two of one counter may have been opened side by side.
    if (!keypair.replay.accept(view.getUint32(at + 8, true), view.getUint32(at + 12, true))) {
      return drops.count("counter-replay");
    }
    const peer = keypair.peer.data as PlanePeer;
    peer.rxBytes += bytes;
    this.#noteReceived(peer, keypair, source, vni, relay, length > 0, now);
    if (length === 0) return;
    const packet = this.#packet;
    const malformed = parsePacket(arena.u8, view, body, length, packet);
    if (malformed !== undefined) return drops.count(malformed);
    const owner = packet.version === 4
      ? peers.owner4(packet.src0)
      : peers.owner6(packet.src0, packet.src1, packet.src2, packet.src3);
    if (owner !== peer.number) return drops.count("source-not-allowed");
    const denied = (peer.config.jailed ? this.jailFilter : this.filter)?.checkIn(packet);
    if (denied !== undefined) return drops.count(denied);
    if (packet.protocol === PROTO.TSMP) {
      return this.#options.tsmp(arena.u8.subarray(body, body + packet.length), peer);
    }
    const l4 = packet.fragment === "none" ? packet.l4 : 0;
    coalescer.add(body, packet.length, packet.version as 4 | 6, packet.protocol, l4);
  }

  /** Once a batch for a keypair: WireGuard's timers, and magicsock's knowledge of the path. */
  #noteReceived(
    peer: PlanePeer,
    keypair: Keypair,
    source: AddrId,
    vni: number,
    relay: Relay | undefined,
    isData: boolean,
    now: number,
  ): void {
    const sameWay = source === this.#lastSource && vni === this.#lastVni;
    if (keypair === this.#lastKeypair && sameWay && (this.#lastWasData || !isData)) return;
    this.#lastKeypair = keypair;
    this.#lastSource = source;
    this.#lastVni = vni;
    this.#lastWasData = isData;
    peer.wg.received(keypair, now, isData);
    if (relay !== undefined) this.#options.magicsock.noteDerp(relay.region, relay.peer.hex);
    peer.endpoint.noteReceived(source, vni, now);
  }
}
