/**
 * Records kept outside the garbage-collected heap: what the worker knows of peers nobody has spoken to yet. Thousands of
 * objects that live long make every collection dearer, and packets wait for it; bytes in a few large buffers cost nothing.
 *
 * ```
 *   chunk    4096 blocks of 256 B, never moved: growth copies nothing
 *   record   u32le length | bytes …, over as many blocks as it needs, each naming the next in `#next`; 0 ends it
 * ```
 * A record is named by its first block. Block 0 is never used, so that 0 can mean none.
 */

const BLOCK_BYTES = 256;
const CHUNK_BLOCKS = 4096;
const LENGTH_BYTES = 4;
/** What one record may be at first; longer ones make it grow. */
const SCRATCH_BYTES = 4096;

/** Bytes by name. */
export class RecordStore {
  readonly #chunks: { readonly bytes: Uint8Array; readonly next: Int32Array }[] = [];
  #fresh = 1;
  #free = 0;
  #used = 0;
  #scratch: Uint8Array<ArrayBuffer> = new Uint8Array(SCRATCH_BYTES);

  /** Blocks in use. */
  get used(): number {
    return this.#used;
  }

  /** Keeps a copy of `record` until `free`. @returns its name, from 1 */
  put(record: Uint8Array): number {
    const whole = this.#room(LENGTH_BYTES + record.length);
    new DataView(whole.buffer).setUint32(0, record.length, true);
    whole.set(record, LENGTH_BYTES);
    const first = this.#take();
    let block = first;
    for (let at = 0;;) {
      const { bytes, next } = this.#chunks[chunkOf(block)];
      const place = block % CHUNK_BLOCKS;
      const end = Math.min(at + BLOCK_BYTES, LENGTH_BYTES + record.length);
      bytes.set(whole.subarray(at, end), place * BLOCK_BYTES);
      at = end;
      if (at === LENGTH_BYTES + record.length) {
        next[place] = 0;
        return first;
      }
      block = next[place] = this.#take();
    }
  }

  /** The bytes of a record, borrowed until the next call of any kind. */
  get(name: number): Uint8Array {
    const { bytes } = this.#chunks[chunkOf(name)];
    const length = new DataView(bytes.buffer).getUint32((name % CHUNK_BLOCKS) * BLOCK_BYTES, true);
    const whole = this.#room(LENGTH_BYTES + length);
    for (let at = 0, block = name; at < LENGTH_BYTES + length; at += BLOCK_BYTES) {
      const { bytes, next } = this.#chunks[chunkOf(block)];
      const place = block % CHUNK_BLOCKS;
      const count = Math.min(BLOCK_BYTES, LENGTH_BYTES + length - at);
      whole.set(bytes.subarray(place * BLOCK_BYTES, place * BLOCK_BYTES + count), at);
      block = next[place];
    }
    return whole.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
  }

  /** Forgets a record. */
  free(name: number): void {
    for (let block = name; block !== 0;) {
      const { next } = this.#chunks[chunkOf(block)];
      const following = next[block % CHUNK_BLOCKS];
      next[block % CHUNK_BLOCKS] = this.#free;
      this.#free = block;
      this.#used--;
      block = following;
    }
  }

  #take(): number {
    this.#used++;
    const block = this.#free;
    if (block !== 0) {
      this.#free = this.#chunks[chunkOf(block)].next[block % CHUNK_BLOCKS];
      return block;
    }
    if (chunkOf(this.#fresh) === this.#chunks.length) {
      this.#chunks.push({
        bytes: new Uint8Array(CHUNK_BLOCKS * BLOCK_BYTES),
        next: new Int32Array(CHUNK_BLOCKS),
      });
    }
    return this.#fresh++;
  }

  /** At least `length` bytes to work in. */
  #room(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.#scratch.length) this.#scratch = new Uint8Array(2 * length);
    return this.#scratch;
  }
}

function chunkOf(block: number): number {
  return Math.floor(block / CHUNK_BLOCKS);
}
