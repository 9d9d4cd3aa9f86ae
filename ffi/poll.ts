/**
 * poll(2) for the data-plane worker: TUN, UDP sockets and the eventfd.
 *
 *   struct pollfd (8 bytes)  0 i32 fd  4 u16 events  6 u16 revents
 */

import type { PollPort } from "../engine/ports.ts";
import type { FfiArena } from "./arena.ts";
import { EINTR, errno, FfiError, libc } from "./libc.ts";

const POLLIN = 1;
/** Bits of the mask that `wait` returns, the sign bit left out. */
const MAX_FDS = 31;

/** A poll set. Errors and hang-ups count as readable: the read that follows tells what happened. */
export function createPoll(arena: FfiArena): PollPort {
  return new LinuxPoll(arena);
}

class LinuxPoll implements PollPort {
  readonly #arena: FfiArena;
  readonly #fds: number;
  #count = 0;

  constructor(arena: FfiArena) {
    this.#arena = arena;
    this.#fds = arena.reserve(MAX_FDS * 8);
  }

  watch(fds: readonly number[]): void {
    if (fds.length > MAX_FDS) throw new RangeError(`Cannot poll ${fds.length} descriptors: want at most ${MAX_FDS}`);
    const { i32, u32 } = this.#arena;
    for (const [i, fd] of fds.entries()) {
      i32[(this.#fds >> 2) + 2 * i] = fd;
      u32[(this.#fds >> 2) + 2 * i + 1] = POLLIN;
    }
    this.#count = fds.length;
  }

  wait(timeoutMs: number): number {
    const ready = libc.poll(this.#arena.pointer(this.#fds), this.#count, timeoutMs);
    if (ready === 0) return 0;
    if (ready < 0) {
      if (errno() === EINTR) return 0;
      throw new FfiError("poll", errno(), `wait for ${this.#count} descriptors`);
    }
    const { u16 } = this.#arena;
    let mask = 0;
    for (let i = 0, at = (this.#fds >> 1) + 3; i < this.#count; i++, at += 4) if (u16[at] !== 0) mask |= 1 << i;
    return mask;
  }
}
