/**
 * The engine's ports in memory: an arena, an address table, a TUN and UDP sockets joined by a scripted network, so that
 * whole data planes run in one thread on a fake clock.
 */
import { equalBytes } from "../../base/bytes.ts";
import { formatAddrPort } from "../../base/ip.ts";
import type {
  AddrId,
  AddrTable,
  AeadHelpers,
  AeadProvider,
  Arena,
  PollPort,
  TunPort,
  UdpPort,
  WakePort,
} from "../../engine/ports.ts";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";

const EAGAIN = 11;

/** An arena over a shared WebAssembly memory, as the real one is, so that the kernels run over it. */
export function memoryArena(bytes: number): Arena & { readonly memory: WebAssembly.Memory } {
  const pages = Math.ceil(bytes / 65_536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const buffer = memory.buffer as unknown as SharedArrayBuffer;
  let next = 64;
  return {
    memory,
    buffer,
    u8: new Uint8Array(buffer),
    u16: new Uint16Array(buffer),
    u32: new Uint32Array(buffer),
    i32: new Int32Array(buffer),
    view: new DataView(buffer),
    reserve(size) {
      const at = next;
      next = (next + size + 63) & ~63;
      if (next > bytes) throw new RangeError(`Cannot reserve ${size} bytes: the arena is full`);
      return at;
    },
  };
}

/** Every address is stable; nothing is ever swept. */
export class MemoryAddrs implements AddrTable {
  readonly #entries: { ip: Uint8Array; port: number }[] = [{ ip: new Uint8Array(4), port: 0 }];

  intern(ip: Uint8Array, port: number): AddrId {
    const found = this.#entries.findIndex((entry, i) => i > 0 && entry.port === port && equalBytes(entry.ip, ip));
    return found > 0 ? found : this.#entries.push({ ip: new Uint8Array(ip), port }) - 1;
  }
  pin(id: AddrId): AddrId {
    return id;
  }
  sweep(): void {}
  ip(id: AddrId): Uint8Array {
    return this.#entries[id].ip;
  }
  port(id: AddrId): number {
    return this.#entries[id].port;
  }
  family(id: AddrId): 4 | 6 {
    return this.#entries[id].ip.length === 4 ? 4 : 6;
  }
  text(id: AddrId): string {
    const { ip, port } = this.#entries[id];
    return formatAddrPort({ ip: new Uint8Array(ip), port });
  }
}

/** A TUN whose kernel side is two arrays of packets, each with its virtio header. */
export class MemoryTun implements TunPort {
  readonly fd = 3;
  readonly name = "memory0";
  readonly offloads = { csum: true, tso: true, uso: true };
  /** What the kernel has for us. */
  readonly toRead: Uint8Array[] = [];
  /** What we wrote to the kernel. */
  readonly written: Uint8Array[] = [];
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }
  read(offset: number, max: number): number {
    const packet = this.toRead.shift();
    if (packet === undefined) return -EAGAIN;
    this.#arena.u8.set(packet.subarray(0, max), offset);
    return packet.length;
  }
  writev(iovecs: Int32Array, count: number): number {
    const parts: number[] = [];
    for (let i = 0; i < count; i++) {
      parts.push(...this.#arena.u8.subarray(iovecs[2 * i], iovecs[2 * i] + iovecs[2 * i + 1]));
    }
    this.written.push(Uint8Array.from(parts));
    return parts.length;
  }
  close(): void {}
}

/** A datagram on the scripted network. */
export interface Datagram {
  readonly from: string;
  readonly to: string;
  readonly payload: Uint8Array;
  /** Joined by the kernel from datagrams of this length; whole unless given. */
  readonly segment?: number;
}

/** Datagrams in flight; `pass` decides what arrives. */
export class MemoryNetwork {
  readonly #sockets = new Map<string, Pick<MemoryUdp, "arrive">>();
  /** All that was sent, in order, dropped or not. */
  readonly log: Datagram[] = [];
  pass: (datagram: Datagram) => boolean = () => true;
  /** `ip:port` that senders have no route to. */
  readonly unreachable = new Set<string>();

  attach(address: string, socket: Pick<MemoryUdp, "arrive">): void {
    this.#sockets.set(address, socket);
  }
  send(datagram: Datagram): void {
    this.log.push(datagram);
    if (this.pass(datagram)) this.#sockets.get(datagram.to)?.arrive(datagram);
  }
}

/** A socket of the network; coalesces nothing on receive, accepts GSO groups on send. */
export class MemoryUdp implements UdpPort {
  readonly fd: number;
  readonly family = 4;
  readonly port: number;
  readonly offloads = { gso: true, gro: true };
  unreachable: AddrId = 0;
  segment = 0;
  source: AddrId = 0;
  readonly #arena: Arena;
  readonly #addrs: AddrTable;
  readonly #network: MemoryNetwork;
  readonly #ip: Uint8Array<ArrayBuffer>;
  readonly #inbox: Datagram[] = [];
  readonly #parse: (text: string) => AddrId;
  #queued: (() => boolean)[] = [];

  constructor(
    options: {
      arena: Arena;
      addrs: AddrTable;
      network: MemoryNetwork;
      ip: Uint8Array<ArrayBuffer>;
      port: number;
      fd: number;
      parse: (text: string) => AddrId;
    },
  ) {
    this.#arena = options.arena;
    this.#addrs = options.addrs;
    this.#network = options.network;
    this.#ip = options.ip;
    this.#parse = options.parse;
    this.port = options.port;
    this.fd = options.fd;
    options.network.attach(this.address, this);
  }

  get address(): string {
    return formatAddrPort({ ip: this.#ip, port: this.port });
  }
  get waiting(): number {
    return this.#inbox.length;
  }
  arrive(datagram: Datagram): void {
    this.#inbox.push(datagram);
  }
  recv(offset: number, max: number): number {
    const datagram = this.#inbox.shift();
    if (datagram === undefined) return -EAGAIN;
    this.#arena.u8.set(datagram.payload.subarray(0, max), offset);
    this.segment = datagram.segment ?? datagram.payload.length;
    this.source = this.#parse(datagram.from);
    return datagram.payload.length;
  }
  queue(to: AddrId, offset: number, length: number, segment: number): boolean {
    const target = this.#addrs.text(to);
    this.#queued.push(() => {
      if (this.#network.unreachable.has(target)) {
        this.unreachable = to;
        return false;
      }
      for (let at = 0; at < length; at += segment) {
        const payload = this.#arena.u8.slice(offset + at, offset + Math.min(length, at + segment));
        this.#network.send({ from: this.address, to: target, payload });
      }
      return true;
    });
    return true;
  }
  flush(): number {
    this.unreachable = 0;
    const failed = this.#queued.filter((send) => !send()).length;
    this.#queued = [];
    return failed;
  }
  close(): void {}
}

/** Says at once which descriptors have something; never blocks. */
export function memoryPoll(ready: () => number): PollPort {
  return { watch: () => {}, wait: () => ready() };
}

/** A wake-up that remembers. */
export function memoryWake(): WakePort & { pending: boolean } {
  return {
    fd: 9,
    pending: false,
    wake() {
      this.pending = true;
    },
    drain() {
      this.pending = false;
    },
  };
}

/** ChaCha20-Poly1305 by noble over an arena. */
/** Helpers that do everything at the last moment. */
function lateHelpers(provider: AeadProvider): AeadHelpers {
  let jobs: (() => void)[] = [];
  const opened: boolean[] = [];
  return {
    sealLater: (...job) => void jobs.push(() => provider.seal(...job)),
    openLater: (...job) => {
      const ticket = opened.push(false) - 1;
      jobs.push(() => opened[ticket] = provider.open(...job));
      return ticket;
    },
    settle: () => {
      for (const job of jobs) job();
      jobs = [];
    },
    opened: (ticket) => opened[ticket],
  };
}

/** As `memoryProvider`, with helpers. */
export function helpedProvider(arena: Arena): AeadProvider {
  const provider = memoryProvider(arena);
  const helpers = lateHelpers(provider);
  return {
    ...provider,
    helpers,
    freeKey: (key) => {
      helpers.settle();
      provider.freeKey(key);
    },
  };
}

export function memoryProvider(arena: Arena): AeadProvider {
  const keys = new Map<number, Uint8Array>();
  let next = 1;
  const nonce = (low: number, high: number) => {
    const bytes = new Uint8Array(12);
    new DataView(bytes.buffer).setUint32(4, low, true);
    new DataView(bytes.buffer).setUint32(8, high, true);
    return bytes;
  };
  return {
    name: "noble",
    createKey(key) {
      keys.set(next, new Uint8Array(key));
      return next++;
    },
    freeKey: (key) => void keys.delete(key),
    seal(key, offset, length, low, high) {
      const sealed = chacha20poly1305(keys.get(key)!, nonce(low, high)).encrypt(
        arena.u8.slice(offset, offset + length),
      );
      arena.u8.set(sealed, offset);
    },
    open(key, offset, length, low, high) {
      try {
        const sealed = arena.u8.slice(offset, offset + length + 16);
        arena.u8.set(chacha20poly1305(keys.get(key)!, nonce(low, high)).decrypt(sealed), offset);
        return true;
      } catch {
        return false;
      }
    },
  };
}
