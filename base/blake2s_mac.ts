/**
 * Keyed BLAKE2s under one key many times (RFC 7693 2.9): WireGuard's mac1, which every stranger can make us compute.
 *
 * The key's own block is compressed once, when the object is made, so a mac over 116 bytes costs two blocks and not three;
 * noble's general function, which this is checked against, takes five times as long.
 */

const BLOCK = 64;
const IV = Uint32Array.of(
  ...[0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19],
);
/** The order in which each of the ten rounds takes the message's words. RFC 7693 2.7. */
const SIGMA = Uint8Array.of(
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  ...[14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  ...[11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  ...[7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  ...[9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  ...[2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  ...[12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  ...[13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  ...[6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  ...[10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
);

/** The words of the block at hand and the working vector, of whoever computes: nothing here waits in between. */
const m = new Int32Array(16);
const v = new Int32Array(16);

/** RFC 7693 3.1, with words `x` and `y` of the message. */
function mix(a: number, b: number, c: number, d: number, x: number, y: number): void {
  let va = v[a];
  let vb = v[b];
  let vc = v[c];
  let vd = v[d];
  va = (va + vb + x) | 0;
  vd ^= va;
  vd = (vd >>> 16) | (vd << 16);
  vc = (vc + vd) | 0;
  vb ^= vc;
  vb = (vb >>> 12) | (vb << 20);
  va = (va + vb + y) | 0;
  vd ^= va;
  vd = (vd >>> 8) | (vd << 24);
  vc = (vc + vd) | 0;
  vb ^= vc;
  vb = (vb >>> 7) | (vb << 25);
  v[a] = va;
  v[b] = vb;
  v[c] = vc;
  v[d] = vd;
}

/** RFC 7693 3.2: takes the block in `m` into `h`. @param count bytes up to its end, under 2^32. */
function compress(h: Int32Array, count: number, last: boolean): void {
  for (let i = 0; i < 8; i++) {
    v[i] = h[i];
    v[i + 8] = IV[i];
  }
  v[12] ^= count;
  if (last) v[14] = ~v[14];
  for (let at = 0; at < 160; at += 16) {
    mix(0, 4, 8, 12, m[SIGMA[at]], m[SIGMA[at + 1]]);
    mix(1, 5, 9, 13, m[SIGMA[at + 2]], m[SIGMA[at + 3]]);
    mix(2, 6, 10, 14, m[SIGMA[at + 4]], m[SIGMA[at + 5]]);
    mix(3, 7, 11, 15, m[SIGMA[at + 6]], m[SIGMA[at + 7]]);
    mix(0, 5, 10, 15, m[SIGMA[at + 8]], m[SIGMA[at + 9]]);
    mix(1, 6, 11, 12, m[SIGMA[at + 10]], m[SIGMA[at + 11]]);
    mix(2, 7, 8, 13, m[SIGMA[at + 12]], m[SIGMA[at + 13]]);
    mix(3, 4, 9, 14, m[SIGMA[at + 14]], m[SIGMA[at + 15]]);
  }
  for (let i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
}

/** Puts up to 64 bytes into `m`, little-endian, and zeros behind them. */
function load(bytes: Uint8Array, from: number, length: number): void {
  m.fill(0);
  for (let i = 0; i < length; i++) m[i >> 2] |= bytes[from + i] << ((i & 3) << 3);
}

/** BLAKE2s under one key, with a digest of `length` bytes. */
export class Blake2sMac {
  readonly #start: Int32Array;
  readonly #length: number;
  readonly #h = new Int32Array(8);

  /** @param key 1 to 32 bytes, copied. @param length 1 to 32. */
  constructor(key: Uint8Array, length: number) {
    this.#length = length;
    this.#start = Int32Array.from(IV);
    this.#start[0] ^= 0x01010000 ^ (key.length << 8) ^ length;
    load(key, 0, key.length);
    compress(this.#start, BLOCK, false);
  }

  /** The mac of the message; at least one byte, or the key's block would be the last. */
  compute(message: Uint8Array): Uint8Array<ArrayBuffer> {
    const h = this.#h;
    h.set(this.#start);
    let at = 0;
    for (; message.length - at > BLOCK; at += BLOCK) {
      load(message, at, BLOCK);
      compress(h, BLOCK + at + BLOCK, false);
    }
    load(message, at, message.length - at);
    compress(h, BLOCK + message.length, true);
    const out = new Uint8Array(this.#length);
    for (let i = 0; i < out.length; i++) out[i] = h[i >> 2] >>> ((i & 3) * 8);
    return out;
  }
}
