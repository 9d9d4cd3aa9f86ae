/**
 * A bound, non-blocking UDP socket of one address family, batched both ways.
 *
 *   send     queue → one UDP_SEGMENT group each → one sendmmsg (udp_batch.ts)
 *   receive  recvmsg into 64 KiB; UDP_GRO hands over several equal datagrams of one source at once
 *
 * IP_MTU_DISCOVER is IP_PMTUDISC_DONT, as Tailscale sets it where it does not probe paths itself: a path MTU that the kernel
 * was told is honoured by fragmenting here, and IPv4 routers may fragment where nobody tells. Linux clears the DF bit of
 * UDP_SEGMENT groups anyway; with the default, single datagrams alone would vanish behind a router that sends no ICMP.
 *
 *   struct msghdr (56 bytes)  0 *name  8 u32 namelen  16 *iov  24 u64 iovlen  32 *control  40 u64 controllen  48 i32 flags
 *
 * Source: udp(7), recvmsg(2), socket(7).
 */

import { formatIp, type IpBytes } from "../base/ip.ts";
import type { AddrId, UdpPort } from "../engine/ports.ts";
import type { FfiArena } from "./arena.ts";
import { check, closeFd, EINTR, EMSGSIZE, errno, libc } from "./libc.ts";
import { AF_INET, AF_INET6, type FfiAddrTable, SOCKADDR_SLOT } from "./sockaddr.ts";
import { UDP_SEGMENT, UdpBatch, type UdpSendCounters } from "./udp_batch.ts";

const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_MARK = 36;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const PMTUDISC_DONT = 0;
const IPV6_V6ONLY = 26;
const SOL_UDP = 17;
const UDP_GRO = 104;
const MSG_TRUNC = 0x20;

const SOCKET_BUFFER = 7 << 20;

const CONTROL_BYTES = 64;
const GRO_CONTROL_LEN = 20;

export interface UdpOptions {
  readonly arena: FfiArena;
  readonly addrs: FfiAddrTable;
  readonly family: 4 | 6;
  /** Bind to one address of `family`; any address by default. */
  readonly address?: IpBytes;
  /** Host order; 0 lets the kernel choose. */
  readonly port: number;
  /** SO_MARK, 0 for none. Ignored where the process may not set it. */
  readonly mark?: number;
  /** Use UDP_SEGMENT and UDP_GRO where the kernel has them; true by default. */
  readonly offload?: boolean;
}

/** A UDP port over a socket, with what operators want to see of it. */
export interface FfiUdpPort extends UdpPort {
  /** -errno of the last send that failed in the last `flush`, 0 when none did. */
  readonly lastError: number;
  readonly sent: Readonly<UdpSendCounters>;
  /** Datagrams that did not fit the receive buffer. */
  readonly truncated: number;
  /** Bytes the kernel granted, as it counts them (twice what was asked). */
  readonly receiveBuffer: number;
}

/** Opens and binds. @throws FfiError: EADDRINUSE for a taken port, EAFNOSUPPORT where there is no IPv6. */
export function createUdp(options: UdpOptions): FfiUdpPort {
  return new LinuxUdp(options);
}

class LinuxUdp implements FfiUdpPort {
  readonly fd: number;
  readonly family: 4 | 6;
  readonly port: number;
  readonly receiveBuffer: number;
  readonly offloads: { gso: boolean; readonly gro: boolean };
  segment = 0;
  source: AddrId = 0;
  truncated = 0;
  readonly #arena: FfiArena;
  readonly #addrs: FfiAddrTable;
  readonly #batch: UdpBatch;
  readonly #header: number;
  readonly #name: number;
  readonly #iovec: number;
  readonly #control: number;
  #open = true;

  constructor({ arena, addrs, family, address, port, mark = 0, offload = true }: UdpOptions) {
    this.#arena = arena;
    this.#addrs = addrs;
    this.family = family;
    const domain = family === 4 ? AF_INET : AF_INET6;
    this.fd = check(
      libc.socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
      "socket",
      `open an IPv${family} UDP socket`,
    );
    try {
      if (family === 6) check(setOption(this.fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), "setsockopt", "set IPV6_V6ONLY");
      // First what anybody may ask for, then what CAP_NET_ADMIN may: each is allowed to fail.
      setOption(this.fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
      setOption(this.fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
      setOption(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER);
      setOption(this.fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER);
      if (family === 4) setOption(this.fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT);
      else setOption(this.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT);
      if (mark !== 0) setOption(this.fd, SOL_SOCKET, SO_MARK, mark);
      const gso = offload && getOption(this.fd, SOL_UDP, UDP_SEGMENT) >= 0;
      const gro = offload && setOption(this.fd, SOL_UDP, UDP_GRO, 1) === 0;
      this.offloads = { gso, gro };
      const local = socketAddress(family, address, port);
      const where = address === undefined ? `IPv${family}` : formatIp(address);
      check(libc.bind(this.fd, local, local.length), "bind", `bind UDP port ${port} (${where})`);
      this.port = boundPort(this.fd);
      this.receiveBuffer = getOption(this.fd, SOL_SOCKET, SO_RCVBUF);
      this.#batch = new UdpBatch(this.fd, arena, addrs, gso);
    } catch (error) {
      closeFd(this.fd);
      throw error;
    }
    this.#header = arena.reserve(56);
    this.#name = arena.reserve(SOCKADDR_SLOT);
    this.#iovec = arena.reserve(16);
    this.#control = arena.reserve(CONTROL_BYTES);
    arena.u8.fill(0, this.#header, this.#header + 56);
    arena.writePointer(this.#header, this.#name);
    arena.writePointer(this.#header + 16, this.#iovec);
    arena.u32[(this.#header + 24) >> 2] = 1;
    arena.writePointer(this.#header + 32, this.#control);
    arena.u32[(this.#iovec + 12) >> 2] = 0;
  }

  get sent(): Readonly<UdpSendCounters> {
    return this.#batch.counters;
  }

  get lastError(): number {
    return this.#batch.lastError;
  }

  get unreachable(): AddrId {
    return this.#batch.unreachable;
  }

  recv(offset: number, max: number): number {
    const { u32, i32 } = this.#arena;
    const header = this.#header >> 2;
    const iovec = this.#iovec >> 2;
    this.#arena.writePointer(this.#iovec, offset);
    u32[iovec + 2] = max;
    u32[header + 2] = SOCKADDR_SLOT;
    u32[header + 10] = CONTROL_BYTES;
    const length = libc.recvmsg(this.fd, this.#arena.pointer(this.#header), 0);
    if (length < 0) {
      const code = errno();
      return code === EINTR ? this.recv(offset, max) : -code;
    }
    this.source = this.#addrs.fromSockaddr(this.#name);
    this.segment = length;
    if ((u32[header + 12] & MSG_TRUNC) !== 0) {
      this.truncated++;
      return -EMSGSIZE;
    }
    if (u32[header + 10] >= GRO_CONTROL_LEN) {
      const control = this.#control >> 2;
      if (i32[control + 2] === SOL_UDP && i32[control + 3] === UDP_GRO) {
        const segment = i32[control + 4];
        if (segment > 0 && segment < length) this.segment = segment;
      }
    }
    return length;
  }

  queue(to: AddrId, offset: number, length: number, segment: number): boolean {
    return this.#batch.queue(to, offset, length, segment);
  }

  flush(): number {
    const lost = this.#batch.flush();
    this.offloads.gso = this.#batch.gso;
    return lost;
  }

  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }
}

/** A sockaddr in ordinary memory, for calls outside the packet path. */
export function socketAddress(family: 4 | 6, ip: Uint8Array | undefined, port: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(family === 4 ? 16 : 28);
  bytes[0] = family === 4 ? AF_INET : AF_INET6;
  bytes[2] = port >>> 8;
  bytes[3] = port;
  if (ip !== undefined) {
    if (ip.length !== (family === 4 ? 4 : 16)) {
      throw new TypeError(`Cannot use an address of ${ip.length} bytes with IPv${family}`);
    }
    bytes.set(ip, family === 4 ? 4 : 8);
  }
  return bytes;
}

function setOption(fd: number, level: number, name: number, value: number): number {
  return libc.setsockopt(fd, level, name, Int32Array.of(value), 4);
}

/** The value, or -1 where the kernel does not know the option. */
function getOption(fd: number, level: number, name: number): number {
  const value = new Int32Array(1);
  return libc.getsockopt(fd, level, name, value, Int32Array.of(4)) < 0 ? -1 : value[0];
}

function boundPort(fd: number): number {
  const address = new Uint8Array(28);
  check(libc.getsockname(fd, address, Int32Array.of(28)), "getsockname");
  return address[2] << 8 | address[3];
}
