/**
 * Waits for a netlink socket's notifications without a thread of our own that runs.
 *
 *   notification socket ─┐
 *                        ├─ poll() on a thread of Deno's blocking pool ─▶ all there is ─▶ callback, on the calling thread
 *   eventfd of stop() ───┘
 *
 * Nothing runs while nothing changes.
 */
import { createWake } from "./eventfd.ts";
import { closeFd, libc } from "./libc.ts";
import { receiveNotifications } from "./netlink.ts";
import type { NetlinkMessage } from "./netlink_codec.ts";

const POLLIN = 1;
const RETRY_MS = 100;

export interface NetworkWatch {
  /** Ends the watch. Resolves when its thread is free; no callback comes after the call. Rejects if a callback threw. */
  stop(): Promise<void>;
}

/** One datagram's messages, views of a buffer, or that the kernel dropped some: what they told is to be read anew. */
export type Notified = readonly NetlinkMessage[] | "overflow";

/**
 * Gives `callback` what arrived together, never an empty list. A watch keeps the process alive until it is stopped.
 * @param fd of `openNotifications`; closed at the end
 * @param decode what a datagram tells; must keep none of its bytes
 */
export function watchNotifications<T>(
  fd: number,
  decode: (notified: Notified) => readonly T[],
  callback: (changes: readonly T[]) => void,
): NetworkWatch {
  const wake = createWake();
  const buffer = new Uint8Array(64 << 10);
  const pollfds = new Int32Array([fd, POLLIN, wake.fd, POLLIN]);
  let stopped = false;

  async function run(): Promise<void> {
    // The caller may stand in another namespace until it returns, and a pool thread born now would stay there.
    await Promise.resolve();
    try {
      while (!stopped) {
        const ready = await libc.poll_async(pollfds, 2, -1);
        // Interrupted, or out of memory; errno stayed on the other thread. Neither lasts.
        if (ready < 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        if (stopped) return;
        const changes: T[] = [];
        for (let next = receiveNotifications(fd, buffer); next !== "empty"; next = receiveNotifications(fd, buffer)) {
          changes.push(...decode(next));
        }
        if (changes.length > 0) callback(changes);
      }
    } finally {
      closeFd(fd);
      wake.close();
    }
  }

  const running = run();
  return {
    stop: () => {
      if (!stopped) {
        stopped = true;
        wake.wake();
      }
      return running;
    },
  };
}
