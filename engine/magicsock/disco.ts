/**
 * Disco messages: how two nodes find out which UDP paths between them work.
 *
 * ```
 * offset size  envelope, over UDP or DERP                     payload, inside the NaCl box
 *      0    6  magic "TS💬" 54 53 f0 9f 92 ac                  0  1  type
 *      6   32  sender's disco public key                       1  1  version, 0
 *     38   24  nonce                                           2  …  as below; bytes at the end are ignored
 *     62    …  box of the payload: 16-byte tag, ciphertext
 *
 * 1 ping           2 12 transaction ID | 14 32 sender's node key (absent in 1.16 and before) | 46 … padding, zeros
 * 2 pong           2 12 transaction ID | 14 16 IP the ping was seen from, IPv4 mapped | 30 2 port, big endian
 * 3 call-me-maybe  2 n × (16 IP, IPv4 mapped | 2 port, big endian): the sender's endpoints. Only by DERP.
 * ```
 *
 * A → B ping on every candidate path; B → A pong on the path the ping came by. CallMeMaybe says "I just pinged you from
 * these, so my firewall is open: ping me". Messages 4 to 9 are those of peer relays: disco_relay.ts.
 *
 * Source: tailscale.com/disco; NaCl box as in base/box.ts.
 */
import { BOX_NONCE_LENGTH, BOX_OVERHEAD, type BoxKey } from "../../base/box.ts";
import { isZero } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { DiscoPublic, NodePublic } from "../../base/keys.ts";
import { DISCO_MAGIC, isDisco } from "./classify.ts";
import { MAX_CALL_ME_MAYBE_ENDPOINTS } from "./constants.ts";
import { ADDR_LENGTH, readAddr, writeAddr } from "./disco_addr.ts";
import { parseRelayMessage, type RelayMessage } from "./disco_relay.ts";

/** Bytes of a transaction ID. */
export const TX_ID_LENGTH = 12;

const TYPE_PING = 1;
const TYPE_PONG = 2;
const TYPE_CALL_ME_MAYBE = 3;

const KEY_LENGTH = 32;
const ENVELOPE_LENGTH = 6 + KEY_LENGTH + BOX_NONCE_LENGTH;

/** Bytes of a whole ping message without padding. */
export const DISCO_PING_SIZE = ENVELOPE_LENGTH + BOX_OVERHEAD + 2 + TX_ID_LENGTH + KEY_LENGTH;
/** Bytes of the largest ping: what fits an IPv4 packet. `magicsock.MaxDiscoPingSize`. */
export const MAX_DISCO_PING_SIZE = 65_535 - 20 - 8;

/** A message this node understands. Byte fields are views of the opened payload. */
export type DiscoMessage =
  | {
    readonly type: "ping";
    readonly txId: Uint8Array;
    readonly nodeKey: Uint8Array | undefined;
    readonly padding: number;
  }
  | { readonly type: "pong"; readonly txId: Uint8Array; readonly source: AddrPort }
  | { readonly type: "call-me-maybe"; readonly endpoints: readonly AddrPort[] }
  | RelayMessage;

/** The sender's disco key, borrowed from the message, or undefined when this is no disco envelope. */
export function discoSender(message: Uint8Array): Uint8Array | undefined {
  if (message.length < ENVELOPE_LENGTH || !isDisco(message, 0, message.length)) return undefined;
  return message.subarray(6, 6 + KEY_LENGTH);
}

/** The payload of an envelope that `discoSender` accepted; undefined when forged or for another key. */
export function openDisco(message: Uint8Array, key: BoxKey): Uint8Array | undefined {
  // Copied: the message may lie in memory shared with other threads.
  const nonce = message.slice(6 + KEY_LENGTH, ENVELOPE_LENGTH);
  return key.open(nonce, message.slice(ENVELOPE_LENGTH));
}

/** @param nonce 24 bytes, never twice for one key. */
export function sealDisco(
  sender: DiscoPublic,
  key: BoxKey,
  nonce: Uint8Array,
  payload: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const box = key.seal(nonce, payload);
  const message = new Uint8Array(ENVELOPE_LENGTH + box.length);
  message.set(DISCO_MAGIC);
  message.set(sender.bytes, 6);
  message.set(nonce, 6 + KEY_LENGTH);
  message.set(box, ENVELOPE_LENGTH);
  return message;
}

/**
 * Reads a payload. A CallMeMaybe of more than `MAX_CALL_ME_MAYBE_ENDPOINTS` is cut.
 * @returns `disco-malformed` for lengths that lie and `unknown-type` for types not spoken here.
 */
export function parseDisco(payload: Uint8Array): DiscoMessage | Drop {
  if (payload.length < 2) return "disco-malformed";
  const body = payload.subarray(2);
  switch (payload[0]) {
    case TYPE_PING:
      return parsePing(body);
    case TYPE_PONG:
      return parsePong(body);
    case TYPE_CALL_ME_MAYBE:
      return parseCallMeMaybe(payload[1], body);
    default:
      return parseRelayMessage(payload[0], payload[1], body);
  }
}

function parsePing(body: Uint8Array): DiscoMessage | Drop {
  if (body.length < TX_ID_LENGTH) return "disco-malformed";
  const txId = body.subarray(0, TX_ID_LENGTH);
  const rest = body.subarray(TX_ID_LENGTH);
  const key = rest.length >= KEY_LENGTH ? rest.subarray(0, KEY_LENGTH) : undefined;
  const padding = rest.length - (key?.length ?? 0);
  return { type: "ping", txId, nodeKey: key === undefined || isZero(key) ? undefined : key, padding };
}

function parsePong(body: Uint8Array): DiscoMessage | Drop {
  if (body.length < TX_ID_LENGTH + ADDR_LENGTH) return "disco-malformed";
  return { type: "pong", txId: body.subarray(0, TX_ID_LENGTH), source: readAddr(body, TX_ID_LENGTH) };
}

/** One of another version or an odd length names nothing, but still says "ping me". */
function parseCallMeMaybe(version: number, body: Uint8Array): DiscoMessage {
  if (version !== 0 || body.length % ADDR_LENGTH !== 0) return { type: "call-me-maybe", endpoints: [] };
  const count = Math.min(body.length / ADDR_LENGTH, MAX_CALL_ME_MAYBE_ENDPOINTS);
  return { type: "call-me-maybe", endpoints: Array.from({ length: count }, (_, i) => readAddr(body, i * ADDR_LENGTH)) };
}

/** @param padding zero bytes behind the message, to make it as long as a packet whose way is to be tried. */
export function encodePing(
  txId: Uint8Array,
  nodeKey: NodePublic | undefined,
  padding: number,
): Uint8Array<ArrayBuffer> {
  const keyLength = nodeKey === undefined ? 0 : KEY_LENGTH;
  const payload = new Uint8Array(2 + TX_ID_LENGTH + keyLength + padding);
  payload[0] = TYPE_PING;
  payload.set(txId, 2);
  if (nodeKey !== undefined) payload.set(nodeKey.bytes, 2 + TX_ID_LENGTH);
  return payload;
}

/** @param source where the ping came from, which tells its sender the address of its NAT. */
export function encodePong(txId: Uint8Array, source: AddrPort): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(2 + TX_ID_LENGTH + ADDR_LENGTH);
  payload[0] = TYPE_PONG;
  payload.set(txId, 2);
  writeAddr(payload, 2 + TX_ID_LENGTH, source);
  return payload;
}

export function encodeCallMeMaybe(endpoints: readonly AddrPort[]): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(2 + ADDR_LENGTH * endpoints.length);
  payload[0] = TYPE_CALL_ME_MAYBE;
  for (const [i, endpoint] of endpoints.entries()) writeAddr(payload, 2 + ADDR_LENGTH * i, endpoint);
  return payload;
}
