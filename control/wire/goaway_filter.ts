/**
 * Takes GOAWAY frames out of what a client sends (RFC 9113 6.8), before a server's `node:http2` session sees them.
 *
 * In Deno 2.9.6 a GOAWAY that arrives while streams are being closed can end the whole process inside nghttp2 ("Assertion
 * 'stream->closed_next == NULL' failed"), so any client could take a coordinator down. A server loses nothing without
 * the frame: a client that goes away closes its connection.
 *
 * ```
 *   24 bytes of preface, then frames: u24be length | u8 type | u8 flags | u32be stream | payload
 * ```
 */
import { concat } from "../../base/bytes.ts";

const PREFACE = 24;
const HEADER = 9;
const GOAWAY = 7;

/** Follows one connection's bytes; frames may be cut anywhere. */
export class GoawayFilter {
  readonly #header = new Uint8Array(HEADER);
  #headerBytes = 0;
  /** Bytes of the preface or of a frame's payload still to come. */
  #left = PREFACE;
  #dropping = false;

  /** The bytes to hand on, perhaps none. The input is borrowed, and handed on as it is when nothing is taken out. */
  push(chunk: Uint8Array): Uint8Array {
    const kept: Uint8Array[] = [];
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) {
        const end = Math.min(chunk.length, at + this.#left);
        if (!this.#dropping) kept.push(chunk.subarray(at, end));
        this.#left -= end - at;
        at = end;
        continue;
      }
      this.#header[this.#headerBytes++] = chunk[at++];
      if (this.#headerBytes < HEADER) continue;
      this.#headerBytes = 0;
      this.#left = (this.#header[0] << 16) | (this.#header[1] << 8) | this.#header[2];
      this.#dropping = this.#header[3] === GOAWAY;
      if (!this.#dropping) kept.push(this.#header.slice());
    }
    return kept.length === 1 ? kept[0] : concat(...kept);
  }
}
