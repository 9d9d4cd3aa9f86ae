/**
 * ICMP echo: is there an answer, and how fast.
 *
 *   0 u8 type (8 / 128 asks, 0 / 129 answers)  1 u8 code  2 u16 BE checksum  4 u16 BE identifier  6 u16 BE sequence  8 data
 *
 * Unprivileged ping sockets where `net.ipv4.ping_group_range` allows them, raw sockets otherwise. On the first the kernel
 * picks the identifier, so answers are told by 8 random bytes of data. Source: RFC 792, RFC 4443 4, icmp(7).
 */

import { formatIp } from "../base/ip.ts";
import { check, closeFd, EAGAIN, EINTR, errno, FfiError, libc, O_CLOEXEC, O_NONBLOCK } from "./libc.ts";
import { AF_INET, AF_INET6 } from "./sockaddr.ts";
import { socketAddress } from "./udp.ts";

const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const ECHO_REPLY = { 4: 0, 6: 129 } as const;
const ECHO_REQUEST = { 4: 8, 6: 128 } as const;
const HEADER = 8;
const COOKIE = 8;
const POLLIN = 1;

export interface EchoOptions {
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array;
  readonly timeoutMs: number;
  readonly sequence?: number;
  /** Bytes of data, at least 8; 56 by default. */
  readonly size?: number;
  /** Keeps it out of the tunnel; without one it goes as the machine's own packets do. */
  readonly mark?: number;
}

/** Asks once. @returns the round trip in ms, or undefined when no answer came in time. @throws FfiError */
export async function icmpEcho(options: EchoOptions): Promise<number | undefined> {
  const { ip, timeoutMs, sequence = 1, size = 56, mark = 0 } = options;
  const family = ip.length === 4 ? 4 : 6;
  const { fd, raw } = openSocket(family);
  try {
    if (mark !== 0) libc.setsockopt(fd, SOL_SOCKET, SO_MARK, Int32Array.of(mark), 4);
    const request = encode(family, sequence, Math.max(size, COOKIE));
    const cookie = request.slice(HEADER, HEADER + COOKIE);
    const address = socketAddress(family, ip, 0);
    check(libc.connect(fd, address, address.length), "connect", `reach ${formatIp(ip)}`);
    const sent = performance.now();
    check(libc.sendto_buffer(fd, request, request.length, 0, null, 0), "sendto", `ping ${formatIp(ip)}`);
    // The caller may stand in another namespace until we yield, and a pool thread born now would stay there.
    await Promise.resolve();
    const buffer = new Uint8Array(2048 + size);
    const pollfd = Int32Array.of(fd, POLLIN);
    for (;;) {
      const left = timeoutMs - (performance.now() - sent);
      if (left <= 0) return undefined;
      await libc.poll_async(pollfd, 1, Math.ceil(left));
      const length = libc.recv_buffer(fd, buffer, buffer.length, 0);
      if (length >= 0) {
        const data = buffer.subarray(0, length);
        if (answers(raw && family === 4 ? data.subarray((data[0] & 15) * 4) : data, family, sequence, cookie)) {
          return performance.now() - sent;
        }
      } else if (errno() !== EAGAIN && errno() !== EINTR) throw new FfiError("recv", errno(), `ping ${formatIp(ip)}`);
    }
  } finally {
    closeFd(fd);
  }
}

function openSocket(family: 4 | 6): { fd: number; raw: boolean } {
  const [domain, protocol] = family === 4 ? [AF_INET, IPPROTO_ICMP] : [AF_INET6, IPPROTO_ICMPV6];
  const flags = O_NONBLOCK | O_CLOEXEC;
  const fd = libc.socket(domain, SOCK_DGRAM | flags, protocol);
  if (fd >= 0) return { fd, raw: false };
  return { fd: check(libc.socket(domain, SOCK_RAW | flags, protocol), "socket", "open an ICMP socket"), raw: true };
}

function encode(family: 4 | 6, sequence: number, size: number): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEADER + size);
  const view = new DataView(message.buffer);
  message[0] = ECHO_REQUEST[family];
  view.setUint16(4, crypto.getRandomValues(new Uint16Array(1))[0]);
  view.setUint16(6, sequence);
  crypto.getRandomValues(message.subarray(HEADER, HEADER + COOKIE));
  // The ICMPv6 checksum covers the source address, so the kernel fills it in.
  if (family === 4) view.setUint16(2, internetChecksum(message));
  return message;
}

function answers(message: Uint8Array, family: 4 | 6, sequence: number, cookie: Uint8Array): boolean {
  return message.length >= HEADER + COOKIE && message[0] === ECHO_REPLY[family] &&
    (message[6] << 8 | message[7]) === sequence && cookie.every((byte, i) => message[HEADER + i] === byte);
}

/** RFC 1071. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
