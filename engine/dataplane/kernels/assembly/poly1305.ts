// @ts-nocheck: AssemblyScript
/**
 * Poly1305 (RFC 8439 2.5) over 26-bit limbs, four blocks a step.
 *
 * Two lanes each accumulate every second block:   E = (E + m0) r^4 + m2 r^2      O = (O + m1) r^4 + m3 r^2
 * and the last step joins them:           E + O = (E + m0) r^4 + m2 r^2  +  (O + m1) r^3 + m3 r
 *
 * So a step is ten products a limb and one carry, and the steps differ only in their table of multipliers: nine vectors
 * `r0 r1 r2 r3 r4 5r1 5r2 5r3 5r4` for the pair (m0, m1), then nine for (m2, m3). A product of limbs is below
 * 2^27 x 2^29, and ten of them fit 64 bits. What is left, under 64 bytes, goes block by block.
 */
import { BLOCK, CLOSING, H, ONE_TIME_KEY, R1, R2, R3, R4, RUNNING } from "./scratch.ts";

const LIMB: u64 = 0x3ffffff;
/** Bytes of nine multipliers. */
const TABLE: u32 = 144;

/** Splits 16 bytes and a bit above them into limbs, and adds them to the accumulator at `h`. */
function addBlock(h: usize, at: usize, above: u32): void {
  const low = load<u64>(at);
  const high = load<u64>(at, 8);
  store<u32>(h, load<u32>(h) + ((low & LIMB) as u32));
  store<u32>(h, load<u32>(h, 4) + (((low >> 26) & LIMB) as u32), 4);
  store<u32>(h, load<u32>(h, 8) + ((((low >> 52) | (high << 12)) & LIMB) as u32), 8);
  store<u32>(h, load<u32>(h, 12) + (((high >> 14) & LIMB) as u32), 12);
  store<u32>(h, load<u32>(h, 16) + (((high >> 40) as u32) | above), 16);
}

/** Carries 64-bit limbs into 26-bit ones (the second may keep a bit more) and stores them at `to`. */
function storeCarried(to: usize, d0: u64, d1: u64, d2: u64, d3: u64, d4: u64): void {
  d1 += d0 >> 26;
  d2 += d1 >> 26;
  d3 += d2 >> 26;
  d4 += d3 >> 26;
  d0 = (d0 & LIMB) + (d4 >> 26) * 5;
  store<u32>(to, (d0 & LIMB) as u32);
  store<u32>(to, ((d1 & LIMB) + (d0 >> 26)) as u32, 4);
  store<u32>(to, (d2 & LIMB) as u32, 8);
  store<u32>(to, (d3 & LIMB) as u32, 12);
  store<u32>(to, (d4 & LIMB) as u32, 16);
}

/** `to` = `a` x `b` modulo 2^130 - 5. */
function multiply(to: usize, a: usize, b: usize): void {
  const a0 = load<u32>(a) as u64;
  const a1 = load<u32>(a, 4) as u64;
  const a2 = load<u32>(a, 8) as u64;
  const a3 = load<u32>(a, 12) as u64;
  const a4 = load<u32>(a, 16) as u64;
  const b0 = load<u32>(b) as u64;
  const b1 = load<u32>(b, 4) as u64;
  const b2 = load<u32>(b, 8) as u64;
  const b3 = load<u32>(b, 12) as u64;
  const b4 = load<u32>(b, 16) as u64;
  const s1 = b1 * 5;
  const s2 = b2 * 5;
  const s3 = b3 * 5;
  const s4 = b4 * 5;
  storeCarried(
    to,
    a0 * b0 + a1 * s4 + a2 * s3 + a3 * s2 + a4 * s1,
    a0 * b1 + a1 * b0 + a2 * s4 + a3 * s3 + a4 * s2,
    a0 * b2 + a1 * b1 + a2 * b0 + a3 * s4 + a4 * s3,
    a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 + a4 * s4,
    a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0,
  );
}

/** Writes nine multipliers: the limbs of the powers at `even` and `odd`, side by side. */
function writeTable(to: usize, even: usize, odd: usize): void {
  for (let i: u32 = 0; i < 5; i++) {
    const a = load<u32>(even + i * 4);
    const b = load<u32>(odd + i * 4);
    store<u64>(to + i * 16, (a as u64) | ((b as u64) << 32));
    if (i > 0) store<u64>(to + (i + 4) * 16, ((a * 5) as u64) | (((b * 5) as u64) << 32));
  }
}

/** The low halves of both 64-bit lanes, in the two low 32-bit lanes. */
function narrow(x: v128): v128 {
  return i8x16.shuffle(x, x, 0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11);
}

/** The first halves of two blocks, and their second halves. */
function lowHalves(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

function highHalves(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}

function times(x: v128, multiplier: usize): v128 {
  return i64x2.extmul_low_i32x4_u(x, v128.load(multiplier));
}

/** The sum of five products: of limbs `x0` to `x4` and the multipliers at `m0` to `m4`. */
function dot(
  x0: v128,
  m0: usize,
  x1: v128,
  m1: usize,
  x2: v128,
  m2: usize,
  x3: v128,
  m3: usize,
  x4: v128,
  m4: usize,
): v128 {
  return i64x2.add(
    i64x2.add(i64x2.add(times(x0, m0), times(x1, m1)), i64x2.add(times(x2, m2), times(x3, m3))),
    times(x4, m4),
  );
}

function lanes(x: v128): u64 {
  return i64x2.extract_lane(x, 0) + i64x2.extract_lane(x, 1);
}

/** Absorbs `length` bytes, a multiple of 64 and not 0, into the accumulator, which must be 0. */
function absorbSteps(scratch: usize, at: usize, length: u32): void {
  const limb = i64x2.splat(LIMB);
  const above = i64x2.splat(1 << 24);
  let h0 = i64x2.splat(0);
  let h1 = i64x2.splat(0);
  let h2 = i64x2.splat(0);
  let h3 = i64x2.splat(0);
  let h4 = i64x2.splat(0);
  for (;; at += 64, length -= 64) {
    const last = length == 64;
    const m = scratch + (last ? CLOSING : RUNNING);
    let low = lowHalves(v128.load(at), v128.load(at, 16));
    let high = highHalves(v128.load(at), v128.load(at, 16));
    const a0 = narrow(i64x2.add(h0, v128.and(low, limb)));
    const a1 = narrow(i64x2.add(h1, v128.and(i64x2.shr_u(low, 26), limb)));
    const a2 = narrow(i64x2.add(h2, v128.and(v128.or(i64x2.shr_u(low, 52), i64x2.shl(high, 12)), limb)));
    const a3 = narrow(i64x2.add(h3, v128.and(i64x2.shr_u(high, 14), limb)));
    const a4 = narrow(i64x2.add(h4, v128.or(i64x2.shr_u(high, 40), above)));
    low = lowHalves(v128.load(at, 32), v128.load(at, 48));
    high = highHalves(v128.load(at, 32), v128.load(at, 48));
    const b0 = narrow(v128.and(low, limb));
    const b1 = narrow(v128.and(i64x2.shr_u(low, 26), limb));
    const b2 = narrow(v128.and(v128.or(i64x2.shr_u(low, 52), i64x2.shl(high, 12)), limb));
    const b3 = narrow(v128.and(i64x2.shr_u(high, 14), limb));
    const b4 = narrow(v128.or(i64x2.shr_u(high, 40), above));
    // Offsets of r0 to r4 are 0 to 64, of 5r1 to 5r4 are 80 to 128.
    const n = m + TABLE;
    h0 = i64x2.add(
      dot(a0, m, a1, m + 128, a2, m + 112, a3, m + 96, a4, m + 80),
      dot(b0, n, b1, n + 128, b2, n + 112, b3, n + 96, b4, n + 80),
    );
    h1 = i64x2.add(
      dot(a0, m + 16, a1, m, a2, m + 128, a3, m + 112, a4, m + 96),
      dot(b0, n + 16, b1, n, b2, n + 128, b3, n + 112, b4, n + 96),
    );
    h2 = i64x2.add(
      dot(a0, m + 32, a1, m + 16, a2, m, a3, m + 128, a4, m + 112),
      dot(b0, n + 32, b1, n + 16, b2, n, b3, n + 128, b4, n + 112),
    );
    h3 = i64x2.add(
      dot(a0, m + 48, a1, m + 32, a2, m + 16, a3, m, a4, m + 128),
      dot(b0, n + 48, b1, n + 32, b2, n + 16, b3, n, b4, n + 128),
    );
    h4 = i64x2.add(
      dot(a0, m + 64, a1, m + 48, a2, m + 32, a3, m + 16, a4, m),
      dot(b0, n + 64, b1, n + 48, b2, n + 32, b3, n + 16, b4, n),
    );
    if (last) break;
    // Two chains of carries side by side: from limb 0 and from limb 3.
    h1 = i64x2.add(h1, i64x2.shr_u(h0, 26));
    h4 = i64x2.add(h4, i64x2.shr_u(h3, 26));
    h0 = v128.and(h0, limb);
    h3 = v128.and(h3, limb);
    h2 = i64x2.add(h2, i64x2.shr_u(h1, 26));
    const over = i64x2.shr_u(h4, 26);
    h1 = v128.and(h1, limb);
    h4 = v128.and(h4, limb);
    h0 = i64x2.add(h0, i64x2.add(over, i64x2.shl(over, 2)));
    h3 = i64x2.add(h3, i64x2.shr_u(h2, 26));
    h2 = v128.and(h2, limb);
    h1 = i64x2.add(h1, i64x2.shr_u(h0, 26));
    h0 = v128.and(h0, limb);
    h4 = i64x2.add(h4, i64x2.shr_u(h3, 26));
    h3 = v128.and(h3, limb);
  }
  storeCarried(scratch + H, lanes(h0), lanes(h1), lanes(h2), lanes(h3), lanes(h4));
}

/** Absorbs the 16 bytes at `at`. */
function absorbBlock(scratch: usize, at: usize): void {
  addBlock(scratch + H, at, 1 << 24);
  multiply(scratch + H, scratch + H, scratch + R1);
}

/** Reduces the accumulator fully, adds the second half of the one-time key, and writes the tag. */
function finish(scratch: usize, to: usize): void {
  const h = scratch + H;
  let h0 = load<u32>(h);
  let h1 = load<u32>(h, 4);
  let h2 = load<u32>(h, 8);
  let h3 = load<u32>(h, 12);
  let h4 = load<u32>(h, 16);
  const limb = LIMB as u32;
  h2 += h1 >> 26;
  h1 &= limb;
  h3 += h2 >> 26;
  h2 &= limb;
  h4 += h3 >> 26;
  h3 &= limb;
  h0 += (h4 >> 26) * 5;
  h4 &= limb;
  h1 += h0 >> 26;
  h0 &= limb;
  // g = h - (2^130 - 5): taken when it is not negative, without a branch on secret data.
  let g0 = h0 + 5;
  let g1 = h1 + (g0 >> 26);
  let g2 = h2 + (g1 >> 26);
  let g3 = h3 + (g2 >> 26);
  const g4 = h4 + (g3 >> 26) - (1 << 26);
  g0 &= limb;
  g1 &= limb;
  g2 &= limb;
  g3 &= limb;
  const take = (g4 >> 31) - 1;
  h0 = (h0 & ~take) | (g0 & take);
  h1 = (h1 & ~take) | (g1 & take);
  h2 = (h2 & ~take) | (g2 & take);
  h3 = (h3 & ~take) | (g3 & take);
  h4 = (h4 & ~take) | (g4 & take);
  const key = scratch + ONE_TIME_KEY;
  let sum = ((h0 | (h1 << 26)) as u64) + (load<u32>(key, 16) as u64);
  store<u32>(to, sum as u32);
  sum = (((h1 >> 6) | (h2 << 20)) as u64) + (load<u32>(key, 20) as u64) + (sum >> 32);
  store<u32>(to, sum as u32, 4);
  sum = (((h2 >> 12) | (h3 << 14)) as u64) + (load<u32>(key, 24) as u64) + (sum >> 32);
  store<u32>(to, sum as u32, 8);
  sum = (((h3 >> 18) | (h4 << 8)) as u64) + (load<u32>(key, 28) as u64) + (sum >> 32);
  store<u32>(to, sum as u32, 12);
}

/**
 * Writes to `to` the tag of `length` bytes of ciphertext at `at` without associated data (RFC 8439 2.8): the padded
 * ciphertext, then a block of both lengths, under the one-time key in `scratch`.
 */
export function authenticate(scratch: usize, at: usize, length: u32, to: usize): void {
  const block = scratch + BLOCK;
  v128.store(scratch + H, i64x2.splat(0));
  store<u32>(scratch + H, 0, 16);
  // r, clamped (RFC 8439 2.5.1).
  store<u64>(block, load<u64>(scratch + ONE_TIME_KEY) & 0x0ffffffc0fffffff);
  store<u64>(block, load<u64>(scratch + ONE_TIME_KEY, 8) & 0x0ffffffc0ffffffc, 8);
  v128.store(scratch + R1, i64x2.splat(0));
  store<u32>(scratch + R1, 0, 16);
  addBlock(scratch + R1, block, 0);
  // Preparing the tables costs about as much as they save on two steps.
  const steps = length >= 128 ? length & ~63 : 0;
  if (steps > 0) {
    multiply(scratch + R2, scratch + R1, scratch + R1);
    multiply(scratch + R3, scratch + R2, scratch + R1);
    multiply(scratch + R4, scratch + R2, scratch + R2);
    writeTable(scratch + RUNNING, scratch + R4, scratch + R4);
    writeTable(scratch + RUNNING + TABLE, scratch + R2, scratch + R2);
    writeTable(scratch + CLOSING, scratch + R4, scratch + R3);
    writeTable(scratch + CLOSING + TABLE, scratch + R2, scratch + R1);
    absorbSteps(scratch, at, steps);
  }
  const whole = at + (length & ~15);
  for (let i = at + steps; i < whole; i += 16) absorbBlock(scratch, i);
  const rest = length & 15;
  if (rest > 0) {
    v128.store(block, i64x2.splat(0));
    for (let i: u32 = 0; i < rest; i++) store<u8>(block + i, load<u8>(whole + i));
    absorbBlock(scratch, block);
  }
  store<u64>(block, 0);
  store<u64>(block, length as u64, 8);
  absorbBlock(scratch, block);
  finish(scratch, to);
}
