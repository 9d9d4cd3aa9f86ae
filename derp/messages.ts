/**
 * What DERP frames mean: bodies to messages and back. Pure; nonces come in as arguments.
 *
 * A body that is too short for its type is `malformed`: the frame is dropped and counted, the stream goes on, because
 * its framing is intact. Source: tailscale.com/derp/derp_client.go, derpserver.go.
 */
import { BOX_NONCE_LENGTH, BoxKey } from "../base/box.ts";
import { concat, equalBytes, fromUtf8, utf8 } from "../base/bytes.ts";
import { NodePublic } from "../base/keys.ts";
import type { NodePrivate } from "../base/keys.ts";
import { encodeFrame, FrameType, KEY_LENGTH, MAGIC, PROTOCOL_VERSION } from "./frame.ts";
import type { Frame } from "./frame.ts";

/** What a client says of itself when it connects. */
export interface ClientInfo {
  readonly version: number;
  /** Answers pings. */
  readonly canAckPings: boolean;
  readonly isProber: boolean;
}

/** What a server says of itself. Limits are bytes with all framing, 0 for none named. */
export interface ServerInfo {
  readonly version: number;
  readonly bytesPerSecond: number;
  readonly bytesBurst: number;
}

/** `peerGone`'s reasons. */
export const PeerGoneReason = { disconnected: 0, notHere: 1 } as const;

/** A frame from a server, decoded. Byte views are borrowed from the frame. */
export type ServerMessage =
  | { readonly kind: "packet"; readonly source: Uint8Array; readonly payload: Uint8Array }
  | { readonly kind: "peer-gone"; readonly peer: Uint8Array; readonly reason: number }
  | { readonly kind: "keep-alive" }
  | { readonly kind: "ping" | "pong"; readonly data: Uint8Array }
  | { readonly kind: "health"; readonly problem: string }
  | { readonly kind: "restarting"; readonly reconnectInMs: number; readonly tryForMs: number }
  | { readonly kind: "handshake"; readonly type: number }
  | { readonly kind: "unknown" }
  | { readonly kind: "malformed" };

const MALFORMED: ServerMessage = { kind: "malformed" };
const KEEP_ALIVE: ServerMessage = { kind: "keep-alive" };
const UNKNOWN: ServerMessage = { kind: "unknown" };
/** Most characters of a relay's health text we pass on. */
const MAX_HEALTH_TEXT = 512;

/** Decodes a frame of the steady state. `handshake` is one that belongs to the login only. */
export function decodeServerMessage({ type, body }: Frame): ServerMessage {
  switch (type) {
    case FrameType.recvPacket:
      if (body.length < KEY_LENGTH) return MALFORMED;
      return { kind: "packet", source: body.subarray(0, KEY_LENGTH), payload: body.subarray(KEY_LENGTH) };
    case FrameType.peerGone:
      if (body.length < KEY_LENGTH) return MALFORMED;
      return { kind: "peer-gone", peer: body.subarray(0, KEY_LENGTH), reason: body[KEY_LENGTH] ?? 0 };
    case FrameType.keepAlive:
      return KEEP_ALIVE;
    case FrameType.ping:
    case FrameType.pong:
      if (body.length < 8) return MALFORMED;
      return { kind: type === FrameType.ping ? "ping" : "pong", data: body.subarray(0, 8) };
    case FrameType.health:
      return { kind: "health", problem: (fromUtf8(body) ?? "unreadable").slice(0, MAX_HEALTH_TEXT) };
    case FrameType.restarting: {
      if (body.length < 8) return MALFORMED;
      const view = new DataView(body.buffer, body.byteOffset, 8);
      return { kind: "restarting", reconnectInMs: view.getUint32(0), tryForMs: view.getUint32(4) };
    }
    case FrameType.serverKey:
    case FrameType.serverInfo:
    case FrameType.clientInfo:
      return { kind: "handshake", type };
    default:
      return UNKNOWN;
  }
}

/** The greeting of a server. */
export function encodeServerKey(publicKey: NodePublic): Uint8Array<ArrayBuffer> {
  return encodeFrame(FrameType.serverKey, MAGIC, publicKey.bytes);
}

/** The server's key, or undefined when the frame is no greeting. Bytes after the key are for later versions. */
export function parseServerKey({ type, body }: Frame): NodePublic | undefined {
  if (type !== FrameType.serverKey || body.length < MAGIC.length + KEY_LENGTH) return undefined;
  if (!equalBytes(body.subarray(0, MAGIC.length), MAGIC)) return undefined;
  const key = new NodePublic(body.subarray(MAGIC.length, MAGIC.length + KEY_LENGTH));
  return key.isZero ? undefined : key;
}

function boxBetween(ours: NodePrivate, theirs: NodePublic): BoxKey | undefined {
  const secret = ours.sharedSecret(theirs.bytes);
  return secret && new BoxKey(secret);
}

function sealJson(box: BoxKey, nonce: Uint8Array, value: unknown): Uint8Array<ArrayBuffer> {
  if (nonce.length !== BOX_NONCE_LENGTH) {
    throw new RangeError(`Cannot seal with a nonce of ${nonce.length} bytes, want ${BOX_NONCE_LENGTH}`);
  }
  return concat(nonce, box.seal(nonce, utf8(JSON.stringify(value))));
}

function openJson(box: BoxKey | undefined, sealed: Uint8Array): Record<string, unknown> | undefined {
  const plain = box?.open(sealed.subarray(0, BOX_NONCE_LENGTH), sealed.subarray(BOX_NONCE_LENGTH));
  const text = plain && fromUtf8(plain);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The client's proof that it has the private key, with its info. Undefined when the server's key is of low order.
 * @param nonce 24 random bytes.
 */
export function encodeClientInfo(
  ours: NodePrivate,
  server: NodePublic,
  nonce: Uint8Array,
  info: ClientInfo,
): Uint8Array<ArrayBuffer> | undefined {
  const box = boxBetween(ours, server);
  if (box === undefined) return undefined;
  const json = { version: info.version, CanAckPings: info.canAckPings, ...(info.isProber && { IsProber: true }) };
  return encodeFrame(FrameType.clientInfo, ours.public.bytes, sealJson(box, nonce, json));
}

/** The client's key and info, or undefined when the frame is none or its box does not open. */
export function parseClientInfo(
  ours: NodePrivate,
  { type, body }: Frame,
): { readonly key: NodePublic; readonly info: ClientInfo } | undefined {
  if (type !== FrameType.clientInfo || body.length < KEY_LENGTH + BOX_NONCE_LENGTH) return undefined;
  const key = new NodePublic(body.subarray(0, KEY_LENGTH));
  if (key.isZero) return undefined;
  const json = openJson(boxBetween(ours, key), body.subarray(KEY_LENGTH));
  if (json === undefined) return undefined;
  const version = typeof json.version === "number" ? json.version : 0;
  return { key, info: { version, canAckPings: json.CanAckPings === true, isProber: json.IsProber === true } };
}

/** The server's answer to a client it lets in. @param nonce 24 random bytes. */
export function encodeServerInfo(
  ours: NodePrivate,
  client: NodePublic,
  nonce: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  const box = boxBetween(ours, client);
  return box && encodeFrame(FrameType.serverInfo, sealJson(box, nonce, { version: PROTOCOL_VERSION }));
}

/** The server's info, or undefined when the frame is none or was not boxed by the holder of the announced key. */
export function parseServerInfo(
  ours: NodePrivate,
  server: NodePublic,
  { type, body }: Frame,
): ServerInfo | undefined {
  if (type !== FrameType.serverInfo || body.length < BOX_NONCE_LENGTH) return undefined;
  const json = openJson(boxBetween(ours, server), body);
  if (json === undefined) return undefined;
  const count = (value: unknown) => typeof value === "number" && value > 0 ? value : 0;
  return {
    version: count(json.version),
    bytesPerSecond: count(json.TokenBucketBytesPerSecond),
    bytesBurst: count(json.TokenBucketBytesBurst),
  };
}

/** "TS💬", the first bytes of every disco message; relays give these a queue of their own. */
const DISCO_MAGIC = Uint8Array.fromHex("5453f09f92ac");
/** Magic, sender's key and nonce. */
const DISCO_HEADER_LENGTH = 6 + KEY_LENGTH + BOX_NONCE_LENGTH;

/** True for what looks like a disco message, which tells nothing of whether it is genuine. */
export function looksLikeDisco(payload: Uint8Array): boolean {
  if (payload.length < DISCO_HEADER_LENGTH) return false;
  for (let i = 0; i < DISCO_MAGIC.length; i++) if (payload[i] !== DISCO_MAGIC[i]) return false;
  return true;
}
