/** UDP addresses as disco messages have them: 16 bytes of IP, IPv4 mapped, and 2 of port, big endian. */
import { type AddrPort, to16, unmap } from "../../base/ip.ts";

export const ADDR_LENGTH = 16 + 2;

export function readAddr(bytes: Uint8Array, at: number): AddrPort {
  const ip = new Uint8Array(bytes.subarray(at, at + 16));
  return { ip: unmap(ip), port: (bytes[at + 16] << 8) | bytes[at + 17] };
}

export function writeAddr(bytes: Uint8Array, at: number, { ip, port }: AddrPort): void {
  bytes.set(to16(ip), at);
  bytes[at + 16] = port >> 8;
  bytes[at + 17] = port & 0xff;
}
