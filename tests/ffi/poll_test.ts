import assert from "node:assert/strict";
import { parseIp } from "../../base/ip.ts";
import { createArena } from "../../ffi/arena.ts";
import { createWake } from "../../ffi/eventfd.ts";
import { createPoll } from "../../ffi/poll.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import { createUdp } from "../../ffi/udp.ts";

Deno.test("PollPort.wait() gives a bit for each readable descriptor, and 0 on time-out", () => {
  const arena = createArena(1 << 20);
  const poll = createPoll(arena);
  const wakes = [createWake(), createWake(), createWake()];
  poll.watch(wakes.map(({ fd }) => fd));
  const before = performance.now();
  assert.equal(poll.wait(30), 0);
  assert.ok(performance.now() - before >= 25);
  wakes[2].wake();
  wakes[0].wake();
  wakes[0].wake();
  assert.equal(poll.wait(-1), 0b101);
  wakes[0].drain();
  assert.equal(poll.wait(-1), 0b100, "one drain takes all wake-ups");
  wakes[2].drain();
  wakes[2].drain();
  assert.equal(poll.wait(0), 0);
  poll.watch([wakes[1].fd]);
  wakes[1].wake();
  assert.equal(poll.wait(-1), 1);
  for (const wake of wakes) wake.close();
  assert.equal(poll.wait(0), 1, "a closed descriptor shows as readable, so that its owner notices");
  assert.throws(() => poll.watch(new Array(32).fill(0)), RangeError);
});

Deno.test("WakePort.wake() from another thread ends a worker's poll(), and so does a datagram", async () => {
  const arena = createArena(16 << 20);
  const addrs = createAddrTable(arena, 8);
  const ip = parseIp("127.0.0.1")!;
  const udp = createUdp({ arena, addrs, family: 4, address: ip, port: 0 });
  const wake = createWake();
  const log = arena.reserve(64) >> 2;
  const worker = new Worker(new URL("./wake_worker.ts", import.meta.url), { type: "module" });
  const ended = new Promise((resolve) => worker.onmessage = (event) => resolve(event.data));
  worker.postMessage({ memory: arena.memory, wakeFd: wake.fd, udpFd: udp.fd, log });
  const reaches = async (turn: number) => {
    for (let tries = 0; Atomics.load(arena.i32, log) !== turn; tries++) {
      assert.ok(tries < 500, `turn ${turn} not reached`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return Atomics.load(arena.i32, log + 1);
  };
  await reaches(-1);
  for (let turn = 1; turn <= 50; turn++) {
    wake.wake();
    assert.equal(await reachesSoon(arena.i32, log, turn), true);
    assert.equal(Atomics.load(arena.i32, log + 1), 0b10);
  }
  const payload = arena.reserve(64);
  udp.queue(addrs.intern(ip, udp.port), payload, 20, 20);
  udp.flush();
  assert.equal(await reaches(51), 0b01);
  Atomics.store(arena.i32, log + 2, 1);
  wake.wake();
  assert.equal(await ended, "ended");
  worker.terminate();
  udp.close();
  wake.close();
});

/** The worker answers within microseconds; Atomics.waitAsync is how the main thread hears of it. */
async function reachesSoon(words: Int32Array, at: number, turn: number): Promise<boolean> {
  for (let seen = Atomics.load(words, at); seen !== turn; seen = Atomics.load(words, at)) {
    const waiting = Atomics.waitAsync(words, at, seen, 2000);
    if (await waiting.value === "timed-out") return false;
  }
  return true;
}
