// @ts-nocheck: AssemblyScript
/** Whether a TCP segment continues a run. Twin: `sameHeaders` and `tcpChecksumValid` in TypeScript. */
import { tcpChecksumValid } from "./checksum.ts";

/** Of an IPv4 header: type of service, flags, time to live; addresses are compared apart. */
const V4_MASK = i8x16(0, -1, 0, 0, 0, 0, -1, 0, -1, 0, 0, 0, -1, -1, -1, -1);
/** Of an IPv6 header's first 16 bytes: all but the payload length. */
const V6_MASK = i8x16(-1, -1, -1, -1, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);

function differs(a: usize, b: usize, mask: v128): bool {
  return v128.any_true(v128.and(v128.xor(v128.load(a), v128.load(b)), mask));
}

/**
 * True when the TCP packet of `length` bytes at `ip` has the headers of the one at `first`, but for lengths,
 * identification, sequence number, flags and checksums, and its own TCP checksum is right.
 */
export function joins(first: usize, ip: usize, v6: bool, l4: u32, headers: u32, length: u32): bool {
  if (v6) {
    if (differs(first, ip, V6_MASK) || differs(first + 16, ip + 16, i8x16.splat(-1))) return false;
    if (load<u64>(first, 32) != load<u64>(ip, 32)) return false;
  } else {
    if (differs(first, ip, V4_MASK) || load<u32>(first, 16) != load<u32>(ip, 16)) return false;
  }
  const a = first + l4;
  const b = ip + l4;
  // Ports; acknowledgement; data offset; window; urgent pointer and options.
  if (load<u32>(a) != load<u32>(b) || load<u32>(a, 8) != load<u32>(b, 8)) return false;
  if (load<u8>(a, 12) != load<u8>(b, 12) || load<u16>(a, 14) != load<u16>(b, 14)) return false;
  if (load<u16>(a, 18) != load<u16>(b, 18)) return false;
  for (let i: u32 = 20; i < headers - l4; i += 4) if (load<u32>(a + i) != load<u32>(b + i)) return false;
  return tcpChecksumValid(ip, v6, l4, length);
}
