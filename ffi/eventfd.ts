/**
 * The wake-up of a worker that blocks in `poll`: an eventfd, written by any thread, drained by the worker.
 *
 * The descriptor is a plain number; `postMessage` it and `attachWake` it in the other thread. Source: eventfd(2).
 */

import type { WakePort } from "../engine/ports.ts";
import { check, closeFd, libc, O_CLOEXEC, O_NONBLOCK } from "./libc.ts";

/** The end that owns the descriptor. */
export interface OwnedWake extends WakePort {
  close(): void;
}

/** @throws FfiError when the process has no descriptors left. */
export function createWake(): OwnedWake {
  const fd = check(libc.eventfd(0, O_NONBLOCK | O_CLOEXEC), "eventfd", "create an eventfd");
  return { ...attachWake(fd), close: () => closeFd(fd) };
}

/** The same wake-up in another thread. */
export function attachWake(fd: number): WakePort {
  const one = BigUint64Array.of(1n);
  const count = new BigUint64Array(1);
  return {
    fd,
    // The only failure is a counter at its limit, and then the worker is awake already.
    wake: () => void libc.write_buffer(fd, one, 8),
    drain: () => void libc.read_buffer(fd, count, 8),
  };
}
