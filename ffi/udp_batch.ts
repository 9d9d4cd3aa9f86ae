/**
 * The queue of one UDP socket: groups of equal datagrams, sent by `sendmmsg` with one `UDP_SEGMENT` message a group.
 *
 * What a failed send means, by errno:
 *   EIO                 the device cannot checksum for us: this socket sends without GSO from now on; the group is resent
 *   EMSGSIZE            the path is narrower than a segment: the group is resent datagram by datagram, GSO stays on
 *   EINVAL              older kernels say it for EMSGSIZE; for a segment that fits any path it means as much as EIO
 *   EAGAIN              the socket buffer is full: wait for room, 100 ms a flush at most, then drop what is left
 *   EINTR               again
 *   others (EPERM, ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, ...)   that group is lost, the next is tried
 *
 *   struct mmsghdr (64 bytes)  0 *name  8 u32 namelen  16 *iov  24 u64 iovlen  32 *control  40 u64 controllen
 *                              48 u32 flags  56 u32 sent
 *   struct iovec (16)          0 *base  8 u64 length
 *   struct cmsghdr (16)        0 u64 length  8 i32 level  12 i32 type   then the u16 segment size, padded to 24
 *
 * Source: udp(7), sendmmsg(2), net/ipv4/udp.c `udp_send_skb`.
 */

import type { AddrId } from "../engine/ports.ts";
import type { FfiArena } from "./arena.ts";
import { EAGAIN, EHOSTUNREACH, EINTR, EINVAL, EIO, EMSGSIZE, ENETUNREACH, errno, libc } from "./libc.ts";
import type { FfiAddrTable } from "./sockaddr.ts";

/** Entries of one `sendmmsg`. Twice the datagrams of the largest group, so that one always fits when GSO is off. */
export const BATCH = 128;
/** UDP_MAX_SEGMENTS of kernels before 6.9. */
export const MAX_SEGMENTS = 64;
/** A group must fit one IPv4 datagram with its headers. */
export const MAX_GROUP = 65000;

const MMSGHDR = 64;
const IOVEC = 16;
const CMSG = 24;
const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
const CMSG_LEN = 18;
const POLLOUT = 4;
/** UDP payload that fits the smallest IPv6 link, 1280 bytes, with 40 + 8 bytes of headers. */
const FITS_ANY_PATH = 1232;
const EAGAIN_BUDGET_MS = 100;

/** What became of sends, since the socket was opened. */
export interface UdpSendCounters {
  /** Groups resent as single datagrams because a segment did not fit the path. */
  tooBig: number;
  /** Groups (or datagrams, when sent singly) that were lost. */
  lost: number;
  /** Waits for room in the socket buffer. */
  full: number;
}

export class UdpBatch {
  /** UDP_SEGMENT may be used; turned off by EIO. */
  gso: boolean;
  /** -errno of the last send that failed in the last flush, 0 when none did. Set by a resent group too. */
  lastError = 0;
  /** As `UdpPort.unreachable`. */
  unreachable: AddrId = 0;
  readonly counters: UdpSendCounters = { tooBig: 0, lost: 0, full: 0 };
  readonly #fd: number;
  readonly #arena: FfiArena;
  readonly #addrs: FfiAddrTable;
  readonly #headers: number;
  readonly #iovecs: number;
  readonly #controls: number;
  readonly #pollfd: number;
  readonly #to = new Int32Array(BATCH);
  readonly #offsets = new Int32Array(BATCH);
  readonly #lengths = new Int32Array(BATCH);
  /** 0 for a single datagram. */
  readonly #segments = new Int32Array(BATCH);
  #count = 0;
  #waited = 0;

  constructor(fd: number, arena: FfiArena, addrs: FfiAddrTable, gso: boolean) {
    this.gso = gso;
    this.#fd = fd;
    this.#arena = arena;
    this.#addrs = addrs;
    this.#headers = arena.reserve(BATCH * MMSGHDR);
    this.#iovecs = arena.reserve(BATCH * IOVEC);
    this.#controls = arena.reserve(BATCH * CMSG);
    this.#pollfd = arena.reserve(8);
    arena.i32[this.#pollfd >> 2] = fd;
    arena.u16[(this.#pollfd >> 1) + 2] = POLLOUT;
    for (let i = 0; i < BATCH; i++) {
      const header = this.#headers + i * MMSGHDR;
      const control = this.#controls + i * CMSG;
      arena.u8.fill(0, header, header + MMSGHDR);
      arena.writePointer(header + 16, this.#iovecs + i * IOVEC);
      arena.u32[(header + 24) >> 2] = 1;
      arena.u32[control >> 2] = CMSG_LEN;
      arena.u32[(control >> 2) + 1] = 0;
      arena.i32[(control >> 2) + 2] = SOL_UDP;
      arena.i32[(control >> 2) + 3] = UDP_SEGMENT;
      arena.u32[(this.#iovecs + i * IOVEC + 12) >> 2] = 0;
    }
  }

  queue(to: AddrId, offset: number, length: number, segment: number): boolean {
    if (segment <= 0 || length <= 0) throw new RangeError(`Cannot queue ${length} bytes in segments of ${segment}`);
    if (length <= segment) return this.#count < BATCH && this.#add(to, offset, length, 0);
    const datagrams = Math.ceil(length / segment);
    if (length > MAX_GROUP || datagrams > MAX_SEGMENTS) {
      throw new RangeError(`Cannot queue a group of ${length} bytes in ${datagrams} datagrams`);
    }
    if (this.gso) return this.#count < BATCH && this.#add(to, offset, length, segment);
    if (this.#count + datagrams > BATCH) return false;
    for (let at = 0; at < length; at += segment) this.#add(to, offset + at, Math.min(segment, length - at), 0);
    return true;
  }

  /** Sends what is queued. Returns how many groups (datagrams, when GSO is off) were lost, wholly or in part. */
  flush(): number {
    const count = this.#count;
    if (count === 0) return 0;
    this.#count = 0;
    this.lastError = this.unreachable = 0;
    this.#waited = 0;
    let lost = 0;
    let at = 0;
    while (at < count) {
      const sent = libc.sendmmsg(this.#fd, this.#arena.pointer(this.#headers + at * MMSGHDR), count - at, 0);
      if (sent > 0) {
        at += sent;
        continue;
      }
      const code = sent === 0 ? EAGAIN : errno();
      if (code === EINTR) continue;
      this.lastError = -code;
      if (code === EAGAIN) {
        if (this.#waitForRoom()) continue;
        lost += count - at;
        break;
      }
      if (code === EHOSTUNREACH || code === ENETUNREACH) this.unreachable = this.#to[at];
      if (!this.#recover(at, code)) lost++;
      at++;
    }
    this.counters.lost += lost;
    return lost;
  }

  #add(to: AddrId, offset: number, length: number, segment: number): boolean {
    const { u16, u32 } = this.#arena;
    const i = this.#count++;
    this.#to[i] = to;
    this.#offsets[i] = offset;
    this.#lengths[i] = length;
    this.#segments[i] = segment;
    const header = this.#headers + i * MMSGHDR;
    const word = header >> 2;
    this.#arena.writePointer(header, this.#addrs.offset(to));
    u32[word + 2] = this.#addrs.lengthOf(to);
    const iovec = this.#iovecs + i * IOVEC;
    this.#arena.writePointer(iovec, offset);
    u32[(iovec >> 2) + 2] = length;
    if (segment === 0) {
      u32[word + 8] = u32[word + 9] = u32[word + 10] = 0;
    } else {
      const control = this.#controls + i * CMSG;
      this.#arena.writePointer(header + 32, control);
      u32[word + 10] = CMSG;
      u16[(control + 16) >> 1] = segment;
    }
    return true;
  }

  /** Deals with entry `i`, refused with `code`. True when all of it went out after all. */
  #recover(i: number, code: number): boolean {
    const segment = this.#segments[i];
    if (segment === 0) return false;
    if (code === EMSGSIZE || (code === EINVAL && segment > FITS_ANY_PATH)) this.counters.tooBig++;
    else if (code === EIO || code === EINVAL) this.gso = false;
    else return false;
    const to = this.#arena.pointer(this.#addrs.offset(this.#to[i]));
    const toLength = this.#addrs.lengthOf(this.#to[i]);
    const end = this.#offsets[i] + this.#lengths[i];
    let whole = true;
    for (let at = this.#offsets[i]; at < end;) {
      const length = Math.min(segment, end - at);
      const sent = libc.sendto(this.#fd, this.#arena.pointer(at), length, 0, to, toLength);
      if (sent < 0) {
        const failure = errno();
        if (failure === EINTR || (failure === EAGAIN && this.#waitForRoom())) continue;
        this.lastError = -failure;
        whole = false;
      }
      at += length;
    }
    return whole;
  }

  /** Waits until the socket takes more; false when this flush has waited long enough. */
  #waitForRoom(): boolean {
    if (this.#waited >= EAGAIN_BUDGET_MS) return false;
    this.counters.full++;
    const before = performance.now();
    const ready = libc.poll(this.#arena.pointer(this.#pollfd), 1, EAGAIN_BUDGET_MS - this.#waited);
    // At least a millisecond a wait, so that a socket that claims room it has not cannot hold us.
    this.#waited += Math.max(1, Math.ceil(performance.now() - before));
    return ready > 0;
  }
}
