import assert from "node:assert/strict";
import { attachArena, createArena } from "../../ffi/arena.ts";
import { libc } from "../../ffi/libc.ts";

Deno.test("Arena.reserve() hands out 64-byte aligned ranges that do not overlap, across attachments", () => {
  const arena = createArena(1 << 20);
  const other = attachArena(arena.memory);
  const spans = Array.from({ length: 40 }, (_, i) => [(i % 2 ? other : arena).reserve(i * 7 + 1), i * 7 + 1]);
  for (const [i, [at]] of spans.entries()) {
    assert.equal(at % 64, 0);
    assert.ok(at >= 64, "the reservation word itself is never handed out");
    if (i > 0) assert.ok(at >= spans[i - 1][0] + spans[i - 1][1]);
  }
});

Deno.test("Arena.reserve() refuses what does not fit and what is no size", () => {
  const arena = createArena(65536);
  assert.throws(() => arena.reserve(65536), /Cannot reserve 65536 bytes of the arena: 65472 of 65536 are left/);
  assert.throws(() => arena.reserve(-1), RangeError);
  assert.equal(arena.reserve(65472), 64, "a refused reservation takes nothing");
});

Deno.test("Arena.pointer() reaches the shared bytes, also where its cache lines collide", () => {
  const arena = createArena(8 << 20);
  const shared = new Uint8Array(arena.buffer);
  // 4 MiB apart is the same cache line; 1 byte apart as well.
  for (const offset of [4096, 4096 + (4 << 20), 4097, 4096, 4097 + (4 << 20), 4096 + (4 << 20)]) {
    const value = Deno.UnsafePointer.value(arena.pointer(offset));
    const zero = Deno.UnsafePointer.value(arena.pointer(0));
    assert.equal(value - zero, BigInt(offset));
    arena.writePointer(1024, offset);
    assert.equal(arena.view.getBigUint64(1024, true), value);
  }
  const [read, write] = pipe();
  shared.set(new TextEncoder().encode("through the kernel"), 5000);
  arena.writePointer(2048, 5000);
  arena.view.setBigUint64(2056, 18n, true);
  assert.equal(libc.writev(write, arena.pointer(2048), 1), 18);
  assert.equal(libc.read(read, arena.pointer(6000), 100), 18);
  assert.equal(new TextDecoder().decode(shared.slice(6000, 6018)), "through the kernel");
  libc.close(read);
  libc.close(write);
});

Deno.test("attachArena() sees the same memory from a worker, and the worker's system calls reach it", async () => {
  const arena = createArena(1 << 20);
  arena.u32[1000] = 7;
  const url = new URL("./arena_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const answer = new Promise((resolve) => worker.onmessage = (event) => resolve(event.data));
  worker.postMessage(arena.memory);
  assert.deepEqual(await answer, { seen: 7, address: Deno.UnsafePointer.value(arena.pointer(0)), errno: 9 });
  assert.equal(new TextDecoder().decode(arena.u8.slice(8192, 8197)), "Linux", "the worker read it");
  worker.terminate();
});

Deno.test("attachArena() refuses memory that is not shared", () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  assert.throws(() => attachArena(memory), TypeError);
});

function pipe(): [number, number] {
  const c = Deno.dlopen("libc.so.6", { pipe: { parameters: ["buffer"], result: "i32" } });
  const fds = new Int32Array(2);
  assert.equal(c.symbols.pipe(fds), 0);
  c.close();
  return [fds[0], fds[1]];
}
