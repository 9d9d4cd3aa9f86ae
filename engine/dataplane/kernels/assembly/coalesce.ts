// @ts-nocheck: AssemblyScript
/** Whether a packet continues a run. Twins: `joinsTcp` and `joinsUdp` of `PlainKernels`. */
import { checksumValid } from "./checksum.ts";

/** Of an IPv4 header: type of service, flags, time to live; addresses are compared apart. */
const V4_MASK = i8x16(0, -1, 0, 0, 0, 0, -1, 0, -1, 0, 0, 0, -1, -1, -1, -1);
/** Of an IPv6 header's first 16 bytes: all but the payload length. */
const V6_MASK = i8x16(-1, -1, -1, -1, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);

function differs(a: usize, b: usize, mask: v128): bool {
  return v128.any_true(v128.and(v128.xor(v128.load(a), v128.load(b)), mask));
}

/** True when the IP headers are alike, but for lengths, identification and checksum. */
function sameNetwork(a: usize, b: usize, v6: bool): bool {
  if (!v6) return !differs(a, b, V4_MASK) && load<u32>(a, 16) == load<u32>(b, 16);
  return !differs(a, b, V6_MASK) && !differs(a + 16, b + 16, i8x16.splat(-1)) && load<u64>(a, 32) == load<u64>(b, 32);
}

/**
 * True when the TCP packet of `length` bytes at `ip` has the headers of the one at `first`, but for lengths,
 * identification, sequence number, flags and checksums, and its own TCP checksum is right.
 */
export function joinsTcp(first: usize, ip: usize, v6: bool, l4: u32, headers: u32, length: u32): bool {
  if (!sameNetwork(first, ip, v6)) return false;
  const a = first + l4;
  const b = ip + l4;
  // Ports; acknowledgement; data offset; window; urgent pointer and options.
  if (load<u32>(a) != load<u32>(b) || load<u32>(a, 8) != load<u32>(b, 8)) return false;
  if (load<u8>(a, 12) != load<u8>(b, 12) || load<u16>(a, 14) != load<u16>(b, 14)) return false;
  if (load<u16>(a, 18) != load<u16>(b, 18)) return false;
  for (let i: u32 = 20; i < headers - l4; i += 4) if (load<u32>(a + i) != load<u32>(b + i)) return false;
  return checksumValid(ip, v6, 6, l4, length);
}

/** The same for UDP, where only the ports are left to compare. */
export function joinsUdp(first: usize, ip: usize, v6: bool, l4: u32, length: u32): bool {
  if (!sameNetwork(first, ip, v6) || load<u32>(first + l4) != load<u32>(ip + l4)) return false;
  return checksumValid(ip, v6, 17, l4, length);
}
