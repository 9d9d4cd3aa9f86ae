/**
 * A one-writer, one-reader ring of records in shared memory: how the main thread and the data-plane worker talk
 * while the worker never returns to an event loop.
 *
 * ```
 *   words 0 head   bytes ever written   (writer stores, reader loads)
 *         1 tail   bytes ever read      (reader stores, writer loads)
 *         2 signal counts writes; a reader that can wait asynchronously waits on it
 *         3 lost   records refused because the ring was full
 *   data  capacity bytes (a power of two) of records, each 8-byte aligned and never wrapped:
 *         u32 length | u32 type | payload | padding        length 0xffffffff: skip to the start of the data
 * ```
 * Positions grow without bound modulo 2^32; a record is visible once `head` has passed it.
 */

const HEAD = 0;
const TAIL = 1;
const SIGNAL = 2;
const LOST = 3;
const CONTROL_BYTES = 64;
const RECORD_HEADER = 8;
const WRAP = 0xffffffff;

/** What a reader gets for each record; `payload` is borrowed until the handler returns. */
export type RecordHandler = (type: number, payload: Uint8Array) => void;

/** One end's view of a ring; the same class writes and reads, but each direction belongs to one thread. */
export class Ring {
  /** Hand this to the other thread. */
  readonly buffer: SharedArrayBuffer;
  readonly #control: Int32Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #capacity: number;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#capacity = buffer.byteLength - CONTROL_BYTES;
    if (this.#capacity < 1024 || (this.#capacity & (this.#capacity - 1)) !== 0) {
      throw new RangeError(`Cannot use a ring of ${this.#capacity} bytes, want a power of two of at least 1024`);
    }
    this.#control = new Int32Array(buffer, 0, CONTROL_BYTES / 4);
    this.#words = new Uint32Array(buffer, CONTROL_BYTES);
    this.#bytes = new Uint8Array(buffer, CONTROL_BYTES);
  }

  /** An empty ring. @param capacity a power of two. */
  static allocate(capacity: number): Ring {
    return new Ring(new SharedArrayBuffer(CONTROL_BYTES + capacity));
  }

  /** The largest payload one record can carry. */
  get largestPayload(): number {
    return this.#capacity / 4;
  }

  /** Bytes a writer could still use now. */
  get free(): number {
    const used = (Atomics.load(this.#control, HEAD) - Atomics.load(this.#control, TAIL)) >>> 0;
    return this.#capacity - used;
  }

  /** Nothing waits to be read. */
  get isEmpty(): boolean {
    return this.free === this.#capacity;
  }

  /** Records refused so far because the reader was too slow. */
  get lost(): number {
    return Atomics.load(this.#control, LOST) >>> 0;
  }

  /** Appends one record made of `parts` in order; false when there is no room, and then it is counted as lost. */
  write(type: number, ...parts: readonly Uint8Array[]): boolean {
    let length = 0;
    for (const part of parts) length += part.length;
    if (length > this.largestPayload) {
      throw new RangeError(`Cannot write a record of ${length} bytes, want at most ${this.largestPayload}`);
    }
    const size = RECORD_HEADER + ((length + 7) & ~7);
    const head = Atomics.load(this.#control, HEAD) >>> 0;
    let at = head & (this.#capacity - 1);
    const skip = at + size > this.#capacity ? this.#capacity - at : 0;
    if (skip + size > this.free) {
      Atomics.add(this.#control, LOST, 1);
      return false;
    }
    if (skip > 0) {
      this.#words[at >> 2] = WRAP;
      at = 0;
    }
    this.#words[at >> 2] = length;
    this.#words[(at >> 2) + 1] = type;
    let offset = at + RECORD_HEADER;
    for (const part of parts) {
      this.#bytes.set(part, offset);
      offset += part.length;
    }
    Atomics.store(this.#control, HEAD, (head + skip + size) | 0);
    Atomics.add(this.#control, SIGNAL, 1);
    Atomics.notify(this.#control, SIGNAL);
    return true;
  }

  /** Hands the oldest record to `handle`. False when the ring is empty. */
  read(handle: RecordHandler): boolean {
    const head = Atomics.load(this.#control, HEAD);
    let tail = Atomics.load(this.#control, TAIL);
    if (head === tail) return false;
    let at = (tail >>> 0) & (this.#capacity - 1);
    if (this.#words[at >> 2] === WRAP) {
      tail = (tail + this.#capacity - at) | 0;
      at = 0;
    }
    const length = this.#words[at >> 2];
    const type = this.#words[(at >> 2) + 1];
    const start = at + RECORD_HEADER;
    try {
      handle(type, this.#bytes.subarray(start, start + length));
    } finally {
      Atomics.store(this.#control, TAIL, (tail + RECORD_HEADER + ((length + 7) & ~7)) | 0);
    }
    return true;
  }

  /** Settles once something was written after `seen`; for a reader with an event loop. */
  async written(seen: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#control, SIGNAL, seen);
    if (wait.async) await wait.value;
  }

  /** Writes so far, for `written`. */
  get signal(): number {
    return Atomics.load(this.#control, SIGNAL);
  }

  /** Wakes a waiting reader without a record, so that it can notice that it should stop. */
  nudge(): void {
    Atomics.add(this.#control, SIGNAL, 1);
    Atomics.notify(this.#control, SIGNAL);
  }
}
