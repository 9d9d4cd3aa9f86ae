/**
 * Two whole data planes in this thread, joined without a kernel: what a packet costs in our own code and the crypto.
 *
 *   send.tun ─ one TCP super-packet again and again ─▶ send plane ─ sealed groups ─▶ receive plane ─▶ a TUN that forgets
 *
 * Nothing is copied but what `receive` takes in, as a kernel would.
 */
import { createHash } from "node:crypto";
import { DropCounters } from "../../base/drops.ts";
import { parseAddrPort } from "../../base/ip.ts";
import { DiscoPrivate, NodePrivate } from "../../base/keys.ts";
import type { EngineConfig } from "../../engine/config.ts";
import { ARENA_BYTES, TUN_MTU } from "../../engine/dataplane/layout.ts";
import { createKernels } from "../../engine/dataplane/packet_kernels.ts";
import { Plane } from "../../engine/dataplane/plane.ts";
import { encodeJson, RECORD_JSON } from "../../engine/dataplane/records.ts";
import { Ring } from "../../engine/dataplane/ring.ts";
import { GSO_TCPV4, NEEDS_CSUM, VIRTIO_LENGTH } from "../../engine/dataplane/virtio.ts";
import { configCommands } from "../../engine/diff.ts";
import type { AddrId, AeadProvider, TunPort, UdpPort } from "../../engine/ports.ts";
import { createTimestamps } from "../../engine/wg/tai64n.ts";
import { createArena } from "../../ffi/arena.ts";
import type { FfiArena } from "../../ffi/arena.ts";
import { selectProvider } from "../../ffi/crypto_provider.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import type { FfiAddrTable } from "../../ffi/sockaddr.ts";
import { tcpPacket } from "../../tests/support/packets.ts";

const EAGAIN = 11;
/** TCP payload of a full packet with the usual 12 bytes of options. */
const SEGMENT = TUN_MTU - 52;
/** As many full segments as Linux puts into one super-packet of 64 KiB. */
export const SEGMENTS = Math.floor((65_536 - 52) / SEGMENT);

/** A super-packet as the TUN hands it over. */
export function superPacket(): Uint8Array {
  const packet = tcpPacket({
    source: Uint8Array.of(100, 64, 0, 1),
    destination: Uint8Array.of(100, 64, 0, 2),
    sourcePort: 1,
    destinationPort: 2,
    payload: new Uint8Array(SEGMENTS * SEGMENT).map((_, i) => i * 31),
    options: new Uint8Array(12),
  });
  const bytes = new Uint8Array(VIRTIO_LENGTH + packet.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, NEEDS_CSUM);
  view.setUint8(1, GSO_TCPV4);
  view.setUint16(4, SEGMENT, true);
  view.setUint16(6, 20, true);
  view.setUint16(8, 16, true);
  bytes.set(packet, VIRTIO_LENGTH);
  return bytes;
}

/** A TUN that gives the same super-packet as often as it is told to, and forgets what is written. */
class LoopTun implements TunPort {
  readonly fd = 3;
  readonly name = "loop";
  readonly offloads = { csum: true, tso: true, uso: true };
  pending = 0;
  written = 0;
  readonly #arena: FfiArena;
  readonly #packet = superPacket();
  #placed = -1;

  constructor(arena: FfiArena) {
    this.#arena = arena;
  }
  read(offset: number): number {
    if (this.pending === 0) return -EAGAIN;
    this.pending--;
    // It is read to one place and nothing there is changed, so it is put there once.
    if (this.#placed !== offset) this.#arena.u8.set(this.#packet, this.#placed = offset);
    return this.#packet.length;
  }
  writev(iovecs: Int32Array, count: number): number {
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += iovecs[2 * i + 1];
    this.written += bytes;
    return bytes;
  }
  close(): void {}
}

interface Group {
  readonly offset: number;
  readonly length: number;
  readonly segment: number;
}

/** A socket that remembers where queued groups lie and takes in what is given. */
class LoopUdp implements UdpPort {
  readonly fd = 4;
  readonly family = 4;
  readonly port = 41641;
  readonly offloads = { gso: true, gro: true };
  readonly unreachable = 0;
  readonly groups: Group[] = [];
  readonly inbox: { readonly bytes: Uint8Array; readonly segment: number }[] = [];
  segment = 0;
  source: AddrId = 0;
  readonly #arena: FfiArena;

  constructor(arena: FfiArena, source: AddrId) {
    this.#arena = arena;
    this.source = source;
  }
  recv(offset: number): number {
    const datagrams = this.inbox.shift();
    if (datagrams === undefined) return -EAGAIN;
    this.#arena.u8.set(datagrams.bytes, offset);
    this.segment = datagrams.segment;
    return datagrams.bytes.length;
  }
  queue(_to: AddrId, offset: number, length: number, segment: number): boolean {
    this.groups.push({ offset, length, segment });
    return true;
  }
  flush(): number {
    return 0;
  }
  close(): void {}
}

/** One of the two planes. */
export class LoopEnd {
  readonly arena: FfiArena;
  readonly provider: AeadProvider;
  readonly tun: LoopTun;
  readonly udp: LoopUdp;
  readonly drops = new DropCounters();
  readonly plane: Plane;
  readonly #commands = Ring.allocate(1 << 20);

  constructor(number: 1 | 2, crypto: string | undefined) {
    const arena = createArena(ARENA_BYTES + (16 << 20));
    const addrs: FfiAddrTable = createAddrTable(arena);
    const remote = parseAddrPort(`192.0.2.${3 - number}:41641`)!;
    this.arena = arena;
    this.provider = selectProvider({ arena, force: crypto }).provider;
    this.tun = new LoopTun(arena);
    this.udp = new LoopUdp(arena, addrs.intern(remote.ip, remote.port));
    // Reproducible: this is a measurement, not a tunnel.
    let made = 0;
    const random = (length: number) =>
      new Uint8Array(createHash("shake256", { outputLength: length }).update(`${number} ${made++}`).digest());
    this.plane = new Plane({
      arena,
      addrs,
      kernels: createKernels(arena, arena.memory),
      tun: this.tun,
      openSockets: () => ({ udp4: this.udp, udp6: undefined }),
      provider: this.provider,
      poll: {
        watch: () => {},
        wait: () =>
          (this.#commands.free < 1 << 20 ? 1 : 0) | (this.tun.pending > 0 ? 2 : 0) |
          (this.udp.inbox.length > 0 ? 4 : 0),
      },
      wake: { fd: 9, wake: () => {}, drain: () => {} },
      commands: this.#commands,
      events: Ring.allocate(1 << 20),
      drops: this.drops,
      disco: DiscoPrivate.generate(random),
      random,
      timestamp: createTimestamps(() => Date.now()),
      monotonic: () => performance.now(),
      cpuTime: () => performance.now(),
      wall: () => Date.now(),
    });
    const key = (n: number) => new NodePrivate(new Uint8Array(32).fill(n));
    const anywhere = ["0.0.0.0/0"];
    const config: EngineConfig = {
      privateKey: key(number).reveal().toHex(),
      addresses: [`100.64.0.${number}/32`],
      homeDerp: 0,
      filter: {
        rules: [{
          sources: anywhere,
          destinations: anywhere.map((prefix) => ({ prefix, first: 0, last: 65_535 })),
          protocols: [],
        }],
        local: [`100.64.0.${number}/32`],
        shieldsUp: false,
      },
      peers: [{
        key: key(3 - number).public.hex,
        disco: "",
        allowedIps: [`100.64.0.${3 - number}/32`],
        endpoints: [`192.0.2.${3 - number}:41641`],
        derp: 0,
        jailed: false,
        addresses: [`100.64.0.${3 - number}`],
        cap: 113,
      }],
    };
    for (const command of configCommands(undefined, config)) this.#commands.write(RECORD_JSON, encodeJson(command));
    // A turn takes commands for a fifth of a millisecond only.
    while (!this.#commands.isEmpty) this.plane.turn(0);
  }

  /** Gives what this end has sent to the other. Returns the number of datagrams. */
  deliver(to: LoopEnd): number {
    let count = 0;
    for (const { offset, length, segment } of this.udp.groups.splice(0)) {
      to.udp.inbox.push({ bytes: this.arena.u8.subarray(offset, offset + length), segment });
      count += Math.ceil(length / segment);
    }
    return count;
  }
}

/** Two ends with a keypair between them. @throws Error when they do not find together. */
export function joinedEnds(crypto: string | undefined): { send: LoopEnd; receive: LoopEnd } {
  const [send, receive] = [new LoopEnd(1, crypto), new LoopEnd(2, crypto)];
  send.tun.pending = 1;
  for (let i = 0; i < 10; i++) {
    send.plane.turn(0);
    send.deliver(receive);
    receive.plane.turn(0);
    receive.deliver(send);
  }
  if (receive.tun.written === 0) {
    throw new Error(
      `Cannot join two planes: drops ${JSON.stringify([send.drops.snapshot(), receive.drops.snapshot()])}`,
    );
  }
  return { send, receive };
}
