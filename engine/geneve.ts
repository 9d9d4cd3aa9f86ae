/**
 * Geneve (RFC 8926) as peer relays use it: eight bytes in front of a disco message or a WireGuard packet.
 *
 * ```
 * offset size
 *      0    1  version 0 (2 bits), length of options 0 (6 bits)
 *      1    1  O: a message to or from the relay itself (1 bit), C (1 bit) and reserved bits 0
 *      2    2  protocol, big endian: 0x7a11 disco, 0x7a12 WireGuard
 *      4    3  VNI, big endian: which session of the relay
 *      7    1  reserved, 0
 * ```
 *
 * Source: tailscale.com/net/packet `GeneveHeader`; magicsock `packetLooksLike`.
 */

/** Bytes of the header. Options are neither sent nor taken. */
export const GENEVE_LENGTH = 8;
/** Protocols, numbers of Tailscale's own. */
export const GENEVE_DISCO = 0x7a11;
export const GENEVE_WIREGUARD = 0x7a12;
/** The largest VNI; 0 stands for "not relayed". */
export const MAX_VNI = 0xffffff;
/** The first four bytes, read little endian, of a relayed WireGuard packet: what the packet path compares. */
export const GENEVE_WIREGUARD_WORD = 0x127a0000;

/** What a header says. */
export interface Geneve {
  readonly protocol: typeof GENEVE_DISCO | typeof GENEVE_WIREGUARD;
  /** The payload is for the relay, or from it, and is not forwarded. */
  readonly control: boolean;
  readonly vni: number;
}

/** Reads the header of `length` bytes at `offset`; undefined for anything but the two protocols without options. */
export function readGeneve(u8: Uint8Array, offset: number, length: number): Geneve | undefined {
  if (length < GENEVE_LENGTH || u8[offset] !== 0 || (u8[offset + 1] & 0x7f) !== 0 || u8[offset + 7] !== 0) {
    return undefined;
  }
  const protocol = u8[offset + 2] << 8 | u8[offset + 3];
  if (protocol !== GENEVE_DISCO && protocol !== GENEVE_WIREGUARD) return undefined;
  return { protocol, control: u8[offset + 1] !== 0, vni: vniAt(u8, offset) };
}

/** The VNI of the header at `offset`. */
export function vniAt(u8: Uint8Array, offset: number): number {
  return u8[offset + 4] << 16 | u8[offset + 5] << 8 | u8[offset + 6];
}

/** Writes the header of a WireGuard packet to `offset`. */
export function writeGeneveData(u8: Uint8Array, offset: number, vni: number): void {
  u8[offset] = u8[offset + 1] = u8[offset + 7] = 0;
  u8[offset + 2] = GENEVE_WIREGUARD >> 8;
  u8[offset + 3] = GENEVE_WIREGUARD & 0xff;
  u8[offset + 4] = vni >> 16;
  u8[offset + 5] = vni >> 8;
  u8[offset + 6] = vni;
}

/** A payload with a header in front. */
export function encapsulate({ protocol, control, vni }: Geneve, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(GENEVE_LENGTH + payload.length);
  writeGeneveData(packet, 0, vni);
  packet[1] = control ? 0x80 : 0;
  packet[3] = protocol & 0xff;
  packet.set(payload, GENEVE_LENGTH);
  return packet;
}
