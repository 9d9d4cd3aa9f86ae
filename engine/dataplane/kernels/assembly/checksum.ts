// @ts-nocheck: AssemblyScript
/** The Internet checksum (RFC 1071), in little-endian words as `engine/dataplane/checksum.ts` has it. */

/** Folds a sum to 16 bits. */
export function fold(sum: u64): u32 {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ((sum & 0xffff) + (sum >> 16)) as u32;
}

/** A host-order 16-bit number as it counts in a little-endian word sum. */
export function networkWord(value: u32): u32 {
  return ((value & 0xff) << 8) | ((value >> 8) & 0xff);
}

/** The unfolded sum of the last `length` < 16 bytes at `at`. */
export function tailSum(at: usize, length: u32): u64 {
  let sum: u64 = 0;
  if ((length & 8) != 0) {
    sum += (load<u32>(at) as u64) + (load<u32>(at + 4) as u64);
    at += 8;
  }
  if ((length & 4) != 0) {
    sum += load<u32>(at) as u64;
    at += 4;
  }
  if ((length & 2) != 0) {
    sum += load<u16>(at) as u64;
    at += 2;
  }
  if ((length & 1) != 0) sum += load<u8>(at) as u64;
  return sum;
}

/** The sum of four 32-bit lanes. */
export function laneSum(lanes: v128): u64 {
  const pairs = i64x2.add(i64x2.extend_low_i32x4_u(lanes), i64x2.extend_high_i32x4_u(lanes));
  return i64x2.extract_lane(pairs, 0) + i64x2.extract_lane(pairs, 1);
}

/** The unfolded sum of at most 64 KiB: a lane takes 2 x 65,535 for each 16 bytes, so 2^15 steps fit. */
function wordSum(at: usize, length: u32): u64 {
  let even = i32x4.splat(0);
  let odd = i32x4.splat(0);
  for (; length >= 32; at += 32, length -= 32) {
    even = i32x4.add(even, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    odd = i32x4.add(odd, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
  }
  if (length >= 16) {
    even = i32x4.add(even, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    at += 16;
    length -= 16;
  }
  return laneSum(i32x4.add(even, odd)) + tailSum(at, length);
}

/** The sum of `length` bytes, a multiple of 2 and at most some hundred: headers. */
export function headerSum(at: usize, length: u32): u64 {
  let sum: u64 = 0;
  for (; length >= 4; at += 4, length -= 4) sum += load<u32>(at) as u64;
  return length == 2 ? sum + (load<u16>(at) as u64) : sum;
}

/** The sum of both addresses of the IP packet at `ip`. */
export function addressSum(ip: usize, v6: bool): u64 {
  return v6 ? headerSum(ip + 8, 32) : headerSum(ip + 12, 8);
}

/** Twin: `sumBytes` of checksum.ts. */
export function sumBytes(at: usize, length: u32): u32 {
  return fold(wordSum(at, length));
}

/** Twin: `checksumValid` of segment.ts. */
export function checksumValid(ip: usize, v6: bool, protocol: u32, l4: u32, length: u32): bool {
  const body = length - l4;
  const pseudo = addressSum(ip, v6) + (networkWord(protocol) + networkWord(body));
  return fold(pseudo + wordSum(ip + l4, body)) == 0xffff;
}
