/**
 * STUN binding requests and responses (RFC 5389), as far as netcheck and a DERP server's responder need them.
 *
 * ```
 *   node                                      relay, UDP 3478
 *     │  Binding request: transaction ID,        │
 *     │  SOFTWARE "tailnode", FINGERPRINT        │
 *     │ ───────────────────────────────────────▶ │
 *     │  Binding success: same transaction ID,   │
 *     │  XOR-MAPPED-ADDRESS: where it came from  │
 *     │ ◀─────────────────────────────────────── │
 * ```
 * Relays answer only requests that say they come from a Tailscale node, so as to be no use to others as reflectors.
 * Header: u16be type, u16be length of what follows, u32be cookie, 12 B transaction ID; attributes: u16be type,
 * u16be length, value padded to four bytes. Source: RFC 5389 6, 15; tailscale.com/net/stun.
 */
import { equalBytes, utf8 } from "../base/bytes.ts";
import { unmap } from "../base/ip.ts";
import type { AddrPort, IpBytes } from "../base/ip.ts";

/** Bytes of a transaction ID. */
export const STUN_TRANSACTION_LENGTH = 12;

const HEADER_LENGTH = 20;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const MAGIC_COOKIE = Uint8Array.fromHex("2112a442");
const FINGERPRINT_XOR = 0x5354554e;
const FINGERPRINT_LENGTH = 8;
const SOFTWARE = utf8("tailnode");

const ATTRIBUTE_MAPPED_ADDRESS = 0x0001;
const ATTRIBUTE_XOR_MAPPED_ADDRESS = 0x0020;
/** A mistake of some servers that all clients have learnt to read. */
const ATTRIBUTE_XOR_MAPPED_ADDRESS_ALT = 0x8020;
const ATTRIBUTE_SOFTWARE = 0x8022;
const ATTRIBUTE_FINGERPRINT = 0x8028;

const FAMILY_IPV4 = 1;
const FAMILY_IPV6 = 2;

/** A response: whose, and the address the server saw. The ID is a copy. */
export interface StunResponse {
  readonly transaction: Uint8Array<ArrayBuffer>;
  readonly mapped: AddrPort;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 of ISO 3309, as FINGERPRINT uses it. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

function fingerprint(bytes: Uint8Array): number {
  return (crc32(bytes) ^ FINGERPRINT_XOR) >>> 0;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function writeHeader(out: Uint8Array, type: number, transaction: Uint8Array): void {
  if (transaction.length !== STUN_TRANSACTION_LENGTH) {
    throw new RangeError(`Cannot use a STUN transaction ID of ${transaction.length} bytes, want 12`);
  }
  const view = viewOf(out);
  view.setUint16(0, type);
  view.setUint16(2, out.length - HEADER_LENGTH);
  out.set(MAGIC_COOKIE, 4);
  out.set(transaction, 8);
}

/** True when the bytes start like any STUN message: two zero bits and the magic cookie. Cheap, for demultiplexing. */
export function isStun(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_LENGTH && (bytes[0] & 0xc0) === 0 && equalBytes(bytes.subarray(4, 8), MAGIC_COOKIE);
}

/** A binding request of 40 bytes. @param transaction 12 random bytes, copied. */
export function encodeStunRequest(transaction: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(HEADER_LENGTH + 4 + SOFTWARE.length + FINGERPRINT_LENGTH);
  writeHeader(out, BINDING_REQUEST, transaction);
  const view = viewOf(out);
  view.setUint16(20, ATTRIBUTE_SOFTWARE);
  view.setUint16(22, SOFTWARE.length);
  out.set(SOFTWARE, 24);
  view.setUint16(32, ATTRIBUTE_FINGERPRINT);
  view.setUint16(34, 4);
  view.setUint32(36, fingerprint(out.subarray(0, 32)));
  return out;
}

/** A binding success of 32 (IPv4) or 44 (IPv6) bytes that tells `source` its own address. */
export function encodeStunResponse(transaction: Uint8Array, source: AddrPort): Uint8Array<ArrayBuffer> {
  const ip = unmap(source.ip);
  const out = new Uint8Array(HEADER_LENGTH + 8 + ip.length);
  writeHeader(out, BINDING_SUCCESS, transaction);
  const view = viewOf(out);
  view.setUint16(20, ATTRIBUTE_XOR_MAPPED_ADDRESS);
  view.setUint16(22, 4 + ip.length);
  out[25] = ip.length === 4 ? FAMILY_IPV4 : FAMILY_IPV6;
  view.setUint16(26, source.port ^ 0x2112);
  // The cookie and the transaction ID lie next to each other in the header and are the mask of both families.
  for (let i = 0; i < ip.length; i++) out[28 + i] = ip[i] ^ out[4 + i];
  return out;
}

/** Calls `visit` with each attribute; false when one lies about its length. Stops early when `visit` returns false. */
function eachAttribute(attributes: Uint8Array, visit: (type: number, value: Uint8Array) => boolean): boolean {
  const view = viewOf(attributes);
  let at = 0;
  while (at < attributes.length) {
    if (attributes.length - at < 4) return false;
    const length = view.getUint16(at + 2);
    const padded = (length + 3) & ~3;
    if (at + 4 + padded > attributes.length) return false;
    if (!visit(view.getUint16(at), attributes.subarray(at + 4, at + 4 + length))) return false;
    at += 4 + padded;
  }
  return true;
}

function parseAddress(value: Uint8Array, mask: Uint8Array | undefined): AddrPort | undefined {
  const length = value[1] === FAMILY_IPV4 ? 4 : value[1] === FAMILY_IPV6 ? 16 : 0;
  if (length === 0 || value.length < 4 + length) return undefined;
  const port = (value[2] << 8) | value[3];
  const ip: IpBytes = new Uint8Array(value.subarray(4, 4 + length));
  if (mask === undefined) return { ip: unmap(ip), port };
  for (let i = 0; i < length; i++) ip[i] ^= mask[i];
  return { ip: unmap(ip), port: port ^ 0x2112 };
}

/** A binding success with an address in it, or undefined. XOR-MAPPED-ADDRESS wins over MAPPED-ADDRESS. */
export function parseStunResponse(bytes: Uint8Array): StunResponse | undefined {
  if (!isStun(bytes)) return undefined;
  const view = viewOf(bytes);
  const end = HEADER_LENGTH + view.getUint16(2);
  if (view.getUint16(0) !== BINDING_SUCCESS || end > bytes.length) return undefined;
  let mapped: AddrPort | undefined;
  let fallback: AddrPort | undefined;
  const mask = bytes.subarray(4, HEADER_LENGTH);
  const whole = eachAttribute(bytes.subarray(HEADER_LENGTH, end), (type, value) => {
    if (type === ATTRIBUTE_XOR_MAPPED_ADDRESS || type === ATTRIBUTE_XOR_MAPPED_ADDRESS_ALT) {
      mapped = parseAddress(value, mask);
      return mapped !== undefined;
    }
    if (type === ATTRIBUTE_MAPPED_ADDRESS) {
      fallback = parseAddress(value, undefined);
      return fallback !== undefined;
    }
    return true;
  });
  const address = mapped ?? fallback;
  if (!whole || address === undefined) return undefined;
  return { transaction: new Uint8Array(bytes.subarray(8, HEADER_LENGTH)), mapped: address };
}

/**
 * The transaction ID (a copy) of a binding request that names itself "tailnode" and ends in a correct FINGERPRINT, or
 * undefined for anything else.
 */
export function parseStunRequest(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (!isStun(bytes) || bytes.length < HEADER_LENGTH + FINGERPRINT_LENGTH) return undefined;
  const view = viewOf(bytes);
  if (view.getUint16(0) !== BINDING_REQUEST) return undefined;
  let software = false;
  let last = 0;
  let seen = -1;
  const whole = eachAttribute(bytes.subarray(HEADER_LENGTH), (type, value) => {
    last = type;
    if (type === ATTRIBUTE_SOFTWARE && equalBytes(value, SOFTWARE)) software = true;
    if (type === ATTRIBUTE_FINGERPRINT && value.length === 4) seen = viewOf(value).getUint32(0);
    return true;
  });
  if (!whole || !software || last !== ATTRIBUTE_FINGERPRINT) return undefined;
  if (seen !== fingerprint(bytes.subarray(0, bytes.length - FINGERPRINT_LENGTH))) return undefined;
  return new Uint8Array(bytes.subarray(8, HEADER_LENGTH));
}
