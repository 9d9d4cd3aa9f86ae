/** The head of an HTTP/1.1 answer on a stream that becomes something else behind it. RFC 9112. */
import type { Duplex } from "node:stream";
import { readMessage } from "./read_message.ts";

/** Longest head taken, bytes. */
const MAX_HEAD = 16 << 10;

/** An answer's head. */
export interface HttpHead {
  readonly status: number;
  /** The status line without its version: "407 Proxy Authentication Required". */
  readonly line: string;
  /** Names in lower case; the last of equal names counts. */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes of the head, the empty line included. */
  readonly length: number;
}

/** Undefined while `bytes` has no whole head; a text when it is none. Bytes are taken as Latin-1. */
export function parseHttpHead(bytes: Uint8Array): HttpHead | string | undefined {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, MAX_HEAD));
  if (!"HTTP/1.".startsWith(text.slice(0, 7))) return `it begins ${JSON.stringify(text.slice(0, 20))}, want HTTP/1.1`;
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return bytes.length >= MAX_HEAD ? `its headers are longer than ${MAX_HEAD} bytes` : undefined;
  const [first, ...lines] = text.slice(0, end).split("\r\n");
  const match = /^HTTP\/1\.[01] (([0-9]{3})(?: .*)?)$/.exec(first);
  if (match === null) return `it begins ${JSON.stringify(first.slice(0, 40))}, want HTTP/1.1`;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const line = match[1].trim().slice(0, 100);
  return { status: Number(match[2]), line, headers, length: end + 4 };
}

/** Waits for the head; as `readMessage`. */
export function readHttpHead(stream: Duplex, signal: AbortSignal): Promise<HttpHead> {
  return readMessage(stream, parseHttpHead, signal);
}
