/**
 * DERP frames: a type byte, a big-endian u32 length, and as many bytes.
 *
 * ```
 *   client                                  server
 *     │  GET /derp, Upgrade: DERP            │
 *     │ ───────────────────────────────────▶ │
 *     │                101, then ServerKey   │
 *     │ ◀─────────────────────────────────── │
 *     │  ClientInfo (boxed to the server)    │
 *     │ ───────────────────────────────────▶ │
 *     │       ServerInfo (boxed to client)   │
 *     │ ◀─────────────────────────────────── │
 *     │  SendPacket, NotePreferred, Ping     │
 *     │ ───────────────────────────────────▶ │
 *     │  RecvPacket, PeerGone, Pong, Health, │
 *     │  KeepAlive every minute, Restarting  │
 *     │ ◀─────────────────────────────────── │
 * ```
 * With `Derp-Fast-Start: 1` the server sends no 101; its ServerKey follows the request at once.
 * Source: tailscale.com/derp/derp.go.
 */

/** Bytes of type and length. */
export const FRAME_HEADER_LENGTH = 5;
/** Most bytes of a relayed packet, keys and header not counted. */
export const MAX_PACKET_LENGTH = 65_536;
/** Most bytes of any frame's body: a packet and two keys. */
export const MAX_BODY_LENGTH = MAX_PACKET_LENGTH + 64;
/** Bytes of a key inside a frame. */
export const KEY_LENGTH = 32;
/** "DERP🔑" in UTF-8, in front of the server's key. */
export const MAGIC = Uint8Array.fromHex("44455250f09f9491");
/** The version both sides announce: packets carry their sender's key. */
export const PROTOCOL_VERSION = 2;

/** Frame types and what follows the header. */
export const FrameType = {
  /** 8 B magic, 32 B server public key, anything later versions add. */
  serverKey: 0x01,
  /** 32 B client public key, 24 B nonce, box of JSON `ClientInfo`. */
  clientInfo: 0x02,
  /** 24 B nonce, box of JSON `ServerInfo`. */
  serverInfo: 0x03,
  /** 32 B destination key, packet. */
  sendPacket: 0x04,
  /** 32 B source key, packet. */
  recvPacket: 0x05,
  /** Nothing. */
  keepAlive: 0x06,
  /** 1 B: 1 when this is the client's home, 0 when it no longer is. */
  notePreferred: 0x07,
  /** 32 B peer key, 1 B reason (absent from old servers). */
  peerGone: 0x08,
  /** 32 B peer key, 16 B address, u16be port, 1 B flags; to mesh members only. */
  peerPresent: 0x09,
  /** 32 B source key, 32 B destination key, packet; between mesh members only. */
  forwardPacket: 0x0a,
  /** Nothing; from mesh members only. */
  watchConns: 0x10,
  /** 32 B peer key; from mesh members only. */
  closePeer: 0x11,
  /** 8 B the pong repeats. */
  ping: 0x12,
  /** 8 B of the ping. */
  pong: 0x13,
  /** UTF-8 text of what is wrong with this connection, empty when nothing is any more. */
  health: 0x14,
  /** u32be milliseconds until to reconnect, u32be milliseconds to keep trying. */
  restarting: 0x15,
} as const;

/** One frame. The body is borrowed from the reader until its next call. */
export interface Frame {
  readonly type: number;
  readonly body: Uint8Array;
}

/** Writes a header into the first five bytes of `out`. */
export function writeFrameHeader(out: Uint8Array, type: number, bodyLength: number): void {
  out[0] = type;
  out[1] = bodyLength >>> 24;
  out[2] = bodyLength >>> 16;
  out[3] = bodyLength >>> 8;
  out[4] = bodyLength;
}

/** One new array: the header and the parts of the body. @throws RangeError for a body over `MAX_BODY_LENGTH`. */
export function encodeFrame(type: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  if (length > MAX_BODY_LENGTH) throw new RangeError(`Cannot frame ${length} bytes, want at most ${MAX_BODY_LENGTH}`);
  const out = new Uint8Array(FRAME_HEADER_LENGTH + length);
  writeFrameHeader(out, type, length);
  let at = FRAME_HEADER_LENGTH;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * Cuts a byte stream into frames.
 *
 * Frames inside one chunk are views of it; one that spans chunks is assembled in a buffer that grows with what has
 * arrived, not with what the header promises, so a lying length costs the liar and not us. A length over the limit puts
 * the reader into its error state for good: the stream has lost its framing and must be closed.
 */
export class FrameReader {
  #limit: number;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  #partial = new Uint8Array(FRAME_HEADER_LENGTH);
  #held = 0;
  #failure: string | undefined;

  /** @param limit most bytes of a body. */
  constructor(limit: number = MAX_BODY_LENGTH) {
    this.#limit = limit;
  }

  /** Why the stream is unusable, or undefined while it is not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Changes the limit for the frames to come; a server trusts a client with more once it knows its key. */
  set limit(bytes: number) {
    this.#limit = bytes;
  }

  /** Hands over a chunk, borrowed until `next()` has returned undefined. @throws TypeError before that. */
  push(chunk: Uint8Array): void {
    if (this.#at < this.#chunk.length && this.#failure === undefined) {
      throw new TypeError("Cannot push a chunk before all frames of the last are read");
    }
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next whole frame, or undefined when more bytes are needed or the stream has failed. */
  next(): Frame | undefined {
    if (this.#failure !== undefined) return undefined;
    return this.#held > 0 ? this.#nextSpanning() : this.#nextInside();
  }

  #nextInside(): Frame | undefined {
    const chunk = this.#chunk;
    const at = this.#at;
    const left = chunk.length - at;
    if (left === 0) return undefined;
    if (left >= FRAME_HEADER_LENGTH) {
      const length = this.#bodyLength(chunk, at);
      if (length < 0) return undefined;
      const end = at + FRAME_HEADER_LENGTH + length;
      if (end <= chunk.length) {
        this.#at = end;
        return { type: chunk[at], body: chunk.subarray(at + FRAME_HEADER_LENGTH, end) };
      }
    }
    this.#hold(left);
    return undefined;
  }

  #nextSpanning(): Frame | undefined {
    if (this.#held < FRAME_HEADER_LENGTH) {
      this.#hold(Math.min(FRAME_HEADER_LENGTH - this.#held, this.#chunk.length - this.#at));
      if (this.#held < FRAME_HEADER_LENGTH) return undefined;
    }
    const length = this.#bodyLength(this.#partial, 0);
    if (length < 0) return undefined;
    const total = FRAME_HEADER_LENGTH + length;
    this.#hold(Math.min(total - this.#held, this.#chunk.length - this.#at));
    if (this.#held < total) return undefined;
    this.#held = 0;
    return { type: this.#partial[0], body: this.#partial.subarray(FRAME_HEADER_LENGTH, total) };
  }

  /** Moves the next `count` bytes of the chunk behind those held. */
  #hold(count: number): void {
    const end = this.#held + count;
    if (end > this.#partial.length) {
      const grown = new Uint8Array(Math.max(end, Math.min(this.#partial.length * 2, MAX_BODY_LENGTH * 2)));
      grown.set(this.#partial.subarray(0, this.#held));
      this.#partial = grown;
    }
    this.#partial.set(this.#chunk.subarray(this.#at, this.#at + count), this.#held);
    this.#held = end;
    this.#at += count;
  }

  #bodyLength(bytes: Uint8Array, at: number): number {
    const length = bytes[at + 1] * 0x1000000 + (bytes[at + 2] << 16) + (bytes[at + 3] << 8) + bytes[at + 4];
    if (length <= this.#limit) return length;
    this.#failure = `a frame of type 0x${bytes[at].toString(16)} claims ${length} bytes, want at most ${this.#limit}`;
    return -1;
  }
}
