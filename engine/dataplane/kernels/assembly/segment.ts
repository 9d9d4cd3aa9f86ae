// @ts-nocheck: AssemblyScript
/** Cuts a super-packet into sealing slots. Twin: `writeSegment` of segment.ts, called for each segment. */
import { addressSum, fold, headerSum, laneSum, networkWord, tailSum } from "./checksum.ts";

const MESSAGE_DATA: u32 = 4;
const DATA_HEADER: u32 = 16;
const TCP: u32 = 6;
const UDP: u32 = 17;
const FIN_PSH: u32 = 0x09;
const CWR: u32 = 0x80;

function store16(at: usize, value: u32): void {
  store<u16>(at, bswap<u16>(value as u16));
}

function store32(at: usize, value: u32): void {
  store<u32>(at, bswap<u32>(value));
}

/** Copies `length` bytes and up to 15 more. */
function copyHeaders(to: usize, from: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i += 16) v128.store(to + i, v128.load(from + i));
}

/** Copies `length` bytes and up to 15 more, and returns the unfolded sum of the `length`. */
function copyAndSum(to: usize, from: usize, length: u32): u64 {
  let even = i32x4.splat(0);
  let odd = i32x4.splat(0);
  for (; length >= 32; to += 32, from += 32, length -= 32) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    v128.store(to, a);
    v128.store(to, b, 16);
    even = i32x4.add(even, i32x4.extadd_pairwise_i16x8_u(a));
    odd = i32x4.add(odd, i32x4.extadd_pairwise_i16x8_u(b));
  }
  if (length >= 16) {
    const a = v128.load(from);
    v128.store(to, a);
    even = i32x4.add(even, i32x4.extadd_pairwise_i16x8_u(a));
    to += 16;
    from += 16;
    length -= 16;
  }
  v128.store(to, v128.load(from));
  return laneSum(i32x4.add(even, odd)) + tailSum(from, length);
}

/**
 * Writes segments `first` to `first + most - 1`, or to the last, of the super-packet of `length` bytes at `ip`: each a slot
 * of `stride` bytes at `to`, `[16 B data header | packet | 16 zero bytes]`. The zeros are the padding and the place of the
 * tag. The data headers carry `receiver` and consecutive counters. Returns how many were written.
 */
export function writeSegments(
  ip: usize,
  length: u32,
  l4: u32,
  headers: u32,
  size: u32,
  tcp: bool,
  first: u32,
  most: u32,
  to: usize,
  stride: u32,
  receiver: u32,
  counterLow: u32,
  counterHigh: u32,
): u32 {
  const v6 = load<u8>(ip) >> 4 == 6;
  const payload = length - headers;
  const identification = v6 ? 0 : (bswap<u16>(load<u16>(ip, 4)) as u32);
  const sequence = bswap<u32>(load<u32>(ip + l4, 4));
  const flags = load<u8>(ip + l4, 13) as u32;
  const constantSum = addressSum(ip, v6) + (networkWord(tcp ? TCP : UDP) as u64);
  let counter = ((counterHigh as u64) << 32) | (counterLow as u64);
  let slot = to;
  let written: u32 = 0;
  for (let from = first * size; written < most && from < payload; from += size) {
    const part = min<u32>(size, payload - from);
    const total = headers + part;
    const packet = slot + DATA_HEADER;
    store<u32>(slot, MESSAGE_DATA);
    store<u32>(slot, receiver, 4);
    store<u64>(slot, counter, 8);
    copyHeaders(packet, ip, headers);
    const payloadSum = copyAndSum(packet + headers, ip + headers + from, part);
    if (v6) {
      store16(packet + 4, total - 40);
    } else {
      store16(packet + 2, total);
      store16(packet + 4, identification + first + written);
      store<u16>(packet, 0, 10);
      store<u16>(packet, (~fold(headerSum(packet, l4))) as u16, 10);
    }
    const transport = packet + l4;
    const body = total - l4;
    let field = transport + 6;
    if (tcp) {
      field = transport + 16;
      store32(transport + 4, sequence + from);
      let own = flags;
      if (from > 0) own &= ~CWR;
      if (from + part < payload) own &= ~FIN_PSH;
      store<u8>(transport, own as u8, 13);
    } else {
      store16(transport + 4, body);
    }
    store<u16>(field, 0);
    const sum = fold(constantSum + (networkWord(body) as u64) + headerSum(transport, headers - l4) + payloadSum);
    // RFC 768: a computed zero is sent as all ones.
    store<u16>(field, (sum == 0xffff ? 0xffff : ~sum) as u16);
    v128.store(packet + total, i64x2.splat(0));
    slot += stride;
    counter++;
    written++;
  }
  return written;
}
