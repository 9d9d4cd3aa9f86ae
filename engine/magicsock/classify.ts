export type DatagramClass = "stun" | "disco" | "wireguard" | "unknown";

/** What a datagram of `length` bytes at `offset` looks like, by its first bytes alone. */
export function classify(_u8: Uint8Array, _offset: number, _length: number): DatagramClass {
  throw new Error("being written");
}
