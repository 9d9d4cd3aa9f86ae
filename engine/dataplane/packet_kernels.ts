/**
 * The loops of the data path that touch every byte, behind one interface: WebAssembly with SIMD, or plain TypeScript
 * where that is refused. Tests hold the two against each other.
 */
import { sumBytes } from "./checksum.ts";
import { instantiateKernels } from "./kernels/kernel_module.ts";
import type { KernelExports } from "./kernels/kernel_module.ts";
import { DATA_HEADER } from "./layout.ts";
import { checksumValid, writeSegment } from "./segment.ts";
import type { SuperPacket } from "./segment.ts";
import { MESSAGE_DATA } from "../wg/messages.ts";
import { PROTO } from "../packet.ts";
import type { Arena } from "../ports.ts";

/** Where and how segments are written: sealing slots, end to end. */
export interface Slots {
  /** Offset of the first slot, 4-byte aligned. */
  at: number;
  /** Bytes from slot to slot: header, the longest padded packet, tag; a multiple of 4. */
  stride: number;
  /** WireGuard's receiver index, for the data headers. */
  receiver: number;
  /** The first slot's counter; the others count on. */
  counter: number;
}

/** The loops. Offsets and lengths must lie within the arena. */
export interface Kernels {
  readonly name: "wasm" | "typescript";
  /** The folded sum of `length` bytes at `at`, in little-endian words (checksum.ts). */
  sumBytes(at: number, length: number): number;
  /**
   * Writes segments `first` to `first + most - 1` of `packet`, or to its last, each to a slot
   * `[data header | packet | 16 zero bytes, for padding and tag]`. Returns how many.
   */
  writeSegments(packet: SuperPacket, first: number, most: number, slots: Slots): number;
  /** True when the TCP or UDP checksum of the packet at `ip` is right. `l4` is from its IP header to the other. */
  checksumValid(ip: number, version: 4 | 6, protocol: number, l4: number, length: number): boolean;
  /**
   * True when the TCP packet at `ip` has the headers of the one at `first` in all but lengths, identification, sequence
   * number, flags and checksums, and its TCP checksum is right. `headers` is the length of both's headers.
   */
  joinsTcp(first: number, ip: number, version: 4 | 6, l4: number, headers: number, length: number): boolean;
  /** The same for UDP: lengths, identification and checksums may differ. */
  joinsUdp(first: number, ip: number, version: 4 | 6, l4: number, length: number): boolean;
}

/** The fastest kernels this runtime has. @param memory the arena's, where it is a WebAssembly memory. */
export function createKernels(arena: Arena, memory: WebAssembly.Memory | undefined): Kernels {
  if (memory !== undefined && memory.buffer as unknown === arena.buffer) {
    try {
      return new WasmKernels(instantiateKernels(memory));
    } catch {
      // No SIMD or no shared memory: slower, and `name` says so.
    }
  }
  return new PlainKernels(arena);
}

class WasmKernels implements Kernels {
  readonly name = "wasm";
  readonly #exports: KernelExports;

  constructor(exports: KernelExports) {
    this.#exports = exports;
  }

  sumBytes(at: number, length: number): number {
    return this.#exports.sumBytes(at, length);
  }

  writeSegments(packet: SuperPacket, first: number, most: number, { at, stride, receiver, counter }: Slots): number {
    const { ip, length, l4, headers, size, tcp } = packet;
    const [low, high] = [counter >>> 0, Math.floor(counter / 0x100000000)];
    return this.#exports.writeSegments(
      ip,
      length,
      l4,
      headers,
      size,
      tcp ? 1 : 0,
      first,
      most,
      at,
      stride,
      receiver,
      low,
      high,
    );
  }

  checksumValid(ip: number, version: 4 | 6, protocol: number, l4: number, length: number): boolean {
    return this.#exports.checksumValid(ip, version === 6 ? 1 : 0, protocol, l4, length) !== 0;
  }

  joinsTcp(first: number, ip: number, version: 4 | 6, l4: number, headers: number, length: number): boolean {
    return this.#exports.joinsTcp(first, ip, version === 6 ? 1 : 0, l4, headers, length) !== 0;
  }

  joinsUdp(first: number, ip: number, version: 4 | 6, l4: number, length: number): boolean {
    return this.#exports.joinsUdp(first, ip, version === 6 ? 1 : 0, l4, length) !== 0;
  }
}

/** The slow clear twin. */
export class PlainKernels implements Kernels {
  readonly name = "typescript";
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  sumBytes(at: number, length: number): number {
    return sumBytes(this.#arena, at, length);
  }

  writeSegments(packet: SuperPacket, first: number, most: number, { at, stride, receiver, counter }: Slots): number {
    const { u8, view } = this.#arena;
    const count = Math.min(most, packet.count - first);
    for (let i = 0; i < count; i++) {
      const slot = at + i * stride;
      view.setUint32(slot, MESSAGE_DATA, true);
      view.setUint32(slot + 4, receiver, true);
      view.setUint32(slot + 8, (counter + i) >>> 0, true);
      view.setUint32(slot + 12, Math.floor((counter + i) / 0x100000000), true);
      const length = writeSegment(this.#arena, packet, first + i, slot + DATA_HEADER);
      u8.fill(0, slot + DATA_HEADER + length, slot + DATA_HEADER + length + 16);
    }
    return count;
  }

  checksumValid(ip: number, version: 4 | 6, protocol: number, l4: number, length: number): boolean {
    return checksumValid(this.#arena, ip, version, protocol, l4, length);
  }

  joinsTcp(first: number, ip: number, version: 4 | 6, l4: number, headers: number, length: number): boolean {
    const same = (from: number, to: number) => this.#same(first, ip, l4 + from, l4 + to);
    // Ports; acknowledgement and data offset; window; urgent pointer and options.
    return this.#sameNetwork(first, ip, version) && same(0, 4) && same(8, 13) && same(14, 16) &&
      same(18, headers - l4) && this.checksumValid(ip, version, PROTO.TCP, l4, length);
  }

  joinsUdp(first: number, ip: number, version: 4 | 6, l4: number, length: number): boolean {
    return this.#sameNetwork(first, ip, version) && this.#same(first, ip, l4, l4 + 4) &&
      this.checksumValid(ip, version, PROTO.UDP, l4, length);
  }

  #sameNetwork(first: number, ip: number, version: 4 | 6): boolean {
    const same = (from: number, to: number) => this.#same(first, ip, from, to);
    return version === 4
      // Type of service; flags; time to live; addresses.
      ? same(1, 2) && same(6, 7) && same(8, 9) && same(12, 20)
      // Class and flow label; next header, hop limit and addresses.
      : same(0, 4) && same(6, 40);
  }

  /** Bytes `from` to `to` of both packets are equal. */
  #same(first: number, ip: number, from: number, to: number): boolean {
    const { u8 } = this.#arena;
    for (let i = from; i < to; i++) if (u8[first + i] !== u8[ip + i]) return false;
    return true;
  }
}
