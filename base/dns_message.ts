/**
 * DNS messages as far as a resolver has to understand them: questions, the few records it answers itself, and answers as
 * text for people. Bytes of the network never throw; what cannot be read is undefined. RFC 1035 4, RFC 6891.
 *
 * ```
 *   0     2      4        6        8        10       12
 *   │ id  │ flags │ QDCOUNT │ ANCOUNT │ NSCOUNT │ ARCOUNT │ question │ answers │ authority │ additional │
 * ```
 * Names are texts without the last dot, lower case, "" for the root. A byte that is no letter, digit or mark of ASCII is
 * written `\ddd`, and a dot inside a label `\.`: such a name equals no other, and a name is never read as what it is not.
 */
import { concat } from "./bytes.ts";
import { formatIp } from "./ip.ts";

/** Record types, RFC 1035 3.2.2 and later. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  AXFR: 252,
  ANY: 255,
} as const;

/** Response codes, RFC 1035 4.1.1. */
export const RCODE = { success: 0, formatError: 1, serverFailure: 2, nameError: 3, notImplemented: 4, refused: 5 };

/** Bits of the flags. */
const QR = 0x8000, OPCODE = 0x7800, AA = 0x0400, TC = 0x0200, RD = 0x0100, RA = 0x0080;
const CLASS_IN = 1;
const HEADER_LENGTH = 12;
/** What a client without EDNS takes by UDP. */
const PLAIN_UDP_SIZE = 512;

/** What is asked. */
export interface Question {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** A query that was understood. */
export interface Query {
  readonly id: number;
  readonly flags: number;
  readonly question: Question;
  /** The message's header and question, as they came. */
  readonly head: Uint8Array;
  /** Largest answer the client takes by UDP. */
  readonly udpSize: number;
  /** The client speaks EDNS. */
  readonly edns: boolean;
}

/** A record of ours; its name is the question's. */
export interface OwnRecord {
  readonly type: number;
  readonly ttl: number;
  readonly data: Uint8Array;
}

/** A record of an answer, for people. `body` is as `dig` shows it where the type is known, else hexadecimal. */
export interface ShownRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly body: string;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The name at `at` and where the message goes on. Pointers lead backwards only, so that this ends. */
function readName(bytes: Uint8Array, at: number): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let limit = at;
  let length = 0;
  for (;;) {
    const size = bytes[at];
    if (size === undefined) return undefined;
    if (size === 0) return { name: labels.join("."), end: end ?? at + 1 };
    if ((size & 0xc0) === 0xc0) {
      if (at + 1 >= bytes.length) return undefined;
      const target = (size & 0x3f) << 8 | bytes[at + 1];
      end ??= at + 2;
      if (target >= limit) return undefined;
      limit = at = target;
      continue;
    }
    length += size + 1;
    if (size > 63 || length > 254 || at + 1 + size > bytes.length) return undefined;
    labels.push(labelText(bytes.subarray(at + 1, at + 1 + size)));
    at += 1 + size;
  }
}

function labelText(label: Uint8Array): string {
  let text = "";
  for (const byte of label) {
    const char = String.fromCharCode(byte);
    if (char === "." || char === "\\") text += `\\${char}`;
    else if (byte <= 0x20 || byte >= 0x7f) text += `\\${String(byte).padStart(3, "0")}`;
    else text += char.toLowerCase();
  }
  return text;
}

/** The name on the wire, uncompressed; undefined when a label or the whole is too long or empty. */
export function encodeName(name: string): Uint8Array<ArrayBuffer> | undefined {
  const bare = name.replace(/\.$/, "");
  if (bare === "") return new Uint8Array(1);
  if (/[^!-~]|\\/.test(bare)) return undefined;
  const out = new Uint8Array(bare.length + 2);
  if (out.length > 255) return undefined;
  let at = 0;
  for (const label of bare.split(".")) {
    if (label.length === 0 || label.length > 63) return undefined;
    out[at++] = label.length;
    for (const char of label) out[at++] = char.charCodeAt(0);
  }
  return out;
}

/** The record at `at`. */
function readRecord(bytes: Uint8Array, at: number) {
  const owner = readName(bytes, at);
  if (owner === undefined || owner.end + 10 > bytes.length) return undefined;
  const view = viewOf(bytes);
  const start = owner.end + 10;
  const end = start + view.getUint16(owner.end + 8);
  if (end > bytes.length) return undefined;
  return {
    name: owner.name,
    type: view.getUint16(owner.end),
    class: view.getUint16(owner.end + 2),
    ttl: view.getUint32(owner.end + 4),
    start,
    end,
  };
}

/** The message's one question and where it ends. */
function readQuestion(bytes: Uint8Array): { readonly question: Question; readonly end: number } | undefined {
  if (bytes.length < HEADER_LENGTH || viewOf(bytes).getUint16(4) !== 1) return undefined;
  const read = readName(bytes, HEADER_LENGTH);
  if (read === undefined || read.end + 4 > bytes.length) return undefined;
  const view = viewOf(bytes);
  const question = { name: read.name, type: view.getUint16(read.end), class: view.getUint16(read.end + 2) };
  return { question, end: read.end + 4 };
}

/** A query with one question; `malformed` is to be answered with FORMERR, undefined not at all. */
export function parseQuery(bytes: Uint8Array): Query | "malformed" | undefined {
  if (bytes.length < HEADER_LENGTH) return undefined;
  const view = viewOf(bytes);
  const flags = view.getUint16(2);
  // An answer is never answered: two resolvers would talk for ever.
  if ((flags & QR) !== 0) return undefined;
  const asked = readQuestion(bytes);
  if (asked === undefined || (flags & OPCODE) !== 0) return "malformed";
  let at = asked.end;
  let udpSize = PLAIN_UDP_SIZE;
  let edns = false;
  const others = view.getUint16(6) + view.getUint16(8) + view.getUint16(10);
  for (let i = 0; i < others; i++) {
    const record = readRecord(bytes, at);
    if (record === undefined) return "malformed";
    if (record.type === TYPE.OPT) {
      edns = true;
      udpSize = Math.max(PLAIN_UDP_SIZE, record.class);
    }
    at = record.end;
  }
  return { id: view.getUint16(0), flags, question: asked.question, head: bytes.slice(0, asked.end), udpSize, edns };
}

/** A query for a name, recursion wanted, EDNS offered; undefined for a name that cannot be asked for. */
export function encodeQuery(id: number, name: string, type: number, udpSize: number): Uint8Array | undefined {
  const wire = encodeName(name);
  if (wire === undefined) return undefined;
  const out = concat(header(id, RD, 1, 0, 0, 1), wire, new Uint8Array(4), opt(udpSize));
  const view = viewOf(out);
  view.setUint16(HEADER_LENGTH + wire.length, type);
  view.setUint16(HEADER_LENGTH + wire.length + 2, CLASS_IN);
  return out;
}

function header(id: number, flags: number, ...counts: readonly number[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(HEADER_LENGTH);
  const view = viewOf(out);
  view.setUint16(0, id);
  view.setUint16(2, flags);
  counts.forEach((count, i) => view.setUint16(4 + 2 * i, count));
  return out;
}

/** An OPT record, RFC 6891 6.1.2: the root, the type, our size in place of a class. */
function opt(udpSize: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(11);
  viewOf(out).setUint16(1, TYPE.OPT);
  viewOf(out).setUint16(3, udpSize);
  return out;
}

/** A record whose owner is at `owner` of the message. */
function encodeRecord(owner: Uint8Array, { type, ttl, data }: OwnRecord): Uint8Array {
  const fixed = new Uint8Array(10);
  const view = viewOf(fixed);
  view.setUint16(0, type);
  view.setUint16(2, CLASS_IN);
  view.setUint32(4, ttl);
  view.setUint16(8, data.length);
  return concat(owner, fixed, data);
}

/** The data of an SOA record of a zone that nobody transfers: all its times are `ttl`. */
export function soaData(zone: Uint8Array, serial: number, ttl: number): Uint8Array {
  const times = new Uint8Array(20);
  const view = viewOf(times);
  [serial >>> 0, ttl, ttl, ttl, ttl].forEach((value, i) => view.setUint32(4 * i, value));
  return concat(zone, zone, times);
}

/** What a query is answered with. */
export interface Answer {
  readonly rcode: number;
  /** The answer is of a zone of ours. */
  readonly authoritative?: boolean;
  readonly records?: readonly OwnRecord[];
  /** Of the zone that has no such record. */
  readonly soa?: { readonly zone: Uint8Array; readonly record: OwnRecord };
}

/** Largest message of ours, as OPT says. */
export const MAX_UDP_RESPONSE = 4095;

/** The answer to a query, its question repeated as it was spelt. */
export function encodeAnswer(query: Query, { rcode, authoritative, records = [], soa }: Answer): Uint8Array {
  const flags = QR | RA | (query.flags & RD) | (authoritative ? AA : 0) | rcode;
  // A pointer to the question's name.
  const owner = Uint8Array.of(0xc0, HEADER_LENGTH);
  return concat(
    header(query.id, flags, 1, records.length, soa === undefined ? 0 : 1, query.edns ? 1 : 0),
    query.head.subarray(HEADER_LENGTH),
    ...records.map((record) => encodeRecord(owner, record)),
    ...(soa === undefined ? [] : [encodeRecord(soa.zone, soa.record)]),
    ...(query.edns ? [opt(MAX_UDP_RESPONSE)] : []),
  );
}

/** FORMERR for what has at least a header. */
export function formatError(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  return header(view.getUint16(0), QR | (view.getUint16(2) & (OPCODE | RD)) | RCODE.formatError, 0, 0, 0, 0);
}

/** An answer too large for its client, cut to its question; the client asks again by TCP. */
export function truncated(query: Query, response: Uint8Array): Uint8Array {
  const flags = viewOf(response).getUint16(2) | TC;
  return concat(
    header(query.id, flags, 1, 0, 0, query.edns ? 1 : 0),
    query.head.subarray(HEADER_LENGTH),
    ...(query.edns ? [opt(MAX_UDP_RESPONSE)] : []),
  );
}

/** Code and truncation of a response to this query; undefined for any other bytes: forged, late or broken. */
export function responseTo(
  query: Query,
  bytes: Uint8Array,
): { readonly rcode: number; readonly cut: boolean } | undefined {
  if (bytes.length < HEADER_LENGTH) return undefined;
  const view = viewOf(bytes);
  const flags = view.getUint16(2);
  if (view.getUint16(0) !== query.id || (flags & QR) === 0) return undefined;
  const result = { rcode: flags & 0xf, cut: (flags & TC) !== 0 };
  // Some servers leave the question out of what they refuse.
  if (view.getUint16(4) === 0) return result.rcode === RCODE.success ? undefined : result;
  const asked = readQuestion(bytes)?.question;
  const { name, type } = query.question;
  return asked?.name === name && asked.type === type ? result : undefined;
}

/** A response for people: its code and the records of its answer section. Undefined when it cannot be read. */
export function parseResponse(
  bytes: Uint8Array,
): { readonly rcode: number; readonly answers: readonly ShownRecord[] } | undefined {
  const asked = readQuestion(bytes);
  if (asked === undefined) return undefined;
  const view = viewOf(bytes);
  const answers: ShownRecord[] = [];
  let at = asked.end;
  for (let left = view.getUint16(6); left > 0; left--) {
    const record = readRecord(bytes, at);
    if (record === undefined) return undefined;
    const { name, type, ttl, start, end } = record;
    answers.push({ name, type, class: record.class, ttl, body: bodyText(bytes, type, start, end) });
    at = end;
  }
  return { rcode: view.getUint16(2) & 0xf, answers };
}

function bodyText(bytes: Uint8Array, type: number, start: number, end: number): string {
  const data = bytes.subarray(start, end);
  const view = viewOf(data);
  const nameAt = (at: number) => {
    const read = at <= end ? readName(bytes, at) : undefined;
    return read === undefined ? "?" : `${read.name}.`;
  };
  if (type === TYPE.A && data.length === 4) return formatIp(data);
  if (type === TYPE.AAAA && data.length === 16) return formatIp(data);
  if (type === TYPE.CNAME || type === TYPE.NS || type === TYPE.PTR) return nameAt(start);
  if (type === TYPE.MX && data.length > 2) return `${nameAt(start + 2)} (Priority=${view.getUint16(0)})`;
  if (type === TYPE.SRV && data.length > 6) {
    const [priority, weight, port] = [0, 2, 4].map((at) => view.getUint16(at));
    return `Target=${nameAt(start + 6)}, Port=${port}, Priority=${priority}, Weight=${weight}`;
  }
  if (type === TYPE.TXT) return textParts(data).map((text) => JSON.stringify(text)).join(" ");
  return data.toHex();
}

/** Strings with a length before each, RFC 1035 3.3.14. */
function textParts(data: Uint8Array): string[] {
  const parts: string[] = [];
  for (let at = 0; at < data.length; at += 1 + data[at]) {
    parts.push(new TextDecoder().decode(data.subarray(at + 1, at + 1 + data[at])));
  }
  return parts;
}
