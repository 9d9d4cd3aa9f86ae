/**
 * TUN to network: read, filter, find the peer, cut super-packets, seal in place, hand to the sender.
 *
 * A packet for a peer without a keypair is staged as it was read and asks for a handshake; when the keypair is there,
 * staged packets run through here again, so there is one way out.
 */
import type { DropCounters } from "../../base/drops.ts";
import type { Filter } from "../filter/filter.ts";
import { Packet, parsePacket } from "../packet.ts";
import type { AeadProvider, Arena, TunPort } from "../ports.ts";
import { MESSAGE_DATA } from "../wg/messages.ts";
import type { Keypair } from "../wg/keypair.ts";
import { DATA_HEADER, DATA_OVERHEAD, PADDING, TUN_MTU, TUN_READ_MAX } from "./layout.ts";
import type { Kernels, Slots } from "./packet_kernels.ts";
import type { Layout } from "./layout.ts";
import type { Peers } from "./peers.ts";
import type { PlanePeer } from "./plane_peer.ts";
import { completeChecksum, describe, SuperPacket } from "./segment.ts";
import type { Sender } from "./sender.ts";
import { GSO_NONE, VIRTIO_LENGTH } from "./virtio.ts";

/** Bytes sealed in one go before the other direction gets its turn. */
const TURN_BYTES = 200_000;

/** What the transmit path works with. */
export interface TransmitOptions {
  readonly arena: Arena;
  readonly kernels: Kernels;
  readonly layout: Layout;
  readonly tun: TunPort;
  readonly provider: AeadProvider;
  readonly sender: Sender;
  readonly peers: Peers;
  readonly drops: DropCounters;
}

/** Seals what the TUN has for peers. */
export class Transmit {
  readonly #options: TransmitOptions;
  readonly #packet = new Packet();
  readonly #super = new SuperPacket();
  readonly #slots: Slots = { at: 0, stride: 0, receiver: 0, counter: 0 };
  /** Peers that sealed something this turn. */
  readonly #touched: PlanePeer[] = [];
  #turn = 0;
  filter: Filter | undefined;

  constructor(options: TransmitOptions) {
    this.#options = options;
  }

  /** A new turn: paths are looked up anew. */
  beginTurn(): void {
    this.#turn++;
  }

  /** Reads the TUN until it is empty or the turn is full. True when it was emptied. */
  drain(now: number): boolean {
    const { tun, layout, sender } = this.#options;
    while (sender.filled < TURN_BYTES) {
      const bytes = tun.read(layout.tunRead, TUN_READ_MAX);
      if (bytes <= VIRTIO_LENGTH) return true;
      this.#fromTun(bytes, now);
    }
    return false;
  }

  /** Sends what waited for the peer's keypair. */
  sendStaged(peer: PlanePeer, now: number): void {
    const { arena, layout } = this.#options;
    for (const packet of peer.takeStaged()) {
      arena.u8.set(packet, layout.tunRead);
      this.#fromTun(packet.length, now);
    }
  }

  /** Sends an IP packet of our own making, as if the TUN had given it; copied. */
  inject(packet: Uint8Array, now: number): void {
    const { arena, layout } = this.#options;
    arena.u8.fill(0, layout.tunRead, layout.tunRead + VIRTIO_LENGTH);
    arena.u8.set(packet, layout.tunRead + VIRTIO_LENGTH);
    this.#fromTun(VIRTIO_LENGTH + packet.length, now);
  }

  /** An empty data packet: WireGuard's keepalive. */
  keepalive(peer: PlanePeer, now: number): void {
    const keypair = peer.wg.keypairForSend(now);
    if (keypair === undefined) return;
    peer.usePath(this.#turn, now);
    const at = this.#options.sender.place(peer.headroom + DATA_OVERHEAD) + peer.headroom;
    this.#seal(peer, keypair, at, 0);
  }

  /** Tells WireGuard's timers what was sealed; to be called once all packets of the turn are committed. */
  endTurn(now: number): void {
    while (this.#touched.length > 0) {
      const peer = this.#touched.pop()!;
      const keypair = peer.sealedWith!;
      const isData = peer.sealedData;
      peer.sealedWith = undefined;
      peer.sealedData = false;
      peer.wg.sent(keypair, now, isData);
    }
  }

  /** The packet behind the virtio header at `layout.tunRead`, `bytes` long with it. */
  #fromTun(bytes: number, now: number): void {
    const { arena, kernels, layout, sender, drops } = this.#options;
    const ip = layout.tunRead + VIRTIO_LENGTH;
    const length = bytes - VIRTIO_LENGTH;
    const packet = this.#packet;
    const malformed = parsePacket(arena.u8, arena.view, ip, length, packet);
    if (malformed !== undefined) return drops.count(malformed);
    const refused = this.filter?.checkOut(packet);
    if (refused !== undefined) return drops.count(refused);
    const peer = this.#route(packet);
    if (peer === undefined) return drops.count("no-route");
    const keypair = peer.wg.keypairForSend(now);
    if (keypair === undefined) {
      const lost = peer.stage(arena.u8.slice(layout.tunRead, layout.tunRead + bytes));
      for (let i = 0; i < lost; i++) drops.count("queue-full");
      peer.wg.wantHandshake(now);
      return;
    }
    peer.usePath(this.#turn, now);
    if (arena.u8[layout.tunRead + 1] === GSO_NONE) {
      if (!completeChecksum(arena, kernels, layout.tunRead, ip, length)) return drops.count("inner-malformed");
      const at = sender.place(peer.headroom + length + DATA_OVERHEAD + PADDING) + peer.headroom;
      arena.u8.copyWithin(at + DATA_HEADER, ip, ip + length);
      this.#seal(peer, keypair, at, length);
      return;
    }
    if (!describe(arena, layout.tunRead, bytes, this.#super)) return drops.count("inner-malformed");
    this.#cutAndSeal(peer, keypair, this.#super);
  }

  /** Writes as many segments as the transmit buffer has room for, seals each, and again. */
  #cutAndSeal(peer: PlanePeer, keypair: Keypair, packet: SuperPacket): void {
    const { kernels, sender } = this.#options;
    const slots = this.#slots;
    const whole = packet.headers + packet.size;
    slots.stride = (peer.headroom + paddedLength(whole) + DATA_OVERHEAD + 3) & ~3;
    slots.receiver = keypair.remoteIndex;
    for (let index = 0; index < packet.count;) {
      slots.at = sender.place(slots.stride) + peer.headroom;
      slots.counter = keypair.nextCounter;
      const written = kernels.writeSegments(packet, index, Math.floor(sender.room / slots.stride), slots);
      for (const end = index + written; index < end; index++) {
        const length = index === packet.count - 1 ? packet.length - index * packet.size : whole;
        this.#sealSlot(peer, keypair, slots.at, paddedLength(length));
        slots.at += slots.stride;
      }
    }
    this.#touch(peer, keypair, true);
  }

  #route(packet: Packet): PlanePeer | undefined {
    const { peers } = this.#options;
    return peers.at(
      packet.version === 4
        ? peers.owner4(packet.dst0)
        : peers.owner6(packet.dst0, packet.dst1, packet.dst2, packet.dst3),
    );
  }

  /** Writes header and padding of the packet of `length` bytes behind the header at `at`, seals and commits it. */
  #seal(peer: PlanePeer, keypair: Keypair, at: number, length: number): void {
    const { u8, u32 } = this.#options.arena;
    const padded = paddedLength(length);
    for (let i = at + DATA_HEADER + length; i < at + DATA_HEADER + padded; i++) u8[i] = 0;
    const word = at >> 2;
    u32[word] = MESSAGE_DATA;
    u32[word + 1] = keypair.remoteIndex;
    u32[word + 2] = keypair.nextCounter >>> 0;
    u32[word + 3] = Math.floor(keypair.nextCounter / 0x100000000);
    this.#sealSlot(peer, keypair, at, padded);
    this.#touch(peer, keypair, length > 0);
  }

  /** Seals what lies behind the data header at `at`, under the keypair's next counter, and commits it. */
  #sealSlot(peer: PlanePeer, keypair: Keypair, at: number, padded: number): void {
    const { provider, sender } = this.#options;
    const counter = keypair.nextCounter++;
    const low = counter >>> 0;
    const high = Math.floor(counter / 0x100000000);
    if (provider.helpers === undefined) provider.seal(keypair.sendKey, at + DATA_HEADER, padded, low, high);
    else provider.helpers.sealLater(keypair.sendKey, at + DATA_HEADER, padded, low, high);
    sender.commit(peer, at, padded + DATA_OVERHEAD);
  }

  /** Remembers for the end of the turn that the peer's keypair sealed something. */
  #touch(peer: PlanePeer, keypair: Keypair, isData: boolean): void {
    if (isData) peer.sealedData = true;
    if (peer.sealedWith === keypair) return;
    if (peer.sealedWith === undefined) this.#touched.push(peer);
    peer.sealedWith = keypair;
  }
}

/** Padding must not push a full packet over the MTU (whitepaper 5.4.6; wireguard-go `calculatePaddingSize`). */
function paddedLength(length: number): number {
  return Math.min((length + PADDING - 1) & ~(PADDING - 1), Math.max(TUN_MTU, length));
}
