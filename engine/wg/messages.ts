/**
 * The four WireGuard messages (whitepaper 5.4). Integers are little-endian; every field is at a fixed offset.
 *
 * ```
 *   initiator                                             responder
 *       ──── 1 handshake initiation (148 B) ─────────────────▶
 *       ◀─── 2 handshake response (92 B) ─────────────────────      or, under load, 3 cookie reply (64 B)
 *       ──── 4 data (32 B and more), the first one confirms ─▶
 *       ◀─── 4 data ──────────────────────────────────────────
 * ```
 * | 1 initiation | offset, bytes | 2 response | offset, bytes | 3 cookie reply | offset, bytes | 4 data | offset, bytes |
 * |---|---|---|---|---|---|---|---|
 * | type, 3 zeros | 0, 4 | type, 3 zeros | 0, 4 | type, 3 zeros | 0, 4 | type, 3 zeros | 0, 4 |
 * | sender | 4, 4 | sender | 4, 4 | receiver | 4, 4 | receiver | 4, 4 |
 * | ephemeral | 8, 32 | receiver | 8, 4 | nonce | 8, 24 | counter | 8, 8 |
 * | static | 40, 48 | ephemeral | 12, 32 | cookie | 32, 32 | packet, tag | 16, 16 + n |
 * | timestamp | 88, 28 | empty | 44, 16 | | | | |
 * | mac1, mac2 | 116, 16 + 16 | mac1, mac2 | 60, 16 + 16 | | | | |
 */
import type { Drop } from "../../base/drops.ts";

export const MESSAGE_INITIATION = 1;
export const MESSAGE_RESPONSE = 2;
export const MESSAGE_COOKIE_REPLY = 3;
export const MESSAGE_DATA = 4;

export const INITIATION_LENGTH = 148;
export const RESPONSE_LENGTH = 92;
export const COOKIE_REPLY_LENGTH = 64;
/** Bytes in front of the sealed packet of a data message. */
export const DATA_HEADER_LENGTH = 16;
/** A data message with an empty packet: header and tag. The shortest message there is. */
export const KEEPALIVE_LENGTH = 32;
/** Bytes of mac1, of mac2 and of a cookie. */
export const MAC_LENGTH = 16;

/** Types of handshake messages, the ones `WgDevice.handleHandshake` takes. */
export type HandshakeType = typeof MESSAGE_INITIATION | typeof MESSAGE_RESPONSE | typeof MESSAGE_COOKIE_REPLY;

const LENGTHS: Readonly<Record<HandshakeType, number>> = {
  [MESSAGE_INITIATION]: INITIATION_LENGTH,
  [MESSAGE_RESPONSE]: RESPONSE_LENGTH,
  [MESSAGE_COOKIE_REPLY]: COOKIE_REPLY_LENGTH,
};

/** A handshake initiation's fields, borrowed from the message. */
export interface Initiation {
  readonly sender: number;
  /** 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** The initiator's public key, sealed: 48 bytes. */
  readonly sealedStatic: Uint8Array;
  /** TAI64N, sealed: 28 bytes. */
  readonly sealedTimestamp: Uint8Array;
}

/** A handshake response's fields, borrowed from the message. */
export interface Response {
  readonly sender: number;
  readonly receiver: number;
  /** 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** A tag over nothing: 16 bytes. */
  readonly sealedEmpty: Uint8Array;
}

/** A cookie reply's fields, borrowed from the message. */
export interface CookieReply {
  readonly receiver: number;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** 32 bytes. */
  readonly sealedCookie: Uint8Array;
}

/** The type of a handshake message of the right size, or why it is none. */
export function handshakeType(message: Uint8Array): HandshakeType | Drop {
  if (message.length < 4) return "too-short";
  const type = message[0];
  if (type !== MESSAGE_INITIATION && type !== MESSAGE_RESPONSE && type !== MESSAGE_COOKIE_REPLY) return "unknown-type";
  if ((message[1] | message[2] | message[3]) !== 0) return "reserved-bytes";
  if (message.length !== LENGTHS[type]) return message.length < LENGTHS[type] ? "too-short" : "too-long";
  return type;
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** @param message of `INITIATION_LENGTH`, as `handshakeType` has found. */
export function decodeInitiation(message: Uint8Array): Initiation {
  return {
    sender: senderIndex(message),
    ephemeral: message.subarray(8, 40),
    sealedStatic: message.subarray(40, 88),
    sealedTimestamp: message.subarray(88, 116),
  };
}

/** The message with both MACs still zero. */
export function encodeInitiation(fields: Initiation): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(INITIATION_LENGTH);
  message[0] = MESSAGE_INITIATION;
  putU32(message, 4, fields.sender);
  message.set(fields.ephemeral, 8);
  message.set(fields.sealedStatic, 40);
  message.set(fields.sealedTimestamp, 88);
  return message;
}

/** @param message of `RESPONSE_LENGTH`, as `handshakeType` has found. */
export function decodeResponse(message: Uint8Array): Response {
  return {
    sender: senderIndex(message),
    receiver: u32(message, 8),
    ephemeral: message.subarray(12, 44),
    sealedEmpty: message.subarray(44, 60),
  };
}

/** The message with both MACs still zero. */
export function encodeResponse(fields: Response): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(RESPONSE_LENGTH);
  message[0] = MESSAGE_RESPONSE;
  putU32(message, 4, fields.sender);
  putU32(message, 8, fields.receiver);
  message.set(fields.ephemeral, 12);
  message.set(fields.sealedEmpty, 44);
  return message;
}

/** @param message of `COOKIE_REPLY_LENGTH`, as `handshakeType` has found. */
export function decodeCookieReply(message: Uint8Array): CookieReply {
  return { receiver: u32(message, 4), nonce: message.subarray(8, 32), sealedCookie: message.subarray(32, 64) };
}

export function encodeCookieReply(fields: CookieReply): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(COOKIE_REPLY_LENGTH);
  message[0] = MESSAGE_COOKIE_REPLY;
  putU32(message, 4, fields.receiver);
  message.set(fields.nonce, 8);
  message.set(fields.sealedCookie, 32);
  return message;
}

/** The sender index of an initiation or response: where an answer to it goes. */
export function senderIndex(message: Uint8Array): number {
  return u32(message, 4);
}

/** Writes the 16 bytes in front of a sealed packet. @param counter below `COUNTER_LIMIT`. */
export function writeDataHeader(view: DataView, offset: number, receiver: number, counter: number): void {
  view.setUint32(offset, MESSAGE_DATA, true);
  view.setUint32(offset + 4, receiver, true);
  view.setUint32(offset + 8, counter >>> 0, true);
  view.setUint32(offset + 12, Math.floor(counter / 2 ** 32), true);
}
