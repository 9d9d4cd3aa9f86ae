/** Blocks in poll() like the data-plane worker, and tells how often it was woken and by which descriptor. */
import { attachArena } from "../../ffi/arena.ts";
import { attachWake } from "../../ffi/eventfd.ts";
import { createPoll } from "../../ffi/poll.ts";

self.onmessage = (event: MessageEvent<{ memory: WebAssembly.Memory; wakeFd: number; udpFd: number; log: number }>) => {
  const { memory, wakeFd, udpFd, log } = event.data;
  const arena = attachArena(memory);
  const wake = attachWake(wakeFd);
  const poll = createPoll(arena);
  poll.watch([udpFd, wake.fd]);
  Atomics.store(arena.i32, log, -1);
  for (let turn = 1;; turn++) {
    const mask = poll.wait(-1);
    if ((mask & 2) !== 0) wake.drain();
    Atomics.store(arena.i32, log + 1, mask);
    Atomics.store(arena.i32, log, turn);
    Atomics.notify(arena.i32, log);
    if (Atomics.load(arena.i32, log + 2) === 1) break;
    if ((mask & 1) !== 0) poll.watch([wake.fd, wake.fd]);
  }
  self.postMessage("ended");
};
