import assert from "node:assert/strict";
import { Secret } from "../../base/secret.ts";
import { STATE_NUMBER } from "../../daemon/backend_state.ts";
import { BackendError } from "../../daemon/backend_options.ts";
import type { RegisterInput, RegisterOutcome } from "../../control/client/types.ts";
import { change } from "../../daemon/prefs.ts";
import { MemoryState, StateFileError } from "../../daemon/state_file.ts";
import { REGISTERED, testNetmap, testNode, untilAborted } from "../support/fake_control.ts";
import { TestNode } from "../support/test_node.ts";

const KEY = new Secret("tskey-auth-renew");
const never = new AbortController().signal;
const EXPIRY = "2030-01-01T00:00:00.000Z";

/** A node that runs, under a control server that from now on gives whom it registers a netmap with that key. */
async function runningNode(options?: ConstructorParameters<typeof TestNode>[0]): Promise<TestNode> {
  const node = new TestNode(options);
  node.control.netmap = testNetmap([testNode(2)]);
  await node.up({}, "tskey-auth-first");
  await node.goLive();
  assert.equal(node.backend.state, "Running");
  node.control.registered.length = 0;
  node.states.length = 0;
  node.control.answer = (input) => accept(node, input);
  return node;
}

function accept(node: TestNode, { nodeKey }: RegisterInput): RegisterOutcome {
  node.control.netmap = testNetmap([testNode(2)], {
    self: testNode(1, { Key: nodeKey.toString(), KeyExpiry: EXPIRY }),
  });
  return REGISTERED;
}

/** Lets time pass until the renewal has seen its netmap. */
async function finished<T>(node: TestNode, renewing: Promise<T>): Promise<T> {
  await node.settle();
  await node.scheduler.advance(100);
  return await renewing;
}

const keyOf = (node: TestNode) => node.backend.prefs.persist!.nodeKey!.public.toString();

Deno.test("renewKey() registers a new key that names the old one; the node never stops running", async () => {
  await using node = await runningNode();
  const old = keyOf(node);
  const before = node.states.length;
  const { nodeKey, expiry } = await finished(node, node.backend.renewKey(KEY, never));
  const [asked] = node.control.registered;
  assert.equal(asked.authKey?.reveal(), KEY.reveal());
  assert.equal(asked.oldNodeKey?.toString(), old);
  assert.notEqual(nodeKey, old);
  assert.deepEqual([keyOf(node), asked.nodeKey.toString()], [nodeKey, nodeKey]);
  assert.equal(expiry, Date.parse(EXPIRY));
  assert.equal(node.engine.config?.privateKey, node.backend.prefs.persist?.nodeKey?.reveal().toHex());
  assert.equal(node.engine.config?.peers.length, 1);
  assert.deepEqual([node.backend.state, node.states.length], ["Running", before]);
  assert.equal(node.control.poll?.input.nodeKey.toString(), nodeKey);
  assert.equal(node.backend.prefs.persist?.oldNodeKey?.public.toString(), old);
  assert.equal(node.backend.prefs.persist?.tryingKey, undefined);
  assert.ok(!node.logged.join("").includes("tskey-auth"));
});

Deno.test("renewKey() that control refuses leaves all as it was, and says why", async () => {
  await using node = await runningNode();
  const [old, polls, configs] = [keyOf(node), node.control.polls, node.engine.configs.length];
  node.control.answer = () => ({ kind: "rejected", reason: "invalid auth key: used up" });
  await assert.rejects(node.backend.renewKey(KEY, never), {
    name: "BackendError",
    message: "Cannot renew the node key: invalid auth key: used up. The old key stays in use",
  });
  await node.scheduler.advance(60_000);
  assert.deepEqual([keyOf(node), node.control.polls, node.engine.configs.length], [old, polls, configs]);
  assert.deepEqual([node.control.registered.length, node.backend.state], [1, "Running"]);
  assert.deepEqual([node.backend.prefs.persist?.tryingKey, node.backend.healthStrings()], [undefined, []]);
});

Deno.test("renewKey() waits for a person while the old key's map goes on", async () => {
  await using node = await runningNode();
  const old = keyOf(node);
  const visited = Promise.withResolvers<void>();
  node.control.answer = async (input) => {
    if (input.followup === undefined) return { kind: "auth-url", url: "https://control.test/a/1" };
    await visited.promise;
    return accept(node, input);
  };
  const renewing = node.backend.renewKey(undefined, never);
  await node.settle();
  assert.deepEqual(node.notified.flatMap((notify) => notify.BrowseToURL ?? []), ["https://control.test/a/1"]);
  node.control.send(testNetmap([testNode(2), testNode(3)]));
  await node.settle();
  assert.deepEqual([node.backend.state, keyOf(node), node.engine.config?.peers.length], ["Running", old, 2]);
  await assert.rejects(node.backend.renewKey(KEY, never), /a renewal is under way already/);
  visited.resolve();
  assert.notEqual((await finished(node, renewing)).nodeKey, old);
});

Deno.test("renewKey() does not send a person to a URL of another scheme", async () => {
  await using node = await runningNode();
  node.control.answer = () => ({ kind: "auth-url", url: "javascript:alert(1)" });
  await assert.rejects(node.backend.renewKey(undefined, never), /login URL that is not to be trusted/);
  assert.deepEqual(node.notified.flatMap((notify) => notify.BrowseToURL ?? []), []);
});

Deno.test("renewKey() whose answer never came: the new key is tried when control refuses the old one, over a restart too", async () => {
  for (const restart of [false, true]) {
    const first = await runningNode({ store: new MemoryState() });
    const old = keyOf(first);
    let taken = "";
    first.control.answer = async (input, signal) => {
      taken = input.nodeKey.toString();
      return await untilAborted(signal);
    };
    const giveUp = new AbortController();
    const renewing = first.backend.renewKey(KEY, giveUp.signal);
    await first.settle();
    giveUp.abort();
    await assert.rejects(renewing, /it was given up\. The old key stays in use/);
    assert.deepEqual([keyOf(first), first.backend.state], [old, "Running"]);

    const { control } = first;
    control.answer = (input) => {
      const key = input.nodeKey.toString();
      return key === taken ? accept(first, input) : { kind: "auth-url", url: "https://control.test/a/9" };
    };
    let node = first;
    if (restart) {
      await first.backend.close();
      node = new TestNode({ store: first.store, control, seed: 5 });
      await node.backend.start();
    } else {
      control.poll!.end({ kind: "node-unknown", reason: "another key" });
    }
    await node.scheduler.advance(5_000);
    await node.settle();
    assert.equal(keyOf(node), taken, `restart: ${restart}`);
    assert.equal(node.backend.prefs.persist?.tryingKey, undefined);
    assert.equal(control.poll?.input.nodeKey.toString(), taken);
    assert.equal(node.backend.authUrl, "");
    await node.backend.close();
    await first.backend.close();
  }
});

Deno.test("renewKey() whose key control never took: a refused old key asks for a login as ever", async () => {
  await using node = await runningNode();
  node.control.answer = (_, signal) => untilAborted(signal);
  const giveUp = new AbortController();
  const renewing = node.backend.renewKey(KEY, giveUp.signal);
  await node.settle();
  giveUp.abort();
  await assert.rejects(renewing, BackendError);
  node.control.answer = (input, signal) =>
    input.followup === undefined ? { kind: "auth-url", url: "https://control.test/a/9" } : untilAborted(signal);
  node.control.poll!.end({ kind: "node-unknown", reason: "gone" });
  await node.scheduler.advance(5_000);
  await node.settle();
  assert.equal(node.backend.authUrl, "https://control.test/a/9");
  assert.equal(node.backend.prefs.persist?.tryingKey, undefined);
});

Deno.test("renewKey() asks control for nothing when the new key cannot be saved", async () => {
  const store = new MemoryState();
  await using node = await runningNode({ store });
  const old = keyOf(node);
  store.write = () => {
    throw new StateFileError("Cannot write: no space");
  };
  await assert.rejects(node.backend.renewKey(KEY, never), /the new key could not be saved/);
  assert.deepEqual([node.control.registered.length, keyOf(node)], [0, old]);
});

Deno.test("renewKey() refuses a node that is logged out or stopped", async () => {
  await using node = new TestNode();
  await node.backend.start();
  await assert.rejects(node.backend.renewKey(KEY, never), /this node is logged out; 'agent up' logs in/);
  await node.up({}, "tskey-auth-first");
  node.down();
  await assert.rejects(node.backend.renewKey(KEY, never), /this node is stopped; run 'agent up' first/);
});

Deno.test("renewKey() brings a node back whose key has expired", async () => {
  await using node = await runningNode();
  const expired = new Date(node.backend.now - 1000).toISOString();
  node.control.send(testNetmap([testNode(2)], { self: testNode(1, { KeyExpiry: expired }) }));
  await node.settle();
  assert.equal(node.backend.state, "NeedsLogin");
  await finished(node, node.backend.renewKey(KEY, never));
  await node.goLive();
  assert.deepEqual([node.backend.state, node.engine.config?.peers.length], ["Running", 1]);
  assert.equal(node.states.at(-1), STATE_NUMBER.Running);
});

/** A renewal whose answer comes when the test says so, whoever has given up on it by then. */
async function renewingNode(outcome = accept) {
  const node = await runningNode();
  const old = keyOf(node);
  const answer = Promise.withResolvers<void>();
  node.control.answer = async (input) => {
    if (input.nodeKey.toString() === old) return REGISTERED;
    await answer.promise;
    return outcome(node, input);
  };
  const renewing = node.backend.renewKey(KEY, never);
  // It may be refused before the test waits for it.
  renewing.catch(() => {});
  await node.settle();
  return { node, old, answer, renewing, tried: node.control.registered.at(-1)!.nodeKey.toString() };
}

Deno.test("renewKey() that control answers while the node logs out does not log it in again", async () => {
  const { node, old, answer, renewing } = await renewingNode();
  await using _ = node;
  const told = Promise.withResolvers<void>();
  node.control.logoutAfter = told.promise;
  const out = node.backend.logout(never);
  await node.settle();
  answer.resolve();
  await node.settle();
  await assert.rejects(renewing, { message: "Cannot renew the node key: the node was logged out meanwhile" });
  const { LoggedOut, WantRunning, persist } = node.backend.prefs;
  assert.deepEqual([LoggedOut, WantRunning], [true, false]);
  assert.equal(persist?.nodeKey?.public.toString(), old);
  told.resolve();
  await out;
  await node.settle();
  assert.deepEqual([node.backend.prefs.persist?.nodeKey, node.backend.prefs.persist?.tryingKey], [
    undefined,
    undefined,
  ]);
  assert.deepEqual([node.backend.state, node.control.poll], ["NeedsLogin", undefined]);
});

Deno.test("renewKey() that control refuses after the logout brings none of the keys back", async () => {
  const { node, answer, renewing } = await renewingNode(() => ({ kind: "rejected", reason: "too late" }));
  await using _ = node;
  await node.backend.logout(never);
  answer.resolve();
  await node.settle();
  await assert.rejects(renewing, /the node was logged out meanwhile$/);
  assert.equal(node.backend.prefs.persist?.nodeKey, undefined);
});

Deno.test("renewKey() that control answers after the node was stopped changes nothing; the key is tried when it is asked for", async () => {
  const { node, old, answer, renewing, tried } = await renewingNode();
  await using _ = node;
  node.down();
  answer.resolve();
  await node.settle();
  await assert.rejects(renewing, { message: /: the node was stopped meanwhile\. The old key stays in use$/ });
  assert.deepEqual([keyOf(node), node.backend.prefs.WantRunning, node.backend.state], [old, false, "Stopped"]);
  assert.equal(node.backend.prefs.persist?.tryingKey?.public.toString(), tried);
  // Control has taken it, and knows the old one no more.
  node.control.answer = (input) =>
    input.nodeKey.toString() === tried ? accept(node, input) : { kind: "auth-url", url: "https://control.test/a/9" };
  node.backend.editPrefs(change({ WantRunning: true }));
  await node.settle();
  node.control.poll?.end({ kind: "node-unknown", reason: "another key" });
  await node.scheduler.advance(5_000);
  await node.settle();
  assert.equal(keyOf(node), tried);
});

Deno.test("a registration of the old key meanwhile leaves the key that a renewal waits for stored", async () => {
  const { node, old, answer, renewing, tried } = await renewingNode();
  await using _ = node;
  node.control.poll!.end({ kind: "node-unknown", reason: "control was started anew" });
  await node.scheduler.advance(5_000);
  await node.settle();
  assert.deepEqual(node.control.registered.map(({ nodeKey }) => nodeKey.toString()), [tried, old]);
  assert.equal(node.backend.prefs.persist?.tryingKey?.public.toString(), tried, "a crash now would lose it");
  answer.resolve();
  assert.equal((await finished(node, renewing)).nodeKey, tried);
});

Deno.test("the key of a renewal that was cut short, and has expired since, makes way for a new one", async () => {
  await using node = await runningNode();
  const old = keyOf(node);
  node.control.answer = (_, signal) => untilAborted(signal);
  const giveUp = new AbortController();
  const renewing = node.backend.renewKey(KEY, giveUp.signal);
  await node.settle();
  giveUp.abort();
  await assert.rejects(renewing, BackendError);
  const tried = node.control.registered.at(-1)!.nodeKey.toString();
  node.control.answer = (input) =>
    [old, tried].includes(input.nodeKey.toString()) ? { kind: "key-expired" } : accept(node, input);
  node.control.poll!.end({ kind: "node-unknown", reason: "gone" });
  await node.scheduler.advance(60_000);
  await node.settle();
  const asked = node.control.registered.map(({ nodeKey }) => nodeKey.toString());
  assert.deepEqual(asked.slice(0, 3), [tried, old, tried]);
  assert.equal(asked.length, 4);
  assert.deepEqual([keyOf(node), node.backend.prefs.persist?.tryingKey], [asked[3], undefined]);
  assert.equal(node.control.poll?.input.nodeKey.toString(), asked[3]);
});
