/**
 * What a server may say inside Noise before HTTP/2. Source: control/ts2021/conn.go, tailcfg.EarlyNoise.
 *
 * ```
 *   ff ff ff 'T' 'S' | length 4 BE | JSON of EarlyNoise | HTTP/2 …
 *   or at once                                            HTTP/2 …
 * ```
 * Magic and length are as long as the header of an HTTP/2 frame, and as such would announce a length that no server
 * may send, so a reader can tell.
 */
import { concat, equalBytes, fromUtf8, utf8 } from "../../base/bytes.ts";
import type { EarlyNoise } from "./register.ts";

const MAGIC = Uint8Array.of(0xff, 0xff, 0xff, 0x54, 0x53);
const HEADER = MAGIC.length + 4;
/** Largest payload taken; a challenge key is under 200 bytes, Go takes 10 MiB. */
const MAX_PAYLOAD = 64 << 10;

/** The server's first bytes: magic, length and JSON. */
export function encodeEarlyPayload(payload: EarlyNoise): Uint8Array<ArrayBuffer> {
  const json = utf8(JSON.stringify(payload));
  const header = new Uint8Array(HEADER);
  header.set(MAGIC);
  new DataView(header.buffer).setUint32(MAGIC.length, json.length);
  return concat(header, json);
}

/** Takes an early payload off the front of a byte stream cut anywhere, if there is one. */
export class EarlyPayloadReader {
  #pending: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #done = false;
  #payload: EarlyNoise | undefined;
  #failure: string | undefined;

  /** True once the stream's own bytes flow. */
  get done(): boolean {
    return this.#done;
  }

  /** The payload, once `done`, when there was one. */
  get payload(): EarlyNoise | undefined {
    return this.#payload;
  }

  /** What was wrong; nothing flows any more. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The bytes of the stream proper that are known to be such. */
  push(chunk: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (this.#done) return chunk;
    const bytes = this.#pending.length === 0 ? chunk : concat(this.#pending, chunk);
    this.#pending = bytes;
    const nothing = new Uint8Array(0);
    if (this.#failure !== undefined) return nothing;
    const seen = Math.min(bytes.length, MAGIC.length);
    if (!equalBytes(bytes.subarray(0, seen), MAGIC.subarray(0, seen))) return this.#release(0);
    if (bytes.length < HEADER) return nothing;
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length);
    if (length > MAX_PAYLOAD) {
      this.#failure = `early payload of ${length} bytes, want at most ${MAX_PAYLOAD}`;
      return nothing;
    }
    if (bytes.length < HEADER + length) return nothing;
    this.#payload = parse(bytes.subarray(HEADER, HEADER + length));
    if (this.#payload === undefined) {
      this.#failure = "early payload that is not the JSON of a challenge";
      return nothing;
    }
    return this.#release(HEADER + length);
  }

  #release(from: number): Uint8Array<ArrayBuffer> {
    const rest = this.#pending.subarray(from);
    this.#pending = new Uint8Array(0);
    this.#done = true;
    return rest;
  }
}

function parse(bytes: Uint8Array): EarlyNoise | undefined {
  try {
    const value: unknown = JSON.parse(fromUtf8(bytes) ?? "");
    if (typeof value !== "object" || value === null) return undefined;
    const challenge = (value as Record<string, unknown>).nodeKeyChallenge;
    return typeof challenge === "string" ? { nodeKeyChallenge: challenge } : undefined;
  } catch {
    return undefined;
  }
}
