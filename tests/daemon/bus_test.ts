import assert from "node:assert/strict";
import { Bus, maskError, notifyLine, QUEUE_LIMIT, WATCH, withHealthActions } from "../../daemon/bus.ts";
import type { Notify, Watcher } from "../../daemon/bus.ts";

async function take(watcher: Watcher, count: number): Promise<Notify[]> {
  const taken: Notify[] = [];
  if (count === 0) return taken;
  for await (const notify of watcher.messages()) if (taken.push(notify) === count) break;
  return taken;
}

Deno.test("notifyLine() writes Go's nulls for what did not change", () => {
  assert.equal(
    notifyLine("1.2.3", { State: 6 }),
    '{"Version":"1.2.3","ErrMessage":null,"LoginFinished":null,"State":6,"Prefs":null,"NetMap":null,"Engine":null,' +
      '"BrowseToURL":null,"DriveShares":null}\n',
  );
});

Deno.test("Bus.send() reaches every watcher in order, or those with a bit", async () => {
  const bus = new Bus();
  const all = bus.watch(0);
  const peers = bus.watch(WATCH.peerChanges);
  assert.deepEqual([bus.wants(WATCH.peerChanges), bus.wants(WATCH.engineUpdates)], [true, false]);
  bus.send({ State: 1 });
  bus.send({ PeersRemoved: [7] }, WATCH.peerChanges);
  bus.send({ State: 2 });
  assert.deepEqual(await take(all, 2), [{ State: 1 }, { State: 2 }]);
  assert.deepEqual(await take(peers, 3), [{ State: 1 }, { PeersRemoved: [7] }, { State: 2 }]);
});

Deno.test("Watcher.messages() waits for what comes and ends when closed", async () => {
  const bus = new Bus();
  const watcher = bus.watch(0);
  const seen: Notify[] = [];
  const reading = (async () => {
    for await (const notify of watcher.messages()) seen.push(notify);
  })();
  await new Promise((resolve) => setTimeout(resolve, 1));
  bus.send({ State: 4 });
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(seen, [{ State: 4 }]);
  bus.send({ State: 5 });
  bus.unwatch(watcher);
  await reading;
  assert.deepEqual(seen, [{ State: 4 }, { State: 5 }]);
  assert.equal(bus.size, 0);
});

Deno.test("Bus cuts off a watcher that does not keep up, and no other", async () => {
  const bus = new Bus();
  const slow = bus.watch(0);
  const quick = bus.watch(0);
  for (let n = 0; n <= QUEUE_LIMIT; n++) {
    bus.send({ State: n });
    await take(quick, 1);
  }
  assert.equal(slow.closed, true);
  assert.equal(bus.size, 1);
  assert.equal((await take(slow, QUEUE_LIMIT)).length, QUEUE_LIMIT);
  assert.equal(quick.closed, false);
});

Deno.test("maskError() refuses the masks Tailscale refuses", () => {
  assert.equal(maskError(0), undefined);
  assert.equal(maskError(WATCH.rateLimit | WATCH.initialState), undefined);
  for (const bit of [WATCH.peerChanges, WATCH.noNetmap, WATCH.initialStatus, WATCH.peerPatches]) {
    assert.match(maskError(WATCH.rateLimit | bit)!, /incompatible/);
  }
  assert.match(maskError(WATCH.inProcess)!, /in-process/);
});

Deno.test("withHealthActions() puts an action into the text for watchers that know no actions", () => {
  const warning = { WarnableCode: "c", Severity: "low", Title: "T", Text: "Do it." };
  const action = { ...warning, PrimaryAction: { URL: "https://x", Label: "Here" } };
  const plain = withHealthActions({ Health: { Warnings: { a: action, b: warning } } });
  assert.deepEqual(plain.Health?.Warnings, { a: { ...warning, Text: "Do it. Here: https://x" }, b: warning });
  assert.deepEqual(withHealthActions({ State: 1 }), { State: 1 });
  assert.deepEqual(withHealthActions({ Health: { Warnings: null } }), { Health: { Warnings: null } });
});
