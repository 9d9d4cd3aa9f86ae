/** TAI64N timestamps of handshake initiations (whitepaper 5.1, 5.4.2; https://cr.yp.to/libtai/tai64.html). */

const BASE = 0x400000000000000an;
// 2^24 ns, about 17 ms: finer time would tell an observer about the load of the machine. wireguard-go `tai64n.go`.
const WHITENER = 1n << 24n;
const NANOS = 1_000_000_000n;

/** Bytes of a timestamp: seconds since 1970 TAI as u64, nanoseconds as u32, both big-endian. */
export const TIMESTAMP_LENGTH = 12;

function encode(seconds: bigint, nanos: bigint): Uint8Array<ArrayBuffer> {
  const stamp = new Uint8Array(TIMESTAMP_LENGTH);
  const view = new DataView(stamp.buffer);
  view.setBigUint64(0, BASE + seconds);
  view.setUint32(8, Number(nanos));
  return stamp;
}

/**
 * What binds timestamps over restarts, nanoseconds since 1970. Nothing above `ceiling` is sent before somebody has stored
 * a higher one, so the next run, which begins at `floor`, the ceiling stored, is above all that this one sent.
 */
export interface TimestampBounds {
  readonly floor: bigint;
  ceiling(): bigint;
  /** Told of each timestamp given. */
  used(nanos: bigint): void;
}

/** Kept between the clock and the ceiling for steps that do not follow the clock. */
const RESERVE = NANOS / 2n;

/**
 * A source of timestamps, each greater than the one before even if the wall clock is set back: peers refuse an
 * initiation whose timestamp is not greater than the last.
 * @param wall Unix time in ms.
 */
export function createTimestamps(wall: () => number, bounds?: TimestampBounds): () => Uint8Array<ArrayBuffer> {
  let last = bounds?.floor ?? -1n;
  return () => {
    const nanos = BigInt(Math.floor(wall() * 1e6));
    const second = nanos / NANOS;
    let next = second * NANOS + ((nanos % NANOS) & ~(WHITENER - 1n));
    const ceiling = bounds?.ceiling();
    if (ceiling !== undefined && next > ceiling - RESERVE) next = ceiling - RESERVE;
    // A step of the whitener while there is room, and then of the least: there is always a next one below the ceiling.
    if (next <= last) next = last + (ceiling === undefined || last + WHITENER <= ceiling ? WHITENER : 1n);
    last = next;
    bounds?.used(next);
    return encode(next / NANOS, next % NANOS);
  };
}
