// @ts-nocheck: AssemblyScript
/**
 * ChaCha20-Poly1305 (RFC 8439 2.8) as WireGuard uses it: no associated data, the nonce is four zero bytes and a counter.
 *
 * Block 0 of the key stream is the one-time key; it is made together with blocks 1 to 3, which cover the first 192 bytes.
 */
import { xorBlock, xorBlocks } from "./chacha20.ts";
import { authenticate } from "./poly1305.ts";
import { ONE_TIME_KEY, STREAM, TAG } from "./scratch.ts";

const BLOCK: u32 = 64;
const BLOCKS: u32 = 256;

/** The key stream as it is: of one block, or of four. */
function makeStream(scratch: usize, key: usize, n1: u32, n2: u32, counter: u32, length: u32): void {
  const stream = scratch + STREAM;
  for (let i: u32 = 0; i < length; i += 16) v128.store(stream + i, i64x2.splat(0));
  if (length == BLOCK) xorBlock(stream, key, n1, n2, counter);
  else xorBlocks(stream, key, n1, n2, counter);
}

/** The key stream from block 0, and the one-time key put aside. */
function begin(scratch: usize, key: usize, n1: u32, n2: u32): void {
  makeStream(scratch, key, n1, n2, 0, BLOCKS);
  v128.store(scratch + ONE_TIME_KEY, v128.load(scratch + STREAM));
  v128.store(scratch + ONE_TIME_KEY, v128.load(scratch + STREAM, 16), 16);
}

function xorBytes(to: usize, stream: usize, length: u32): void {
  let i: u32 = 0;
  for (; i + 16 <= length; i += 16) v128.store(to + i, v128.xor(v128.load(to + i), v128.load(stream + i)));
  for (; i < length; i++) store<u8>(to + i, load<u8>(to + i) ^ load<u8>(stream + i));
}

/** En- or decrypts; `begin` has made the first blocks. */
function xorStream(scratch: usize, key: usize, at: usize, length: u32, n1: u32, n2: u32): void {
  const first = min<u32>(length, BLOCKS - BLOCK);
  xorBytes(at, scratch + STREAM + BLOCK, first);
  at += first;
  length -= first;
  let counter: u32 = 4;
  for (; length >= BLOCKS; at += BLOCKS, length -= BLOCKS, counter += 4) xorBlocks(at, key, n1, n2, counter);
  if (length == 0) return;
  makeStream(scratch, key, n1, n2, counter, length > BLOCK ? BLOCKS : BLOCK);
  xorBytes(at, scratch + STREAM, length);
}

/** Seals `length` bytes at `at`; the 16-byte tag follows them. @param key offset of 32 bytes. */
export function seal(key: usize, scratch: usize, at: usize, length: u32, counterLow: u32, counterHigh: u32): void {
  begin(scratch, key, counterLow, counterHigh);
  xorStream(scratch, key, at, length, counterLow, counterHigh);
  authenticate(scratch, at, length, at + length);
}

/** Opens `length` bytes of ciphertext, tag behind them. False: forged, and the bytes are as they were. */
export function open(key: usize, scratch: usize, at: usize, length: u32, counterLow: u32, counterHigh: u32): bool {
  begin(scratch, key, counterLow, counterHigh);
  authenticate(scratch, at, length, scratch + TAG);
  const difference = v128.xor(v128.load(scratch + TAG), v128.load(at + length));
  if (v128.any_true(difference)) return false;
  xorStream(scratch, key, at, length, counterLow, counterHigh);
  return true;
}
