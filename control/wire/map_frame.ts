/**
 * Frames of a map poll: length 4 **little-endian**, then that many bytes of one zstd frame (or of plain JSON, when the
 * request did not ask for compression). Source: control/controlclient/direct.go sendMapRequest.
 *
 * Both lengths are bounded, for a server may be hostile or broken. A node of a real netmap is about 1 KiB of JSON, so
 * 64 MiB is five times the largest tailnet this program is built for (10,000 peers) and still parses in a second; the
 * compressed bound is a quarter of it, since JSON of nodes shrinks by four at the least.
 */
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { concat } from "../../base/bytes.ts";

/** Largest frame body on the wire, bytes. */
export const MAX_FRAME = 16 << 20;
/** Largest decompressed message, bytes. */
export const MAX_MESSAGE = 64 << 20;

/** A frame with its length before it. */
export function encodeMapFrame(json: Uint8Array, compress: boolean): Uint8Array<ArrayBuffer> {
  const body = compress ? zstdCompressSync(json) : json;
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, body.length, true);
  return concat(header, body);
}

/** The JSON of a compressed frame body, or why there is none. Never more than `limit` bytes are made. */
export function decompressMapFrame(body: Uint8Array, limit = MAX_MESSAGE): Uint8Array | { readonly malformed: string } {
  try {
    return zstdDecompressSync(body, { maxOutputLength: limit });
  } catch (error) {
    const tooLarge = (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
    return {
      malformed: tooLarge
        ? `map message of more than ${limit} bytes when decompressed`
        : `map frame that is not zstd: ${(error as Error).message}`,
    };
  }
}

/** Cuts frame bodies out of a byte stream cut anywhere. Memory follows the bytes that came, not those announced. */
export class MapFrameReader {
  readonly #limit: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #failure: string | undefined;

  constructor(limit = MAX_FRAME) {
    this.#limit = limit;
  }

  /** What was wrong with the stream; no frame comes any more. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** True between frames: the stream may end here. */
  get idle(): boolean {
    return this.#start === this.#end;
  }

  /** The bodies that `chunk` completes, in order, each a copy. @param chunk borrowed. */
  push(chunk: Uint8Array): Uint8Array[] {
    const bodies: Uint8Array[] = [];
    if (this.#failure !== undefined) return bodies;
    this.#append(chunk);
    while (this.#end - this.#start >= 4) {
      const length = new DataView(this.#buffer.buffer).getUint32(this.#start, true);
      if (length > this.#limit) {
        this.#failure = `map frame of ${length} bytes, want at most ${this.#limit}`;
        break;
      }
      const from = this.#start + 4;
      if (this.#end - from < length) break;
      bodies.push(this.#buffer.slice(from, from + length));
      this.#start = from + length;
    }
    if (this.idle || this.#failure !== undefined) {
      this.#buffer = new Uint8Array(0);
      this.#start = this.#end = 0;
    }
    return bodies;
  }

  #append(chunk: Uint8Array): void {
    const held = this.#end - this.#start;
    if (this.#end + chunk.length > this.#buffer.length) {
      const room = held + chunk.length;
      const next = room * 2 <= this.#buffer.length ? this.#buffer : new Uint8Array(Math.max(256, room * 2));
      next.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = next;
      this.#start = 0;
      this.#end = held;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }
}
