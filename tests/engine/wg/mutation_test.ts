/** Bytes from the network never throw: mutated and random handshake messages are refused, counted, and change nothing. */
import assert from "node:assert/strict";
import { DropCounters } from "../../../base/drops.ts";
import type { NodePublic } from "../../../base/keys.ts";
import { CookieGenerator } from "../../../engine/wg/cookie.ts";
import { mutate, SeededRandom } from "../../support/random.ts";
import { kindOf, sourceNamed, WgPair } from "../../support/wg_pair.ts";

const ROUNDS = 100_000;

/** Gives a message the MACs that let it pass to the curve. */
function withMacs(message: Uint8Array<ArrayBuffer>, to: NodePublic): Uint8Array<ArrayBuffer> {
  if (message.length >= 32) new CookieGenerator(to).addMacs(message, 0);
  return message;
}

Deno.test(`WgDevice.handleHandshake() drops and counts ${ROUNDS} mutated and random messages`, () => {
  const seed = 20_261_122;
  const random = new SeededRandom(seed);
  const t = new WgPair(3);
  t.b.load = true;
  t.a.send("x");
  t.at(10);
  t.b.load = false;
  const samples = t.events.filter(({ kind }) => kind !== "data" && kind !== "keepalive");
  assert.deepEqual(samples.map(({ kind }) => kind), ["initiation", "cookie", "initiation", "response"]);
  const before = t.b.device.indexCount;
  const counters = new DropCounters();
  let dropped = 0;
  for (let round = 0; round < ROUNDS; round++) {
    if (round % 100 === 0) t.at(t.seconds + 0.5);
    const sample = random.pick(samples);
    const to = random.chance(0.9) ? (sample.from === "a" ? "b" : "a") : sample.from;
    let message = random.chance(0.05) ? random.bytes(random.int(200)) : mutate(random, sample.message);
    if (random.chance(0.1)) message = withMacs(message, t[to].key.public);
    try {
      const { peer, drop } = t[to].device.handleHandshake(message, sourceNamed("fuzz"), t.now, random.chance(0.05));
      assert.equal(peer, undefined, `seed ${seed}, round ${round}: a mutated ${kindOf(message)} was accepted`);
      if (drop === undefined) continue;
      counters.count(drop);
      dropped++;
    } catch (error) {
      throw new Error(`seed ${seed}, round ${round}: ${message.toHex()}`, { cause: error });
    }
  }
  const counts = Object.values(counters.snapshot());
  assert.equal(counts.reduce((sum, count) => sum + count, 0), dropped, "every drop is counted");
  console.log(`dropped ${dropped} of ${ROUNDS}, seed ${seed}:`, counters.snapshot());
  for (const reason of ["too-short", "too-long", "unknown-type", "reserved-bytes", "mac1"] as const) {
    assert.ok(counters.get(reason) > 0, `${reason} never happened`);
  }
  assert.ok(counters.get("handshake-crypto") > 0, "nothing reached the curve");
  assert.ok(t.b.device.indexCount <= before, "a refused message keeps no index");
  t.at(t.seconds + 1);
  t.a.send("still works");
  t.at(t.seconds + 10);
  assert.equal(t.b.inbox.at(-1), "still works");
});
