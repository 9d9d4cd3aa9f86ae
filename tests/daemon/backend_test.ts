import assert from "node:assert/strict";
import { STATE_NUMBER } from "../../daemon/backend_state.ts";
import type { BackendState } from "../../daemon/backend_state.ts";
import { BackendError } from "../../daemon/backend_options.ts";
import { backendStatus } from "../../daemon/backend_status.ts";
import { change } from "../../daemon/prefs.ts";
import { Profiles } from "../../daemon/profiles.ts";
import { MemoryState, StateFileError } from "../../daemon/state_file.ts";
import { ControlError } from "../../control/client/errors.ts";
import { REGISTERED, testNetmap, testNode, untilAborted } from "../support/fake_control.ts";
import { SeededRandom } from "../support/random.ts";
import { TestNode } from "../support/test_node.ts";

function numbers(...states: BackendState[]): number[] {
  return states.map((state) => STATE_NUMBER[state]);
}

/** A node that is up with two peers. */
async function runningNode(node: TestNode): Promise<void> {
  node.control.netmap = testNetmap([testNode(2), testNode(3)]);
  await node.up({}, "tskey-auth-secret");
  await node.goLive();
  assert.equal(node.backend.state, "Running");
}

Deno.test("Backend with an auth key goes from NeedsLogin to Running and configures engine and system", async () => {
  await using node = new TestNode();
  await node.backend.start();
  assert.equal(node.backend.state, "NeedsLogin");
  assert.equal(node.control.registered.length, 0);
  await runningNode(node);
  assert.equal(node.control.registered[0].authKey?.reveal(), "tskey-auth-secret");
  assert.equal(node.control.registered[0].oldNodeKey, undefined);
  assert.deepEqual(node.states, numbers("NeedsLogin", "NeedsLogin", "Starting", "Running"));
  assert.equal(node.engine.config?.peers.length, 2);
  assert.equal(node.engine.config?.privateKey, node.backend.prefs.persist?.nodeKey?.reveal().toHex());
  assert.deepEqual([...node.routing.addresses], ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"]);
  assert.deepEqual([...node.routing.routes], ["100.64.0.2/32", "100.64.0.3/32", "fd7a:115c:a1e0::/48"]);
  assert.ok(node.notified.some((notify) => notify.LoginFinished !== undefined));
  assert.ok(!node.logged.join("").includes("tskey-auth"), "an auth key in the log (TS-2025-005)");
});

Deno.test("Backend asks for a person: BrowseToURL, then the login goes on by itself", async () => {
  await using node = new TestNode();
  const visited = Promise.withResolvers<void>();
  node.control.netmap = testNetmap([]);
  node.control.answer = async (input) => {
    if (input.followup === undefined) return { kind: "auth-url", url: "https://control.test/a/1" };
    await visited.promise;
    return REGISTERED;
  };
  await node.up();
  assert.equal(node.backend.state, "NeedsLogin");
  assert.equal(node.backend.authUrl, "https://control.test/a/1");
  assert.deepEqual(node.notified.flatMap((notify) => notify.BrowseToURL ?? []), ["https://control.test/a/1"]);
  // Somebody interrupts `up` and starts it again: the same URL, no second registration.
  node.backend.loginInteractive();
  await node.settle();
  assert.deepEqual(node.notified.flatMap((notify) => notify.BrowseToURL ?? []).length, 2);
  assert.equal(node.control.registered.length, 2);
  assert.equal(node.control.registered[1].followup, "https://control.test/a/1");
  assert.ok(node.control.registered[0].nodeKey.equals(node.control.registered[1].nodeKey));
  visited.resolve();
  await node.settle();
  assert.equal(node.backend.state, "Starting");
  assert.equal(node.backend.authUrl, "");
  assert.ok(node.notified.some((notify) => notify.LoginFinished !== undefined));
});

Deno.test("Backend keeps its login over a restart and does not ask control for another key", async () => {
  await using first = new TestNode();
  await runningNode(first);
  const key = first.backend.prefs.persist!.nodeKey!.public;
  await using second = new TestNode({ store: first.store, control: first.control });
  second.control.registered.length = 0;
  await second.backend.start();
  await second.settle();
  assert.ok(second.control.registered[0].nodeKey.equals(key));
  assert.equal(second.control.urls.at(-1), "https://control.test");
  assert.equal(second.backend.state, "Starting");
  assert.equal(second.engine.config?.peers.length, 2);
});

Deno.test("Backend changes between two logins: peers, engine and control follow, and the keys stay apart", async () => {
  await using node = new TestNode();
  const { backend } = node;
  await runningNode(node);
  const first = backend.profile.ID;
  const firstKey = backend.prefs.persist!.nodeKey!.public;

  await backend.newProfile();
  await node.settle();
  assert.deepEqual([backend.state, backend.profile.ID], ["NeedsLogin", ""]);
  assert.deepEqual([node.engine.config?.peers, backend.view], [[], undefined]);
  node.control.netmap = testNetmap([testNode(4)], { self: testNode(9), domain: "other.example" });
  await node.up({ ControlURL: "https://other.test" }, "tskey-auth-second");
  await node.goLive();
  const second = backend.profile.ID;
  assert.deepEqual([backend.state, node.control.urls.at(-1)], ["Running", "https://other.test"]);
  assert.deepEqual(backend.profiles.map(({ ID }) => ID), [first, second]);
  const secondKey = backend.prefs.persist!.nodeKey!.public;
  assert.ok(!secondKey.equals(firstKey));
  assert.equal(node.engine.config?.peers.length, 1);

  node.control.netmap = testNetmap([testNode(2), testNode(3)]);
  await backend.switchProfile(first);
  await node.settle();
  await node.goLive();
  assert.deepEqual([backend.state, backend.profile.ID], ["Running", first]);
  assert.equal(node.control.urls.at(-1), "https://control.test");
  assert.ok(backend.prefs.persist!.nodeKey!.public.equals(firstKey));
  assert.ok(node.control.registered.at(-1)!.nodeKey.equals(firstKey));
  assert.equal(node.engine.config?.peers.length, 2);
  await assert.rejects(backend.switchProfile("ffff"), BackendError);
  assert.equal(backend.state, "Running");

  await backend.deleteProfile(second);
  await backend.deleteProfile("../../etc");
  assert.deepEqual(backend.profiles.map(({ ID }) => ID), [first]);
  assert.equal(backend.state, "Running", "the other login is not concerned");
  await backend.deleteProfile(first);
  await node.settle();
  assert.deepEqual([backend.state, backend.profiles, backend.prefs.persist], ["NeedsLogin", [], undefined]);
});

Deno.test("Backend down stops everything but keeps the login; up resumes with the same key", async () => {
  await using node = new TestNode();
  await runningNode(node);
  node.down();
  await node.settle();
  assert.equal(node.backend.state, "Stopped");
  assert.deepEqual([node.engine.config?.peers, node.engine.config?.addresses], [[], []]);
  assert.deepEqual([node.routing.addresses.size, node.routing.routes.size], [0, 0]);
  assert.equal(node.control.poll, undefined);
  const registrations = node.control.registered.length;
  node.backend.editPrefs(change({ WantRunning: true }));
  await node.settle();
  assert.equal(node.backend.state, "Starting");
  assert.equal(node.engine.config?.peers.length, 2);
  assert.equal(node.control.registered.length, registrations);
  assert.notEqual(node.control.poll, undefined);
});

Deno.test("Backend that was down at its end stays down and silent after a restart", async () => {
  await using first = new TestNode();
  await runningNode(first);
  first.down();
  await using second = new TestNode({ store: first.store, control: first.control });
  second.control.registered.length = 0;
  await second.backend.start();
  await second.settle();
  assert.equal(second.backend.state, "Stopped");
  assert.equal(second.control.registered.length, 0);
  second.backend.editPrefs(change({ WantRunning: true }));
  await second.settle();
  assert.equal(second.backend.state, "Starting");
});

Deno.test("Backend.logout() tells control, forgets the key and comes back as a new node", async () => {
  await using node = new TestNode();
  await runningNode(node);
  const key = node.backend.prefs.persist!.nodeKey!.public;
  await node.backend.logout(new AbortController().signal);
  assert.equal(node.control.logouts.length, 1);
  assert.equal(node.backend.state, "NeedsLogin");
  assert.equal(node.backend.prefs.persist, undefined);
  assert.equal(node.backend.view, undefined);
  assert.deepEqual(node.engine.config?.peers, []);
  await node.up();
  assert.ok(!node.control.registered.at(-1)!.nodeKey.equals(key));
  assert.equal(node.backend.state, "Starting");
});

Deno.test("Backend.logout() keeps the key when control cannot be told, and forgets it when control refuses", async () => {
  await using node = new TestNode();
  await runningNode(node);
  node.control.logoutError = new ControlError("unreachable", "nobody there");
  await assert.rejects(node.backend.logout(new AbortController().signal), BackendError);
  assert.notEqual(node.backend.prefs.persist?.nodeKey, undefined);
  node.control.logoutError = new ControlError("http", "who are you", { status: 200 });
  await node.backend.logout(new AbortController().signal);
  assert.equal(node.backend.prefs.persist, undefined);
});

Deno.test("Backend whose key expires needs a login, and is back when an administrator extends the key", async () => {
  await using node = new TestNode();
  await runningNode(node);
  const expired = new Date(node.backend.now - 1000).toISOString();
  node.control.send(testNetmap([testNode(2)], { self: testNode(1, { KeyExpiry: expired }) }));
  await node.settle();
  assert.equal(node.backend.state, "NeedsLogin");
  assert.deepEqual(node.engine.config?.peers, []);
  assert.ok(node.backend.healthStrings().some((text) => text.includes("expired")));
  assert.equal(node.states.at(-1), STATE_NUMBER.NeedsLogin);
  assert.notEqual(node.control.poll, undefined);
  node.control.send(testNetmap([testNode(2)]));
  await node.settle();
  assert.equal(node.backend.state, "Starting");
  assert.equal(node.engine.config?.peers.length, 1);
});

Deno.test("Backend notices the expiry of its own key and of a peer's by the clock alone", async () => {
  await using node = new TestNode();
  const at = (ms: number) => new Date(node.backend.now + ms).toISOString();
  node.control.netmap = testNetmap([testNode(2, { KeyExpiry: at(60_000) }), testNode(3)], {
    self: testNode(1, { KeyExpiry: at(300_000) }),
  });
  await node.up();
  await node.goLive();
  assert.equal(node.engine.config?.peers.length, 2);
  await node.scheduler.advance(75_000);
  assert.equal(node.engine.config?.peers.length, 1);
  await node.scheduler.advance(300_000);
  assert.equal(node.backend.state, "NeedsLogin");
});

Deno.test("Backend logs in anew with a new key that names the expired one", async () => {
  await using node = new TestNode();
  await runningNode(node);
  const old = node.backend.prefs.persist!.nodeKey!.public;
  await using restarted = new TestNode({ store: node.store, control: node.control, seed: 2 });
  restarted.control.registered.length = 0;
  restarted.control.answer = (input) =>
    input.oldNodeKey === undefined ? { kind: "key-expired" } : { kind: "auth-url", url: "https://control.test/a/2" };
  await restarted.backend.start();
  await restarted.settle();
  const [first, second] = restarted.control.registered;
  assert.ok(first.nodeKey.equals(old));
  assert.ok(second.oldNodeKey?.equals(old));
  assert.ok(!second.nodeKey.equals(old));
  assert.equal(restarted.backend.state, "NeedsLogin");
  assert.equal(restarted.backend.authUrl, "https://control.test/a/2");
});

Deno.test("Backend registers again with the same key when control has forgotten the node", async () => {
  await using node = new TestNode();
  await runningNode(node);
  const key = node.backend.prefs.persist!.nodeKey!.public;
  const configured = node.engine.configs.length;
  node.control.poll!.end({ kind: "node-unknown", reason: "gone" });
  await node.settle();
  assert.equal(node.engine.configs.length, configured);
  await node.scheduler.advance(1_000);
  assert.ok(node.control.registered.at(-1)!.nodeKey.equals(key));
  assert.notEqual(node.control.poll, undefined);
  assert.equal(node.backend.state, "Running");
});

Deno.test("Backend leaves the data path alone while control is away, and health says so", async () => {
  await using node = new TestNode();
  await runningNode(node);
  const before = node.engine.configs.length;
  const error = new ControlError("unreachable", "Cannot reach control.test");
  node.control.poll!.handlers.status!({ kind: "retrying", error, atMs: 0 });
  await node.scheduler.advance(15_000);
  assert.equal(node.backend.state, "Running");
  assert.equal(node.engine.configs.length, before);
  assert.equal(node.routing.routes.size, 3);
  const text = node.backend.healthStrings().find((line) => line.includes("control server"));
  assert.match(text!, /Traffic between known peers goes on.*Cannot reach control\.test/);
  assert.ok(node.notified.some((notify) => notify.Health?.Warnings?.["agent-control-unreachable"] !== undefined));
  assert.equal(((await backendStatus(node.backend, true)).Self as { Online: boolean }).Online, false);
  node.control.poll!.handlers.status!({ kind: "connected" });
  assert.ok(!node.backend.healthStrings().some((line) => line.includes("control server")));
});

Deno.test("Backend refuses a changed server key with one line in health and status, and tries no more (W12)", async () => {
  await using node = new TestNode();
  await runningNode(node);
  const error = new ControlError(
    "server-key-changed",
    "Cannot trust https://control.test: its key is mkey:b, want mkey:a",
  );
  node.control.poll!.end({ kind: "failed", error });
  await node.scheduler.advance(60_000);
  assert.equal(node.control.polls, 1);
  const health = node.backend.healthStrings().filter((line) => line.includes("mkey:"));
  assert.deepEqual(health, [error.message]);
  assert.deepEqual((await backendStatus(node.backend, false)).Health, node.backend.healthStrings());
});

Deno.test("Backend tells the bus of a rejected login, and does not ask with the same auth key again", async () => {
  await using node = new TestNode();
  node.control.answer = () => ({ kind: "rejected", reason: "invalid key: not valid" });
  await node.up({}, "tskey-auth-bad");
  await node.scheduler.advance(120_000);
  assert.deepEqual(node.notified.flatMap((notify) => notify.ErrMessage ?? []), ["invalid key: not valid"]);
  assert.match(node.backend.healthStrings().join(), /last login error was: invalid key: not valid/);
  assert.deepEqual([node.control.registered.length, node.backend.state], [1, "NeedsLogin"]);
});

Deno.test("Backend keeps trying after a rejected login, and stays quiet about a network that is down", async () => {
  await using node = new TestNode();
  node.control.answer = () => ({ kind: "rejected", reason: "invalid key: not valid" });
  await node.up();
  assert.deepEqual(node.notified.flatMap((notify) => notify.ErrMessage ?? []), ["invalid key: not valid"]);
  assert.match(node.backend.healthStrings().join(), /last login error was: invalid key: not valid/);
  // What comes of a new attempt is not known yet, and the old one's error is no part of it.
  node.control.answer = (_input, signal) => untilAborted(signal);
  node.backend.loginInteractive();
  await node.settle();
  assert.doesNotMatch(node.backend.healthStrings().join(), /login error/);
  node.control.answer = () => ({ kind: "rejected", reason: "invalid key: not valid" });
  node.backend.loginInteractive();
  await node.scheduler.advance(120_000);
  assert.ok(node.control.registered.length > 3 && node.control.registered.length < 60);

  await using offline = new TestNode();
  offline.control.answer = () => Promise.reject(new ControlError("unreachable", "no route"));
  await offline.up();
  assert.deepEqual(offline.notified.flatMap((notify) => notify.ErrMessage ?? []), []);
  assert.match(offline.backend.healthStrings().join(), /no route/);
});

Deno.test("Backend obeys how long a control server wants to be left alone", async () => {
  await using node = new TestNode();
  node.control.answer = () =>
    Promise.reject(new ControlError("rate-limited", "too many", { status: 429, retryAfterMs: 600_000 }));
  await node.up();
  await node.scheduler.advance(590_000);
  assert.equal(node.control.registered.length, 1);
  await node.scheduler.advance(20_000);
  assert.equal(node.control.registered.length, 2);
});

Deno.test("Backend waits for an administrator where machines need approval", async () => {
  await using node = new TestNode();
  node.control.netmap = testNetmap([], { self: testNode(1, { MachineAuthorized: false }) });
  await node.up();
  assert.equal(node.backend.state, "NeedsMachineAuth");
  node.control.send(testNetmap([testNode(2)]));
  await node.goLive();
  assert.equal(node.backend.state, "Running");
});

Deno.test("Backend.editPrefs() refuses bad preferences whole, and tells control and engine of good ones", async () => {
  await using node = new TestNode();
  await runningNode(node);
  assert.throws(() => node.backend.editPrefs(change({ ShieldsUp: true, AdvertiseTags: ["bad"] })), BackendError);
  assert.throws(() => node.backend.editPrefs(change({ InternalExitNodePrior: "n1" })), BackendError);
  assert.equal(node.backend.prefs.ShieldsUp, false);
  node.backend.editPrefs(change({ ShieldsUp: true, Hostname: "renamed", AdvertiseTags: ["tag:b", "tag:a"] }));
  assert.equal(node.engine.config?.filter.shieldsUp, true);
  const hostinfo = node.control.updates.at(-1)!.hostinfo!;
  assert.deepEqual([hostinfo.Hostname, hostinfo.RequestTags, hostinfo.ShieldsUp], [
    "renamed",
    ["tag:a", "tag:b"],
    true,
  ]);
  assert.ok(hostinfo.BackendLogID!.length > 0);
});

Deno.test("Backend.editPrefs() that changes nothing saves what could not be saved before", async () => {
  class FullDisk extends MemoryState {
    full = false;
    override write(key: string, value: Uint8Array): void {
      if (this.full) throw new StateFileError("no space left");
      super.write(key, value);
    }
  }
  const store = new FullDisk();
  await using node = new TestNode({ store });
  await runningNode(node);
  const saved = () => new Profiles(store, new SeededRandom(9).bytes, () => 0).prefs.Hostname;
  store.full = true;
  node.backend.editPrefs(change({ Hostname: "renamed" }));
  assert.equal(node.backend.prefs.Hostname, "renamed");
  assert.match(node.backend.healthStrings().join(), /could not be saved: no space left/);
  assert.notEqual(saved(), "renamed");
  store.full = false;
  node.backend.editPrefs(change({ Hostname: "renamed" }));
  assert.doesNotMatch(node.backend.healthStrings().join(), /could not be saved/);
  assert.equal(saved(), "renamed");
});

Deno.test("Backend follows a peer that is changed, re-keyed and removed, and tells watchers", async () => {
  await using node = new TestNode();
  await runningNode(node);
  const rekeyed = testNode(2, { Key: `nodekey:${"ab".repeat(32)}` });
  node.control.send(testNetmap([rekeyed]), {
    kind: "delta",
    upserted: new Set([2]),
    removed: new Set([3]),
    fields: new Set(),
  });
  await node.settle();
  assert.deepEqual(node.engine.config?.peers.map((peer) => peer.key), ["ab".repeat(32)]);
  const notice = node.notified.findLast((notify) => notify.PeersRemoved !== undefined);
  assert.deepEqual(notice?.PeersRemoved, [3]);
  assert.deepEqual(notice?.PeersChanged, [rekeyed]);
  const peers = (await backendStatus(node.backend, true)).Peer as Record<string, unknown>;
  assert.deepEqual(Object.keys(peers), [rekeyed.Key]);
});

Deno.test("Backend keeps all peers out while the lock is on, and says so (L3)", async () => {
  await using node = new TestNode();
  await runningNode(node);
  node.control.send(testNetmap([testNode(2)], { tkaEnabled: true }));
  await node.settle();
  assert.deepEqual(node.engine.config?.peers, []);
  assert.deepEqual((await backendStatus(node.backend, true)).Peer, {});
  assert.match(node.backend.healthStrings().join(), /Tailnet Lock/);
  node.down();
  node.backend.editPrefs(change({ WantRunning: true }));
  await node.settle();
  assert.deepEqual(node.engine.config?.peers, []);
});

Deno.test("Backend goes to another control server with nothing of the first in the engine", async () => {
  await using node = new TestNode();
  await runningNode(node);
  node.control.netmap = undefined;
  await node.up({ ControlURL: "https://other.test" });
  assert.equal(node.control.urls.at(-1), "https://other.test");
  assert.deepEqual(node.engine.config?.peers, []);
  assert.equal(node.backend.view, undefined);
});

Deno.test("Backend with state in memory registers as ephemeral and logs out at its end", async () => {
  const node = new TestNode();
  await runningNode(node);
  assert.equal(node.control.registered[0].ephemeral, true);
  await node.backend.close();
  assert.equal(node.control.logouts.length, 1);
  assert.equal(node.engine.closed, true);
  assert.equal(node.routing.rules.size, 0);
  assert.equal(node.scheduler.pending, 0);
});

Deno.test("Backend does not show a login URL that is no web address", async () => {
  await using node = new TestNode();
  node.control.answer = (_input, signal) =>
    node.control.registered.length === 1 ? { kind: "auth-url", url: "javascript:alert(1)" } : untilAborted(signal);
  await node.up();
  assert.equal(node.backend.authUrl, "");
  assert.deepEqual(node.notified.flatMap((notify) => notify.BrowseToURL ?? []), []);
});

Deno.test("Backend.close() while a login is under way ends it", async () => {
  const node = new TestNode();
  node.control.answer = (_input, signal) => untilAborted(signal);
  await node.up();
  await node.backend.close();
  assert.equal(node.scheduler.pending, 0);
});
