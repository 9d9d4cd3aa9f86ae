/**
 * A byte stream in binary WebSocket messages (RFC 6455), the client's end: the last resort where a reverse proxy passes
 * no upgrade but WebSocket's.
 *
 * ```
 *   GET path, Upgrade: websocket  ──▶  ◀── 101
 *   write ──▶ masked binary frame ──▶          read ◀── payload of data frames ◀──
 *                                     pong ──▶ ◀── ping        close ──▶ ◀── close, then end
 * ```
 * Message boundaries mean nothing to the stream: Tailscale's servers read and write it so too (net/wsconn).
 */
import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { Duplex } from "node:stream";
import { concat, toBase64, utf8 } from "./bytes.ts";
import { discard } from "./discard.ts";
import { readHttpHead } from "./http_head.ts";
import type { RandomBytes } from "./keys.ts";

const OPCODE = { continuation: 0, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/** Of RFC 6455 1.3. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Control frames are never longer (RFC 6455 5.5). */
const MAX_CONTROL = 125;
const CLOSE_NORMAL = 1000;

type Done = (error?: Error | null) => void;

/** One whole frame of a client. */
export function encodeClientFrame(opcode: number, payload: Uint8Array, mask: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = payload.length;
  const extra = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const frame = new Uint8Array(2 + extra + 4 + length);
  const view = new DataView(frame.buffer);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (extra === 0 ? length : extra === 2 ? 126 : 127);
  if (extra === 2) view.setUint16(2, length);
  if (extra === 8) view.setBigUint64(2, BigInt(length));
  frame.set(mask, 2 + extra);
  const start = 6 + extra;
  for (let i = 0; i < length; i++) frame[start + i] = payload[i] ^ mask[i & 3];
  return frame;
}

/** What a server's bytes amount to. Data comes as it arrives, not message by message. */
export type ServerFrame =
  | { readonly kind: "data"; readonly payload: Uint8Array }
  | { readonly kind: "ping"; readonly payload: Uint8Array }
  | { readonly kind: "close" }
  /** The server does not speak the protocol; nothing follows. */
  | { readonly kind: "bad"; readonly seen: string };

/** Takes a server's frames apart. It keeps at most a header and a control frame. */
export class ServerFrameReader {
  #rest: Uint8Array = new Uint8Array(0);
  /** Bytes of the current data frame still to come. */
  #left = 0;
  #over = false;

  push(chunk: Uint8Array): ServerFrame[] {
    const frames: ServerFrame[] = [];
    let bytes = this.#rest.length === 0 ? chunk : concat(this.#rest, chunk);
    while (!this.#over && bytes.length > 0) {
      if (this.#left > 0) {
        const payload = bytes.subarray(0, this.#left);
        this.#left -= payload.length;
        frames.push({ kind: "data", payload });
        bytes = bytes.subarray(payload.length);
        continue;
      }
      const used = this.#frame(bytes, frames);
      if (used === 0) break;
      bytes = bytes.subarray(used);
    }
    this.#rest = this.#over ? new Uint8Array(0) : bytes.slice();
    return frames;
  }

  /** Begins a frame. @returns bytes taken; 0 while more are needed. */
  #frame(bytes: Uint8Array, frames: ServerFrame[]): number {
    if (bytes.length < 2) return 0;
    const [first, second] = bytes;
    const opcode = first & 0x0f;
    const short = second & 0x7f;
    const bad = (seen: string) => {
      this.#over = true;
      frames.push({ kind: "bad", seen });
      return bytes.length;
    };
    if ((first & 0x70) !== 0) return bad("a frame with an extension nobody asked for");
    if ((second & 0x80) !== 0) return bad("a masked frame");
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < start) return 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const length = short < 126 ? short : short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
    if (opcode === OPCODE.binary || opcode === OPCODE.continuation) {
      if (!Number.isSafeInteger(length)) return bad("a frame longer than any");
      this.#left = length;
      return start;
    }
    if (opcode !== OPCODE.close && opcode !== OPCODE.ping && opcode !== OPCODE.pong) {
      return bad(`a frame of opcode ${opcode}, want binary`);
    }
    if (length > MAX_CONTROL || (first & 0x80) === 0) return bad("a control frame that is too long or in parts");
    if (bytes.length < start + length) return 0;
    if (opcode === OPCODE.close) {
      this.#over = true;
      frames.push({ kind: "close" });
    } else if (opcode === OPCODE.ping) frames.push({ kind: "ping", payload: bytes.slice(start, start + length) });
    return start + length;
  }
}

/** The stream inside. Owns the outer one: destroying one destroys the other. */
export class WebSocketDuplex extends Duplex {
  readonly #inner: Duplex;
  readonly #random: RandomBytes;
  readonly #reader = new ServerFrameReader();
  #ended = false;

  /** @param inner open, behind the 101. */
  constructor(inner: Duplex, random: RandomBytes) {
    super({ allowHalfOpen: true });
    this.#inner = inner;
    this.#random = random;
    inner.on("data", (chunk: Buffer) => this.#receive(chunk));
    inner.on("end", () => this.#end());
    inner.on("error", (error: Error) => this.destroy(error));
    inner.on("close", () => {
      this.#end();
      this.destroy();
    });
  }

  #receive(chunk: Uint8Array): void {
    for (const frame of this.#reader.push(chunk)) {
      if (frame.kind === "data") {
        if (!this.#ended && !this.push(frame.payload)) this.#inner.pause();
      } else if (frame.kind === "ping") this.#send(OPCODE.pong, frame.payload);
      else if (frame.kind === "close") this.#end();
      else this.destroy(new Error(`the WebSocket server sent ${frame.seen}`));
    }
  }

  #send(opcode: number, payload: Uint8Array, done?: Done): void {
    this.#inner.write(encodeClientFrame(opcode, payload, this.#random(4)), done);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.push(null);
  }

  override _read(): void {
    this.#inner.resume();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#send(OPCODE.binary, chunk, done);
  }

  override _final(done: Done): void {
    this.#send(OPCODE.close, Uint8Array.of(CLOSE_NORMAL >> 8, CLOSE_NORMAL & 0xff), () => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#inner.destroy();
    done(error);
  }
}

/** What to ask for. */
export interface WebSocketTarget {
  /** Of the `Host` header. */
  readonly authority: string;
  /** With its query. */
  readonly path: string;
  readonly subprotocol: string;
}

/**
 * Makes an open stream a WebSocket. @throws Error that says what the server answered; the signal's reason. On failure
 * the stream is destroyed.
 */
export async function openWebSocket(
  stream: Duplex,
  { authority, path, subprotocol }: WebSocketTarget,
  random: RandomBytes,
  signal: AbortSignal,
): Promise<WebSocketDuplex> {
  const key = toBase64(random(16));
  try {
    stream.write(utf8(
      `GET ${path} HTTP/1.1\r\nHost: ${authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: ${subprotocol}\r\n\r\n`,
    ));
    const { status, line, headers } = await readHttpHead(stream, signal);
    if (status !== 101) throw new Error(`it answered a WebSocket with ${line}`);
    const accept = createHash("sha1").update(key + ACCEPT_SUFFIX).digest("base64");
    if (headers.get("sec-websocket-accept") !== accept) throw new Error("it answered another WebSocket's key");
    const chosen = headers.get("sec-websocket-protocol");
    if (chosen !== subprotocol) throw new Error(`it chose the subprotocol ${JSON.stringify(chosen ?? "")}`);
    return new WebSocketDuplex(stream, random);
  } catch (error) {
    discard(stream);
    throw error;
  }
}
