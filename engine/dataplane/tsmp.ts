/**
 * TSMP, Tailscale's message protocol inside the tunnel (IP protocol 99): ping and pong.
 *
 * ```
 *   ping  'p' | 8 bytes of data                          9 bytes
 *   pong  'o' | the ping's 8 bytes | u16be peerapi port   11 bytes
 * ```
 * The engine answers itself: a TSMP ping says that WireGuard works, whatever the host's firewall thinks.
 * Source: tailscale.com/net/packet/tsmp.go.
 */
import { concat } from "../../base/bytes.ts";

const PROTOCOL = 99;
const PING = 0x70;
const PONG = 0x6f;
const DATA = 8;

/** A TSMP message inside an IP packet. */
export type TsmpMessage = { readonly kind: "ping" | "pong"; readonly data: Uint8Array<ArrayBuffer> };

function headerLength(packet: Uint8Array): number {
  return packet[0] >> 4 === 4 ? (packet[0] & 15) * 4 : 40;
}

/** The ping or pong in an IP packet that `parsePacket` accepted; undefined for any other message. */
export function parseTsmp(packet: Uint8Array): TsmpMessage | undefined {
  const at = headerLength(packet);
  if (packet.length < at + 1 + DATA) return undefined;
  const data = new Uint8Array(packet.subarray(at + 1, at + 1 + DATA));
  if (packet[at] === PING) return { kind: "ping", data };
  if (packet[at] === PONG) return { kind: "pong", data };
  return undefined;
}

function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += (header[i] << 8) | header[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An IP packet of protocol 99. Addresses are 4 or 16 bytes, both of one family. */
function ipPacket(source: Uint8Array, destination: Uint8Array, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  if (source.length === 4) {
    const header = new Uint8Array(20);
    const view = new DataView(header.buffer);
    header[0] = 0x45;
    view.setUint16(2, header.length + payload.length);
    header[8] = 64;
    header[9] = PROTOCOL;
    header.set(source, 12);
    header.set(destination, 16);
    view.setUint16(10, checksum(header));
    return concat(header, payload);
  }
  const header = new Uint8Array(40);
  header[0] = 0x60;
  new DataView(header.buffer).setUint16(4, payload.length);
  header[6] = PROTOCOL;
  header[7] = 64;
  header.set(source, 8);
  header.set(destination, 24);
  return concat(header, payload);
}

/** The answer to a ping, addressed back to its sender. Port 0: no peerapi here. */
export function buildPong(ping: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const v4 = ping[0] >> 4 === 4;
  const source = v4 ? ping.slice(12, 16) : ping.slice(8, 24);
  const destination = v4 ? ping.slice(16, 20) : ping.slice(24, 40);
  return ipPacket(destination, source, concat(Uint8Array.of(PONG), data, new Uint8Array(2)));
}

/** A ping. @param data 8 bytes that the pong repeats. */
export function buildPing(source: Uint8Array, destination: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
  return ipPacket(source, destination, concat(Uint8Array.of(PING), data));
}
