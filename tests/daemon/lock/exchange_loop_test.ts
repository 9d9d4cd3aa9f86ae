/** When the lock speaks with control: again after a failure, not about what is settled, and never for a past session. */
import assert from "node:assert/strict";
import { ExchangeLoop } from "../../../daemon/lock/exchange_loop.ts";
import type { Task } from "../../../daemon/lock/exchange_loop.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";

function world(run: (check: () => void) => Promise<"settled" | "mendable">) {
  const scheduler = new FakeScheduler();
  const state = { situation: "a", runs: 0, failures: 0 };
  const task: Task = {
    situation: () => state.situation,
    run: (check) => (state.runs++, run(check)),
  };
  const loop = new ExchangeLoop({
    scheduler,
    random: new SeededRandom(1).bytes,
    next: () => task,
    failed: () => (state.failures++, 0),
    changed: () => {},
  });
  return { scheduler, state, loop };
}

Deno.test("ExchangeLoop asks nothing again that is settled, until the situation is another", async () => {
  const { state, loop } = world(() => Promise.resolve("settled"));
  for (let i = 0; i < 3; i++) {
    loop.wake();
    await loop.idle();
  }
  assert.equal(state.runs, 1);
  state.situation = "b";
  loop.wake();
  await loop.idle();
  assert.equal(state.runs, 2);
});

Deno.test("ExchangeLoop tries again after a failure, and what control may mend after five minutes", async () => {
  const { scheduler, state, loop } = world(() =>
    state.runs < 3 ? Promise.reject(new Error("no")) : Promise.resolve("mendable")
  );
  loop.wake();
  await scheduler.advance(60_000);
  assert.deepEqual([state.runs, state.failures], [3, 2]);
  await scheduler.advance(290_000);
  assert.equal(state.runs, 4);
  loop.close();
  assert.equal(scheduler.pending, 0);
});

Deno.test("L16: an exchange that another session overtook behind its last wait does not keep that one waiting", async () => {
  const held = Promise.withResolvers<void>();
  const { scheduler, state, loop } = world(async (check) => {
    if (state.runs > 1) return "settled";
    await held.promise;
    check();
    loop.overtake();
    loop.tryAgain();
    return "mendable";
  });
  loop.wake();
  held.resolve();
  await loop.idle();
  assert.equal(state.runs, 2, "the new session's exchange came at once");
  assert.equal(scheduler.pending, 0);
});
