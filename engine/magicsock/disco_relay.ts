/**
 * The disco messages of peer relays: how two nodes get a session at a relay, and bind to it.
 *
 * ```
 *  A ── 8 allocate-request ──▶ relay node      by DERP, to the node's disco key
 *  A ◀─ 9 allocate-response ── relay node      by DERP: the relay server's own disco key, a VNI, addresses
 *  A ── 7 call-me-maybe-via ─▶ B               by DERP, the same
 *  A, B ── 4 bind ───────────▶ relay server    by UDP, each to every address; Geneve control
 *  A, B ◀─ 5 challenge ─────── relay server    a MAC over who asked, and from where
 *  A, B ── 6 answer ─────────▶ relay server    the MAC again: this address is theirs
 *
 * payload behind type and version, integers big endian
 * 4 5 6  0  4 VNI | 4 4 generation | 8 32 disco key of the other node | 40 32 challenge (nothing in 4)
 * 7      0 32 server's disco key | 32 64 both nodes' disco keys | 96 8 Lamport ID | 104 4 VNI |
 *        108 8 bind lifetime, ns | 116 8 steady-state lifetime, ns | 124 n × 18 addresses, at least one
 * 8      0 64 both nodes' disco keys | 64 4 generation
 * 9      0  4 generation | 4 … as 7
 * ```
 *
 * Source: tailscale.com/disco.
 */
import type { Drop } from "../../base/drops.ts";
import type { AddrPort } from "../../base/ip.ts";
import { MAX_CALL_ME_MAYBE_ENDPOINTS } from "./constants.ts";
import { ADDR_LENGTH, readAddr, writeAddr } from "./disco_addr.ts";

const TYPE_BIND = 4;
const TYPE_CHALLENGE = 5;
const TYPE_ANSWER = 6;
const TYPE_CALL_ME_MAYBE_VIA = 7;
const TYPE_ALLOCATE_REQUEST = 8;
const TYPE_ALLOCATE_RESPONSE = 9;

const KEY_LENGTH = 32;
/** Bytes of a challenge. */
export const CHALLENGE_LENGTH = 32;
const BIND_LENGTH = 4 + 4 + KEY_LENGTH + CHALLENGE_LENGTH;
const SESSION_LENGTH = 3 * KEY_LENGTH + 8 + 4 + 8 + 8;
const NS_PER_MS = 1_000_000n;

/** A session a relay gave to two nodes. `disco.UDPRelayEndpoint`. */
export interface RelaySession {
  /** Disco key of the relay server, 32 bytes; not that of the node it runs on. */
  readonly server: Uint8Array;
  /** Disco keys of the two nodes, sorted. */
  readonly clients: readonly [Uint8Array, Uint8Array];
  /** Counts the server's allocations: of two, the larger is the later. */
  readonly lamportId: bigint;
  readonly vni: number;
  /** How long the server waits for both to bind, ms. */
  readonly bindLifetimeMs: number;
  /** How long it keeps a session that one of them does not use, ms. */
  readonly steadyLifetimeMs: number;
  /** Where the server may be reached. */
  readonly addrs: readonly AddrPort[];
}

/** The fields of the three-way handshake. `disco.BindUDPRelayEndpointCommon`. */
export interface BindFields {
  readonly vni: number;
  /** Which handshake, never 0. */
  readonly generation: number;
  /** Disco key of the other node. */
  readonly remote: Uint8Array;
  readonly challenge: Uint8Array;
}

/** A message of relaying. Byte fields are views of the payload. */
export type RelayMessage =
  | ({ readonly type: "bind" | "bind-challenge" | "bind-answer" } & BindFields)
  | { readonly type: "call-me-maybe-via"; readonly session: RelaySession }
  | {
    readonly type: "allocate-request";
    readonly clients: readonly [Uint8Array, Uint8Array];
    readonly generation: number;
  }
  | { readonly type: "allocate-response"; readonly generation: number; readonly session: RelaySession };

const BIND_TYPES = { "bind": TYPE_BIND, "bind-challenge": TYPE_CHALLENGE, "bind-answer": TYPE_ANSWER } as const;

/** Reads the body of type 4 to 9. @returns `disco-malformed` for lengths that lie, `unknown-type` for the rest. */
export function parseRelayMessage(type: number, version: number, body: Uint8Array): RelayMessage | Drop {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  switch (type) {
    case TYPE_BIND:
    case TYPE_CHALLENGE:
    case TYPE_ANSWER:
      if (body.length < BIND_LENGTH) return "disco-malformed";
      return {
        type: type === TYPE_BIND ? "bind" : type === TYPE_CHALLENGE ? "bind-challenge" : "bind-answer",
        vni: view.getUint32(0),
        generation: view.getUint32(4),
        remote: body.subarray(8, 8 + KEY_LENGTH),
        challenge: body.subarray(8 + KEY_LENGTH, BIND_LENGTH),
      };
  }
  // Tailscale reads nothing out of another version of these, and then does nothing.
  if (version !== 0) return "unknown-type";
  switch (type) {
    case TYPE_CALL_ME_MAYBE_VIA: {
      const session = readSession(body);
      return session === undefined ? "disco-malformed" : { type: "call-me-maybe-via", session };
    }
    case TYPE_ALLOCATE_REQUEST:
      if (body.length < 2 * KEY_LENGTH + 4) return "disco-malformed";
      return { type: "allocate-request", clients: readPair(body, 0), generation: view.getUint32(2 * KEY_LENGTH) };
    case TYPE_ALLOCATE_RESPONSE: {
      const session = body.length < 4 ? undefined : readSession(body.subarray(4));
      if (session === undefined) return "disco-malformed";
      return { type: "allocate-response", generation: view.getUint32(0), session };
    }
    default:
      return "unknown-type";
  }
}

/** A message of the handshake. @param fields of 4, 5 or 6; a challenge of zeros in 4 */
export function encodeBind(type: keyof typeof BIND_TYPES, fields: BindFields): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(2 + BIND_LENGTH);
  const view = new DataView(payload.buffer);
  payload[0] = BIND_TYPES[type];
  view.setUint32(2, fields.vni);
  view.setUint32(6, fields.generation);
  payload.set(fields.remote, 10);
  payload.set(fields.challenge, 10 + KEY_LENGTH);
  return payload;
}

export function encodeCallMeMaybeVia(session: RelaySession): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(2 + SESSION_LENGTH + ADDR_LENGTH * session.addrs.length);
  payload[0] = TYPE_CALL_ME_MAYBE_VIA;
  writeSession(payload, 2, session);
  return payload;
}

export function encodeAllocateRequest(
  clients: readonly [Uint8Array, Uint8Array],
  generation: number,
): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(2 + 2 * KEY_LENGTH + 4);
  payload[0] = TYPE_ALLOCATE_REQUEST;
  payload.set(clients[0], 2);
  payload.set(clients[1], 2 + KEY_LENGTH);
  new DataView(payload.buffer).setUint32(2 + 2 * KEY_LENGTH, generation);
  return payload;
}

export function encodeAllocateResponse(generation: number, session: RelaySession): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(2 + 4 + SESSION_LENGTH + ADDR_LENGTH * session.addrs.length);
  payload[0] = TYPE_ALLOCATE_RESPONSE;
  new DataView(payload.buffer).setUint32(2, generation);
  writeSession(payload, 6, session);
  return payload;
}

/** Two disco keys in the order in which they name a pair. `key.SortedPairOfDiscoPublic`. */
export function sortedPair(a: Uint8Array, b: Uint8Array): readonly [Uint8Array, Uint8Array] {
  for (let i = 0; i < KEY_LENGTH; i++) if (a[i] !== b[i]) return a[i] < b[i] ? [a, b] : [b, a];
  return [a, b];
}

function readPair(bytes: Uint8Array, at: number): readonly [Uint8Array, Uint8Array] {
  return [bytes.subarray(at, at + KEY_LENGTH), bytes.subarray(at + KEY_LENGTH, at + 2 * KEY_LENGTH)];
}

function readSession(bytes: Uint8Array): RelaySession | undefined {
  const rest = bytes.length - SESSION_LENGTH;
  if (rest < ADDR_LENGTH || rest % ADDR_LENGTH !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ms = (at: number) => Number(view.getBigInt64(at) / NS_PER_MS);
  const count = Math.min(rest / ADDR_LENGTH, MAX_CALL_ME_MAYBE_ENDPOINTS);
  return {
    server: bytes.subarray(0, KEY_LENGTH),
    clients: readPair(bytes, KEY_LENGTH),
    lamportId: view.getBigUint64(3 * KEY_LENGTH),
    vni: view.getUint32(3 * KEY_LENGTH + 8),
    bindLifetimeMs: ms(3 * KEY_LENGTH + 12),
    steadyLifetimeMs: ms(3 * KEY_LENGTH + 20),
    addrs: Array.from({ length: count }, (_, i) => readAddr(bytes, SESSION_LENGTH + i * ADDR_LENGTH)),
  };
}

function writeSession(bytes: Uint8Array, at: number, session: RelaySession): void {
  const view = new DataView(bytes.buffer, at);
  bytes.set(session.server, at);
  bytes.set(session.clients[0], at + KEY_LENGTH);
  bytes.set(session.clients[1], at + 2 * KEY_LENGTH);
  view.setBigUint64(3 * KEY_LENGTH, session.lamportId);
  view.setUint32(3 * KEY_LENGTH + 8, session.vni);
  view.setBigInt64(3 * KEY_LENGTH + 12, BigInt(session.bindLifetimeMs) * NS_PER_MS);
  view.setBigInt64(3 * KEY_LENGTH + 20, BigInt(session.steadyLifetimeMs) * NS_PER_MS);
  for (const [i, addr] of session.addrs.entries()) writeAddr(bytes, at + SESSION_LENGTH + i * ADDR_LENGTH, addr);
}
