/**
 * Interned UDP addresses: a small integer for each, its kernel `sockaddr` ready in the arena.
 *
 *   sockaddr_in   0 u16 family=2    2 u16 BE port   4 address       8 zeros      (16 bytes)
 *   sockaddr_in6  0 u16 family=10   2 u16 BE port   4 u32 flowinfo  8 address   24 u32 scope   (28 bytes)
 *
 * Two kinds of ids, one hash table:
 *   transient   1 .. 4096         what `fromSockaddr` gives to a source nobody interned: a ring, the oldest is reused
 *   permanent   4097 .. capacity  what `intern` and `pin` give: stable until `sweep` finds it unused
 * A flood of spoofed sources therefore turns the ring round and costs no memory. `fromSockaddr` gives the permanent id
 * where one exists, so a peer's own address always compares equal to the id its path holds. A transient id is good for
 * the packet at hand: keep it no longer than that without `pin`.
 *
 * One thread owns a table: ids mean nothing to another thread. Nothing here allocates on the receive path.
 */

import { formatIp } from "../base/ip.ts";
import type { AddrId, AddrTable } from "../engine/ports.ts";
import type { FfiArena } from "./arena.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
/** Bytes of the larger sockaddr, rounded up to keep slots aligned. */
export const SOCKADDR_SLOT = 32;
const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;

const TRANSIENT = 4096;

/** The address table, with what the socket code needs of it. */
export interface FfiAddrTable extends AddrTable {
  /** Where the sockaddr of `id` lies in the arena. */
  offset(id: AddrId): number;
  /** Bytes of the sockaddr of `id`: 16 or 28. */
  lengthOf(id: AddrId): number;
  /** The id of the sockaddr the kernel left at `offset` (4-byte aligned); 0 for a family that is not IP. */
  fromSockaddr(offset: number): AddrId;
  /** Permanent ids in use. */
  readonly used: number;
}

/** @param permanent How many addresses may be interned at one time; a full table interns as 0. */
export function createAddrTable(arena: FfiArena, permanent = 1 << 17): FfiAddrTable {
  return new ArenaAddrTable(arena, permanent);
}

class ArenaAddrTable implements FfiAddrTable {
  used = 0;
  readonly #arena: FfiArena;
  readonly #slots: number;
  readonly #scratch: number;
  /** Open addressing with linear probing; 0 is an empty cell. */
  readonly #cells: Int32Array;
  readonly #mask: number;
  readonly #seed: number;
  readonly #end: number;
  /** The next permanent id never used, and ids swept free. */
  #fresh = TRANSIENT + 1;
  readonly #free: number[] = [];
  #nextTransient = 1;
  #last: AddrId = 0;

  constructor(arena: FfiArena, permanent: number) {
    this.#arena = arena;
    this.#end = TRANSIENT + permanent;
    this.#slots = arena.reserve((this.#end + 1) * SOCKADDR_SLOT);
    this.#scratch = arena.reserve(SOCKADDR_SLOT);
    let cells = 1;
    while (cells < 2 * (this.#end + 1)) cells *= 2;
    this.#cells = new Int32Array(cells);
    this.#mask = cells - 1;
    // Sources choose their addresses; a secret seed keeps them from choosing their cells.
    this.#seed = crypto.getRandomValues(new Uint32Array(1))[0];
  }

  intern(ip: Uint8Array, port: number): AddrId {
    if (ip.length !== 4 && ip.length !== 16) {
      throw new TypeError(`Cannot intern an address of ${ip.length} bytes: want 4 or 16`);
    }
    if (!Number.isInteger(port) || port < 0 || port > 65535) throw new RangeError(`Cannot intern port ${port}`);
    const { u8, u16, u32 } = this.#arena;
    const at = this.#scratch;
    u8.fill(0, at, at + SOCKADDR_SLOT);
    u16[at >> 1] = ip.length === 4 ? AF_INET : AF_INET6;
    u16[(at >> 1) + 1] = (port >>> 8) | ((port & 0xff) << 8);
    u8.set(ip, at + (ip.length === 4 ? 4 : 8));
    if (ip.length === 16) this.#unmap(at >> 2, u32);
    return this.#permanent(at);
  }

  pin(id: AddrId): AddrId {
    if (id === 0 || id > TRANSIENT) return id;
    return this.#permanent(this.offset(id));
  }

  sweep(live: Iterable<AddrId>): void {
    const keep = new Uint8Array(this.#fresh);
    for (const id of live) keep[id] = 1;
    for (const id of this.#free) keep[id] = 1;
    for (let id = TRANSIENT + 1; id < this.#fresh; id++) {
      if (keep[id] === 1) continue;
      this.#remove(id);
      this.#free.push(id);
      this.used--;
      if (this.#last === id) this.#last = 0;
    }
  }

  fromSockaddr(offset: number): AddrId {
    const { u16, u32 } = this.#arena;
    const word = offset >> 2;
    const family = u16[offset >> 1];
    if (family === AF_INET6) {
      u32[word + 1] = 0; // flow labels are not part of who the peer is
      this.#unmap(word, u32);
    } else if (family !== AF_INET) return 0;
    if (this.#last !== 0 && this.#equal(this.#last, word)) return this.#last;
    const found = this.#cells[this.#find(word)];
    if (found !== 0) return this.#last = found;
    const id = this.#nextTransient;
    this.#nextTransient = id === TRANSIENT ? 1 : id + 1;
    this.#remove(id);
    this.#store(id, word);
    return this.#last = id;
  }

  offset(id: AddrId): number {
    return this.#slots + id * SOCKADDR_SLOT;
  }

  lengthOf(id: AddrId): number {
    return this.#arena.u16[this.offset(id) >> 1] === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6;
  }

  family(id: AddrId): 4 | 6 {
    return this.#arena.u16[this.offset(id) >> 1] === AF_INET ? 4 : 6;
  }

  ip(id: AddrId): Uint8Array {
    const at = this.offset(id);
    return this.family(id) === 4 ? this.#arena.u8.subarray(at + 4, at + 8) : this.#arena.u8.subarray(at + 8, at + 24);
  }

  port(id: AddrId): number {
    const at = this.offset(id);
    return this.#arena.u8[at + 2] << 8 | this.#arena.u8[at + 3];
  }

  text(id: AddrId): string {
    if (id === 0) return "none";
    const ip = formatIp(this.ip(id));
    return this.family(id) === 4 ? `${ip}:${this.port(id)}` : `[${ip}]:${this.port(id)}`;
  }

  #permanent(at: number): AddrId {
    const word = at >> 2;
    const found = this.#cells[this.#find(word)];
    if (found > TRANSIENT) return found;
    const id = this.#free.pop() ?? (this.#fresh <= this.#end ? this.#fresh++ : 0);
    if (id === 0) return 0;
    if (found !== 0) this.#remove(found);
    this.#store(id, word);
    this.used++;
    this.#last = 0;
    return id;
  }

  #store(id: AddrId, word: number): void {
    const { u32 } = this.#arena;
    const to = this.offset(id) >> 2;
    // A sockaddr_in may be followed by whatever the kernel's buffer held.
    const words = u32[word] << 16 >>> 16 === AF_INET ? 2 : 7;
    for (let i = 0; i < 8; i++) u32[to + i] = i < words ? u32[word + i] : 0;
    this.#cells[this.#find(word)] = id;
  }

  /** The cell that holds the address at `word`, or the empty one where it belongs. */
  #find(word: number): number {
    let cell = this.#hash(word);
    for (let id = this.#cells[cell]; id !== 0; id = this.#cells[cell]) {
      if (this.#equal(id, word)) return cell;
      cell = (cell + 1) & this.#mask;
    }
    return cell;
  }

  /** Takes `id` out of the cells, if it is in, and closes the gap in the probe sequence. Its slot keeps its bytes. */
  #remove(id: AddrId): void {
    const word = this.offset(id) >> 2;
    if (this.#arena.u32[word] === 0) return;
    let gap = this.#find(word);
    if (this.#cells[gap] !== id) return;
    for (let next = (gap + 1) & this.#mask; this.#cells[next] !== 0; next = (next + 1) & this.#mask) {
      const home = this.#hash(this.offset(this.#cells[next]) >> 2);
      if (((next - home) & this.#mask) >= ((next - gap) & this.#mask)) {
        this.#cells[gap] = this.#cells[next];
        gap = next;
      }
    }
    this.#cells[gap] = 0;
  }

  #equal(id: AddrId, word: number): boolean {
    const { u32 } = this.#arena;
    const own = this.offset(id) >> 2;
    if (u32[own] !== u32[word]) return false;
    if ((u32[word] & 0xffff) === AF_INET) return u32[own + 1] === u32[word + 1];
    return u32[own + 2] === u32[word + 2] && u32[own + 3] === u32[word + 3] && u32[own + 4] === u32[word + 4] &&
      u32[own + 5] === u32[word + 5] && u32[own + 6] === u32[word + 6];
  }

  #hash(word: number): number {
    const { u32 } = this.#arena;
    let h = mix(this.#seed ^ u32[word]);
    if ((u32[word] & 0xffff) === AF_INET) h = mix(h ^ u32[word + 1]);
    else for (let i = 2; i < 7; i++) h = mix(h ^ u32[word + i]);
    return h & this.#mask;
  }

  /** Rewrites ::ffff:a.b.c.d as the IPv4 address it stands for. */
  #unmap(word: number, u32: Uint32Array): void {
    if (u32[word + 2] !== 0 || u32[word + 3] !== 0 || u32[word + 4] !== 0xffff0000) return;
    const address = u32[word + 5];
    u32[word] = (u32[word] & 0xffff0000) | AF_INET;
    u32[word + 1] = address;
    for (let i = 2; i < 7; i++) u32[word + i] = 0;
  }
}

/** Murmur3's finaliser. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
