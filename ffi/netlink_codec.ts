/**
 * Netlink messages and attributes, bytes to values and back. Pure.
 *
 *   struct nlmsghdr (16 bytes)  0 u32 length with header  4 u16 type  6 u16 flags  8 u32 sequence  12 u32 port id
 *   struct nlattr (4 bytes)     0 u16 length with header  2 u16 type, bit 15 nested, bit 14 network order
 *   both padded to 4 bytes; numbers in host order, which on the machines served here is little-endian
 *
 * A request is answered by its data messages, then NLMSG_ERROR with 0 (an acknowledgement) or -errno, or for a dump
 * by parts that end with NLMSG_DONE. Source: netlink(7), include/uapi/linux/netlink.h.
 */

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

const HEADER = 16;
const ATTR_HEADER = 4;
const NLA_TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;

export type Bytes = Uint8Array<ArrayBuffer>;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Borrowed from what was decoded. */
  readonly body: Uint8Array;
}

/** A whole message. `parts` follow the header, each padded to 4 bytes. */
export function encodeMessage(type: number, flags: number, sequence: number, parts: readonly Uint8Array[]): Bytes {
  const body = join(parts);
  const message = new Uint8Array(HEADER + body.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  message.set(body, HEADER);
  return message;
}

/** The messages in one datagram. What is cut short or claims an impossible length ends the list. */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER <= datagram.length;) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > datagram.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: datagram.subarray(at + HEADER, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** One attribute, padded. */
export function attribute(type: number, payload: Uint8Array): Bytes {
  const bytes = new Uint8Array(ATTR_HEADER + align(payload.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ATTR_HEADER + payload.length, true);
  view.setUint16(2, type, true);
  bytes.set(payload, ATTR_HEADER);
  return bytes;
}

export function attributeU32(type: number, value: number): Bytes {
  return attribute(type, new Uint8Array(Uint32Array.of(value).buffer));
}

/** NUL-terminated, as the kernel reads names. */
export function attributeText(type: number, text: string): Bytes {
  return attribute(type, new TextEncoder().encode(`${text}\0`));
}

export function attributeNested(type: number, parts: readonly Uint8Array[]): Bytes {
  return attribute(type | NLA_F_NESTED, join(parts));
}

/** The attributes in `bytes` by type, flags taken off; of equal types the last. Cut ones end the list. */
export function decodeAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributes = new Map<number, Uint8Array>();
  for (let at = 0; at + ATTR_HEADER <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < ATTR_HEADER || at + length > bytes.length) break;
    attributes.set(view.getUint16(at + 2, true) & NLA_TYPE_MASK, bytes.subarray(at + ATTR_HEADER, at + length));
    at += align(length);
  }
  return attributes;
}

/** A 32-bit attribute, or undefined when it is absent or short. */
export function readU32(attributes: Map<number, Uint8Array>, type: number): number | undefined {
  const value = attributes.get(type);
  if (value === undefined || value.length < 4) return undefined;
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
}

/** A text attribute without its NUL. */
export function readText(attributes: Map<number, Uint8Array>, type: number): string | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/** What NLMSG_ERROR says: 0 or a positive errno, and the kernel's own words where it has some (extended ack). */
export function decodeError(message: NetlinkMessage): { readonly errno: number; readonly detail?: string } {
  const { body, flags } = message;
  const code = 0 - new DataView(body.buffer, body.byteOffset, body.byteLength).getInt32(0, true);
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno: code };
  return { errno: code, detail: readText(decodeAttributes(body.subarray(4 + HEADER)), NLMSGERR_ATTR_MSG) };
}

/** `parts` one after the other, each padded to 4 bytes. */
export function join(parts: readonly Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + align(part.length), 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += align(part.length);
  }
  return bytes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
