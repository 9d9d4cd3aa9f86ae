/**
 * CPU time of the calling thread, by clock_gettime(CLOCK_THREAD_CPUTIME_ID). A system call each, about 150 ns.
 *
 *   struct timespec (16 bytes)  0 i64 seconds  8 i64 nanoseconds
 */
import type { FfiArena } from "./arena.ts";
import { libc } from "./libc.ts";

const CLOCK_THREAD_CPUTIME_ID = 3;

/** A clock of the thread that reads it, ms since the thread began. */
export function createCpuClock(arena: FfiArena): () => number {
  const at = arena.reserve(16);
  const pointer = arena.pointer(at);
  const { u32 } = arena;
  return () => {
    libc.clock_gettime(CLOCK_THREAD_CPUTIME_ID, pointer);
    return u32[at >> 2] * 1000 + u32[(at >> 2) + 2] / 1e6;
  };
}
