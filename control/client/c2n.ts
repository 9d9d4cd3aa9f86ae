/**
 * HTTP requests of control to a node ("c2n"): one HTTP/1.1 request as bytes in a map response, one HTTP/1.1 response as
 * bytes POSTed back inside Noise. Source: feature/c2n. Pure.
 */
import { concat, utf8 } from "../../base/bytes.ts";
import type { C2nRequest, C2nResponse } from "./types.ts";

/** Takes a serialized request apart; a text says why it cannot be. Bodies have a Content-Length or are empty. */
export function parseC2nRequest(bytes: Uint8Array): C2nRequest | string {
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return "it has no end of headers";
  const [first, ...lines] = text.slice(0, end).split("\r\n");
  const match = /^([A-Z]+) (\/[^ ]*) HTTP\/1\.[01]$/.exec(first);
  if (match === null) return `it begins ${JSON.stringify(first.slice(0, 60))}, want METHOD /path HTTP/1.1`;
  const headers: [string, string][] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) return `it has a header ${JSON.stringify(line.slice(0, 60))}`;
    headers.push([line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]);
  }
  const named = new Map(headers);
  if (named.has("transfer-encoding")) return "it has a Transfer-Encoding, want Content-Length";
  const body = bytes.slice(end + 4);
  const announced = named.get("content-length") ?? "0";
  if (announced !== String(body.length)) return `it has ${body.length} bytes of body, want ${announced.slice(0, 20)}`;
  return { method: match[1], path: match[2], headers: Object.fromEntries(headers), body };
}

const REASON: Readonly<Record<number, string>> = {
  200: "OK",
  204: "No Content",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
  501: "Not Implemented",
};

/** A response as bytes. Header names and values must have no line breaks. */
export function encodeC2nResponse(response: C2nResponse): Uint8Array<ArrayBuffer> {
  const headers = { ...response.headers, "Content-Length": String(response.body.length) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const reason = REASON[response.status] ?? "Status";
  return concat(utf8(`HTTP/1.1 ${response.status} ${reason}\r\n${lines.join("")}\r\n`), response.body);
}

/** A short text as a response. */
export function c2nText(status: number, text: string): C2nResponse {
  return { status, headers: { "Content-Type": "text/plain; charset=utf-8" }, body: utf8(text + "\n") };
}
