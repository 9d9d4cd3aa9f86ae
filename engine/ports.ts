/**
 * What the engine needs from the operating system, as interfaces it declares itself.
 *
 * The data plane works in one fixed shared memory, the **arena**. Every buffer is a byte offset into it; packets are
 * sealed and opened in place and nothing is allocated per packet. `ffi/` implements these ports over Linux;
 * `tests/support/` implements them in memory. System-call results are `>= 0` on success and `-errno` on failure.
 */

/** The one memory of the data plane: never grown, shared with crypto helpers, addressed by byte offset. */
export interface Arena {
  readonly buffer: SharedArrayBuffer;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly view: DataView;
  /** Reserves `bytes`, 64-byte aligned, for the life of the arena. @throws RangeError when the arena is full. */
  reserve(bytes: number): number;
}

/**
 * A UDP address interned in the address table: a small integer; equal ids are equal addresses. 0 is "none".
 *
 * An id from `intern` or `pin` is stable until `sweep` finds it unused. An id from `UdpPort.source` may be transient: it is
 * good for the datagram at hand, and `pin` makes it stable. Where an address has a stable id, `source` gives that one.
 */
export type AddrId = number;

/** Interned UDP addresses, so that the packet path compares and passes small integers. */
export interface AddrTable {
  /** Interns 4 or 16 address bytes (an IPv4-mapped IPv6 address becomes IPv4) and a port in host order. 0 when full. */
  intern(ip: Uint8Array, port: number): AddrId;
  /** The stable id of the address of `id`, which may be transient. 0 when the table is full. */
  pin(id: AddrId): AddrId;
  /** Frees every stable id that is not among `live`. To be called now and then with all ids that are held anywhere. */
  sweep(live: Iterable<AddrId>): void;
  /** Borrowed bytes, 4 or 16. */
  ip(id: AddrId): Uint8Array;
  port(id: AddrId): number;
  family(id: AddrId): 4 | 6;
  /** "1.2.3.4:5" or "[::1]:5". */
  text(id: AddrId): string;
}

/** TUN device with `IFF_VNET_HDR`: every read and write carries a 10-byte virtio_net_hdr in front of the packet. */
export interface TunPort {
  readonly fd: number;
  readonly name: string;
  /** What the kernel accepted; the data plane segments only what it may be handed. */
  readonly offloads: { readonly csum: boolean; readonly tso: boolean; readonly uso: boolean };
  /** Reads one packet (virtio header first) to `offset`. Returns bytes read, or -EAGAIN when drained. */
  read(offset: number, max: number): number;
  /** Writes one packet gathered from `count` iovecs: `iovecs[2i]` is an offset, `iovecs[2i+1]` a length. */
  writev(iovecs: Int32Array, count: number): number;
  close(): void;
}

/** One bound UDP socket. Sends are queued as groups and flushed with `sendmmsg`; receives may be GRO-coalesced. */
export interface UdpPort {
  readonly fd: number;
  readonly family: 4 | 6;
  /** Local port, host order. */
  readonly port: number;
  readonly offloads: { readonly gso: boolean; readonly gro: boolean };
  /** Receives one datagram (or several equal ones coalesced by UDP_GRO) to `offset`. Sets `segment` and `source`. */
  recv(offset: number, max: number): number;
  /** After `recv`: bytes of each datagram but perhaps the last, equal to the whole when not coalesced. */
  readonly segment: number;
  /** After `recv`: who sent it. */
  readonly source: AddrId;
  /**
   * Queues `length` bytes at `offset` for `to`; with `segment < length` they are consecutive datagrams of `segment`
   * bytes, the last perhaps shorter (at most 64 and 65,000 B). The bytes are borrowed until `flush`.
   * Returns false when the batch is full: flush, then queue again.
   */
  queue(to: AddrId, offset: number, length: number, segment: number): boolean;
  /** Sends what is queued. Returns the number of groups that could not be sent. */
  flush(): number;
  /** After `flush`: the last for whom this machine has no way now (EHOSTUNREACH, ENETUNREACH), 0 for nobody. */
  readonly unreachable: AddrId;
  close(): void;
}

/** Blocks until a file descriptor is readable. */
export interface PollPort {
  /** Sets the descriptors waited for, in order. */
  watch(fds: readonly number[]): void;
  /** Waits at most `timeoutMs` (-1: for ever). Returns a bit mask of readable descriptors by position, 0 on time-out. */
  wait(timeoutMs: number): number;
}

/** The wake-up of a worker blocked in `poll`: any thread writes, the worker drains. */
export interface WakePort {
  readonly fd: number;
  wake(): void;
  drain(): void;
}

/** A keyed AEAD context of a provider. */
export type AeadKey = number;

/** Other threads that seal and open beside the caller. What they work on must be left alone until `settle`. */
export interface AeadHelpers {
  /** As `AeadProvider.seal`, done by `settle` at the latest. */
  sealLater(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void;
  /** As `AeadProvider.open`, done by `settle` at the latest. Returns a ticket that is good for the 512 jobs after it. */
  openLater(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): number;
  /** Does what is left and waits for the others. @throws Error when something could not be sealed. */
  settle(): void;
  /** What an `openLater` that is settled gave. */
  opened(ticket: number): boolean;
}

/**
 * ChaCha20-Poly1305 (RFC 8439) over the arena, in place. The nonce is WireGuard's: 4 zero bytes, then the 64-bit
 * little-endian counter given as two unsigned 32-bit halves.
 */
export interface AeadProvider {
  /** Where there are any. */
  readonly helpers?: AeadHelpers;
  readonly name: "libcrypto-fast" | "libcrypto" | "wasm" | "noble";
  /** @param key 32 bytes, copied. */
  createKey(key: Uint8Array, use: "seal" | "open"): AeadKey;
  freeKey(key: AeadKey): void;
  /** Seals `length` bytes at `offset`; the 16-byte tag follows them. */
  seal(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void;
  /** Opens `length` bytes of ciphertext at `offset`, tag behind them. False: forged, and the bytes are then garbage. */
  open(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): boolean;
}
