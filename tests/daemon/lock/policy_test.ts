/** Pins: how they are spelled, what fits them, and how they get to the daemon (L5). */
import assert from "node:assert/strict";
import { demandLock } from "../../../cli/lock/policy_flags.ts";
import type { LocalClient } from "../../../cli/local_client.ts";
import { loadPolicy, parsePin, pinProblem, readPolicy, savePolicy } from "../../../daemon/lock/policy.ts";
import { MemoryState } from "../../../daemon/state_file.ts";
import { utf8 } from "../../../base/bytes.ts";

const HASH = "A".repeat(52);
const OTHER = "B".repeat(51) + "A";
const KEY = "0a".repeat(32);
const ANCHOR = { hash: HASH, signers: [KEY], stateId: "11:12" };

Deno.test("parsePin() takes hashes, keys of both spellings and state IDs, and nothing else", () => {
  assert.equal(parsePin(HASH.toLowerCase()), HASH);
  assert.equal(parsePin(`nlpub:${KEY.toUpperCase()}`), `tlpub:${KEY}`);
  assert.equal(parsePin(" 11:12 "), "11:12");
  for (const bad of ["", "x", "011:12", "11:", `tlpub:${KEY}00`, HASH + "A"]) {
    assert.equal(parsePin(bad), undefined, bad);
  }
});

Deno.test("L5: pinProblem() wants one pin of each kind to fit, and takes the hash for enough", () => {
  const ok = (...pins: string[]) => pinProblem({ required: false, pins }, ANCHOR) === undefined;
  assert.ok(ok());
  assert.ok(ok(HASH));
  assert.ok(ok(OTHER, HASH));
  assert.ok(ok(`tlpub:${KEY}`, "11:12"));
  assert.ok(ok(OTHER, `tlpub:${KEY}`), "a later checkpoint, vouched for by a pinned key");
  assert.ok(ok("11:12"));
  assert.ok(!ok(OTHER));
  assert.ok(!ok(OTHER, "11:12"), "a state ID is no secret: it does not stand in for the hash");
  assert.ok(!ok(`tlpub:${"0b".repeat(32)}`));
  assert.ok(!ok(`tlpub:${KEY}`, "11:13"));
  assert.ok(!ok("11:13"));
});

Deno.test("The lock's policy is kept in the state, and a damaged one is not taken for none", () => {
  const store = new MemoryState();
  const policy = { required: true, pins: [HASH] };
  savePolicy(store, policy);
  assert.deepEqual(loadPolicy(store), policy);
  savePolicy(store, { required: false, pins: [] });
  assert.equal(store.read("_agent-lock-policy"), undefined);
  store.write("_agent-lock-policy", utf8('{"required": "no"}'));
  assert.throws(() => loadPolicy(store), /damaged \(required is not true or false\)/);
  assert.match(readPolicy({ pins: ["nonsense"] }) as string, /cannot use lock pin "nonsense"/);
});

Deno.test("demandLock() sends what was named and nothing else", async () => {
  const sent: unknown[] = [];
  const client = { text: (...call: unknown[]) => (sent.push(call), Promise.resolve("")) } as unknown as LocalClient;
  const values = { "lock-required": true, "lock-pin": "11:12, 13:14" };
  await demandLock(client, { values, given: new Set() });
  await demandLock(client, { values, given: new Set(["lock-pin"]) });
  await demandLock(client, { values: { ...values, "lock-pin": "" }, given: new Set(["lock-required", "lock-pin"]) });
  assert.deepEqual(sent, [
    ["POST", "agent/lock/policy", { pins: ["11:12", "13:14"] }],
    ["POST", "agent/lock/policy", { required: true, pins: [] }],
  ]);
});
