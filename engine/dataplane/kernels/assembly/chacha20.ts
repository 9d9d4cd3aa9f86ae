// @ts-nocheck: AssemblyScript
/**
 * ChaCha20 (RFC 8439 2.3), four blocks at a time: word i of all four blocks lies in the lanes of one vector, so the
 * twenty rounds need no shuffles between words; at the end the words are transposed into blocks.
 *
 * Rotations by whole bytes are swizzles by a constant, which V8 makes one instruction of; a shuffle is several.
 */

const C0: u32 = 0x61707865;
const C1: u32 = 0x3320646e;
const C2: u32 = 0x79622d32;
const C3: u32 = 0x6b206574;

function rotate16(x: v128): v128 {
  return i8x16.swizzle(x, i8x16(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

function rotate12(x: v128): v128 {
  return v128.or(i32x4.shl(x, 12), i32x4.shr_u(x, 20));
}

function rotate8(x: v128): v128 {
  return i8x16.swizzle(x, i8x16(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
}

function rotate7(x: v128): v128 {
  return v128.or(i32x4.shl(x, 7), i32x4.shr_u(x, 25));
}

/** XORs four words of one block into `to`: the low pairs of two vectors, or the high ones. */
function xorQuarter(to: usize, a: v128, b: v128): void {
  v128.store(to, v128.xor(v128.load(to), i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)));
}

function xorQuarterHigh(to: usize, a: v128, b: v128): void {
  v128.store(
    to,
    v128.xor(v128.load(to), i8x16.shuffle(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)),
  );
}

function lowPairs(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
}

function highPairs(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
}

/** XORs words 4n to 4n+3 into each of the four blocks at `to`, which is already advanced by 16n. */
function xorWords(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = lowPairs(a, b);
  const cd = lowPairs(c, d);
  const abHigh = highPairs(a, b);
  const cdHigh = highPairs(c, d);
  xorQuarter(to, ab, cd);
  xorQuarterHigh(to + 64, ab, cd);
  xorQuarter(to + 128, abHigh, cdHigh);
  xorQuarterHigh(to + 192, abHigh, cdHigh);
}

/**
 * XORs the key stream of blocks `counter` to `counter + 3` into the 256 bytes at `to`.
 * @param key offset of 32 bytes. @param n1 and @param n2 the nonce's second and third word; its first is 0 (WireGuard).
 */
export function xorBlocks(to: usize, key: usize, n1: u32, n2: u32, counter: u32): void {
  const k0 = v128.load32_splat(key, 0);
  const k1 = v128.load32_splat(key, 4);
  const k2 = v128.load32_splat(key, 8);
  const k3 = v128.load32_splat(key, 12);
  const k4 = v128.load32_splat(key, 16);
  const k5 = v128.load32_splat(key, 20);
  const k6 = v128.load32_splat(key, 24);
  const k7 = v128.load32_splat(key, 28);
  const counters = i32x4.add(i32x4.splat(counter), i32x4(0, 1, 2, 3));
  let x0 = i32x4.splat(C0);
  let x1 = i32x4.splat(C1);
  let x2 = i32x4.splat(C2);
  let x3 = i32x4.splat(C3);
  let x4 = k0;
  let x5 = k1;
  let x6 = k2;
  let x7 = k3;
  let x8 = k4;
  let x9 = k5;
  let x10 = k6;
  let x11 = k7;
  let x12 = counters;
  let x13 = i32x4.splat(0);
  let x14 = i32x4.splat(n1);
  let x15 = i32x4.splat(n2);
  for (let round = 0; round < 10; round++) {
    x0 = i32x4.add(x0, x4);
    x1 = i32x4.add(x1, x5);
    x2 = i32x4.add(x2, x6);
    x3 = i32x4.add(x3, x7);
    x12 = rotate16(v128.xor(x12, x0));
    x13 = rotate16(v128.xor(x13, x1));
    x14 = rotate16(v128.xor(x14, x2));
    x15 = rotate16(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12);
    x9 = i32x4.add(x9, x13);
    x10 = i32x4.add(x10, x14);
    x11 = i32x4.add(x11, x15);
    x4 = rotate12(v128.xor(x4, x8));
    x5 = rotate12(v128.xor(x5, x9));
    x6 = rotate12(v128.xor(x6, x10));
    x7 = rotate12(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x4);
    x1 = i32x4.add(x1, x5);
    x2 = i32x4.add(x2, x6);
    x3 = i32x4.add(x3, x7);
    x12 = rotate8(v128.xor(x12, x0));
    x13 = rotate8(v128.xor(x13, x1));
    x14 = rotate8(v128.xor(x14, x2));
    x15 = rotate8(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12);
    x9 = i32x4.add(x9, x13);
    x10 = i32x4.add(x10, x14);
    x11 = i32x4.add(x11, x15);
    x4 = rotate7(v128.xor(x4, x8));
    x5 = rotate7(v128.xor(x5, x9));
    x6 = rotate7(v128.xor(x6, x10));
    x7 = rotate7(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x5);
    x1 = i32x4.add(x1, x6);
    x2 = i32x4.add(x2, x7);
    x3 = i32x4.add(x3, x4);
    x15 = rotate16(v128.xor(x15, x0));
    x12 = rotate16(v128.xor(x12, x1));
    x13 = rotate16(v128.xor(x13, x2));
    x14 = rotate16(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15);
    x11 = i32x4.add(x11, x12);
    x8 = i32x4.add(x8, x13);
    x9 = i32x4.add(x9, x14);
    x5 = rotate12(v128.xor(x5, x10));
    x6 = rotate12(v128.xor(x6, x11));
    x7 = rotate12(v128.xor(x7, x8));
    x4 = rotate12(v128.xor(x4, x9));
    x0 = i32x4.add(x0, x5);
    x1 = i32x4.add(x1, x6);
    x2 = i32x4.add(x2, x7);
    x3 = i32x4.add(x3, x4);
    x15 = rotate8(v128.xor(x15, x0));
    x12 = rotate8(v128.xor(x12, x1));
    x13 = rotate8(v128.xor(x13, x2));
    x14 = rotate8(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15);
    x11 = i32x4.add(x11, x12);
    x8 = i32x4.add(x8, x13);
    x9 = i32x4.add(x9, x14);
    x5 = rotate7(v128.xor(x5, x10));
    x6 = rotate7(v128.xor(x6, x11));
    x7 = rotate7(v128.xor(x7, x8));
    x4 = rotate7(v128.xor(x4, x9));
  }
  xorWords(
    to,
    i32x4.add(x0, i32x4.splat(C0)),
    i32x4.add(x1, i32x4.splat(C1)),
    i32x4.add(x2, i32x4.splat(C2)),
    i32x4.add(x3, i32x4.splat(C3)),
  );
  xorWords(to + 16, i32x4.add(x4, k0), i32x4.add(x5, k1), i32x4.add(x6, k2), i32x4.add(x7, k3));
  xorWords(to + 32, i32x4.add(x8, k4), i32x4.add(x9, k5), i32x4.add(x10, k6), i32x4.add(x11, k7));
  xorWords(
    to + 48,
    i32x4.add(x12, counters),
    x13,
    i32x4.add(x14, i32x4.splat(n1)),
    i32x4.add(x15, i32x4.splat(n2)),
  );
}

/** Words 1 2 3 0, 2 3 0 1 and 3 0 1 2 of a row. */
function turn1(x: v128): v128 {
  return i8x16.shuffle(x, x, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
}

function turn2(x: v128): v128 {
  return i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
}

function turn3(x: v128): v128 {
  return i8x16.shuffle(x, x, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
}

/**
 * XORs the key stream of block `counter` into the 64 bytes at `to`: for a packet's end, where four blocks would be three
 * too many. The rows of the state are one vector each; diagonals become columns by turning the rows.
 */
export function xorBlock(to: usize, key: usize, n1: u32, n2: u32, counter: u32): void {
  const a0 = i32x4(C0, C1, C2, C3);
  const b0 = v128.load(key);
  const c0 = v128.load(key, 16);
  const d0 = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(0), 0, counter), 2, n1), 3, n2);
  let a = a0;
  let b = b0;
  let c = c0;
  let d = d0;
  for (let half = 0; half < 20; half++) {
    a = i32x4.add(a, b);
    d = rotate16(v128.xor(d, a));
    c = i32x4.add(c, d);
    b = rotate12(v128.xor(b, c));
    a = i32x4.add(a, b);
    d = rotate8(v128.xor(d, a));
    c = i32x4.add(c, d);
    b = rotate7(v128.xor(b, c));
    c = turn2(c);
    // Columns to diagonals, and back.
    if ((half & 1) == 0) {
      b = turn1(b);
      d = turn3(d);
    } else {
      b = turn3(b);
      d = turn1(d);
    }
  }
  v128.store(to, v128.xor(v128.load(to), i32x4.add(a, a0)));
  v128.store(to, v128.xor(v128.load(to, 16), i32x4.add(b, b0)), 16);
  v128.store(to, v128.xor(v128.load(to, 32), i32x4.add(c, c0)), 32);
  v128.store(to, v128.xor(v128.load(to, 48), i32x4.add(d, d0)), 48);
}
