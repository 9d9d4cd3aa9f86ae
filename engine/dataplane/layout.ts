/**
 * Where things lie in the arena, and the sizes of the data path.
 *
 * A sealed packet occupies `[16 B header | packet | padding | 16 B tag]`, with a Geneve header of 8 B in front when it
 * goes through a peer relay; packets for one peer lie end to end, so that a run of equal ones is one UDP_SEGMENT group.
 */
import type { Arena } from "../ports.ts";

/** MTU of the TUN device (protocol: Tailscale's default). */
export const TUN_MTU = 1280;
/** WireGuard's data header: type, reserved, receiver index, counter. */
export const DATA_HEADER = 16;
/** Header and tag. */
export const DATA_OVERHEAD = 32;
/** Plaintext is padded to a multiple of this (WireGuard whitepaper 5.4.6). */
export const PADDING = 16;
/** The largest read from the TUN: a virtio header and 64 KiB. */
export const TUN_READ_MAX = 10 + 65_536;
/** Most bytes in one UDP_SEGMENT group: under 65,507, the largest UDP payload. */
export const GROUP_BYTES = 65_000;
/** Most datagrams in one UDP_SEGMENT group (UDP_MAX_SEGMENTS of older kernels). */
export const GROUP_SEGMENTS = 64;

/** The largest datagram, or run of datagrams joined by UDP_GRO, that one receive gives. */
export const DATAGRAM_MAX = 65_536;

const TX_BYTES = 2 << 20;
const RX_BYTES = 10 * DATAGRAM_MAX;

/** Offsets of the data path's buffers. */
export interface Layout {
  /** The virtio header of the packet being read from the TUN; the packet behind it is 4-byte aligned. */
  readonly tunRead: number;
  /** Sealed packets waiting to be sent. */
  readonly tx: number;
  readonly txEnd: number;
  /** Received datagrams, end to end, kept until their packets are written to the TUN. */
  readonly rx: number;
  readonly rxEnd: number;
  /** `DATAGRAM_MAX` bytes for datagrams handed over by a DERP relay. */
  readonly derp: number;
  /** The virtio header of the packet being written to the TUN. */
  readonly tunWriteHeader: number;
}

/** Bytes an arena needs for the data path, without what the ports reserve for themselves. */
export const ARENA_BYTES = 16 << 20;

/** Reserves the data path's buffers. */
export function reserveLayout(arena: Arena): Layout {
  const tx = arena.reserve(TX_BYTES);
  const rx = arena.reserve(RX_BYTES);
  return {
    // The header is 10 bytes, so starting 2 bytes in aligns the packet.
    tunRead: arena.reserve(TUN_READ_MAX + 64) + 2,
    tx,
    txEnd: tx + TX_BYTES,
    rx,
    rxEnd: rx + RX_BYTES,
    derp: arena.reserve(DATAGRAM_MAX),
    tunWriteHeader: arena.reserve(64),
  };
}
