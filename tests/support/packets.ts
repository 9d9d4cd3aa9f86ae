/** Builds IP packets the slow, clear way, for tests of the code that handles them fast. */

/** RFC 1071, big-endian words, one at a time. */
export function slowChecksum(bytes: Uint8Array, initial = 0): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function pseudoSum(addresses: Uint8Array, protocol: number, length: number): number {
  let sum = protocol + length;
  for (let i = 0; i < addresses.length; i += 2) sum += (addresses[i] << 8) | addresses[i + 1];
  return sum;
}

/** What a packet is built from; addresses are both 4 or both 16 bytes. */
export interface PacketFields {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
  /** IPv4 identification. */
  readonly id?: number;
  readonly sequence?: number;
  readonly flags?: number;
  /** TCP options, a multiple of 4 bytes. */
  readonly options?: Uint8Array;
}

function ipPacket(fields: PacketFields, protocol: number, l4: Uint8Array): Uint8Array<ArrayBuffer> {
  const v4 = fields.source.length === 4;
  const header = v4 ? 20 : 40;
  const packet = new Uint8Array(header + l4.length);
  const view = new DataView(packet.buffer);
  if (v4) {
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    view.setUint16(4, fields.id ?? 0);
    view.setUint16(6, 0x4000);
    packet[8] = 64;
    packet[9] = protocol;
    packet.set(fields.source, 12);
    packet.set(fields.destination, 16);
    view.setUint16(10, slowChecksum(packet.subarray(0, 20)));
  } else {
    packet[0] = 0x60;
    view.setUint16(4, l4.length);
    packet[6] = protocol;
    packet[7] = 64;
    packet.set(fields.source, 8);
    packet.set(fields.destination, 24);
  }
  packet.set(l4, header);
  return packet;
}

/** A TCP packet with right checksums. */
export function tcpPacket(fields: PacketFields): Uint8Array<ArrayBuffer> {
  const options = fields.options ?? new Uint8Array(0);
  const l4 = new Uint8Array(20 + options.length + fields.payload.length);
  const view = new DataView(l4.buffer);
  view.setUint16(0, fields.sourcePort);
  view.setUint16(2, fields.destinationPort);
  view.setUint32(4, fields.sequence ?? 1);
  view.setUint32(8, 77);
  l4[12] = ((20 + options.length) / 4) << 4;
  l4[13] = fields.flags ?? 0x10;
  view.setUint16(14, 512);
  l4.set(options, 20);
  l4.set(fields.payload, 20 + options.length);
  const addresses = Uint8Array.from([...fields.source, ...fields.destination]);
  view.setUint16(16, slowChecksum(l4, pseudoSum(addresses, 6, l4.length)));
  return ipPacket(fields, 6, l4);
}

/** A UDP packet with right checksums. */
export function udpPacket(fields: PacketFields): Uint8Array<ArrayBuffer> {
  const l4 = new Uint8Array(8 + fields.payload.length);
  const view = new DataView(l4.buffer);
  view.setUint16(0, fields.sourcePort);
  view.setUint16(2, fields.destinationPort);
  view.setUint16(4, l4.length);
  l4.set(fields.payload, 8);
  const addresses = Uint8Array.from([...fields.source, ...fields.destination]);
  view.setUint16(6, slowChecksum(l4, pseudoSum(addresses, 17, l4.length)) || 0xffff);
  return ipPacket(fields, 17, l4);
}

/** True when the IPv4 header's and the transport's checksums are right, summed the slow way. */
export function checksumsRight(packet: Uint8Array): boolean {
  const v4 = packet[0] >> 4 === 4;
  if (v4 && slowChecksum(packet.subarray(0, 20)) !== 0) return false;
  const l4 = packet.subarray(v4 ? 20 : 40);
  const addresses = v4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  return slowChecksum(l4, pseudoSum(addresses, packet[v4 ? 9 : 6], l4.length)) === 0;
}
