import assert from "node:assert/strict";
import { Keypair } from "../../../engine/wg/keypair.ts";
import { Keypairs } from "../../../engine/wg/keypairs.ts";
import type { Peer } from "../../../engine/wg/peer.ts";

/** Keypairs named by small numbers, and what was dropped of them. */
function setUp() {
  const dropped: number[] = [];
  const keypairs = new Keypairs((keypair) => dropped.push(keypair.localIndex));
  const make = (localIndex: number, isInitiator: boolean) =>
    new Keypair({
      peer: undefined as unknown as Peer,
      localIndex,
      remoteIndex: 0,
      sendKey: 0,
      receiveKey: 0,
      created: 0,
      isInitiator,
    });
  const places = () => [keypairs.previous, keypairs.current, keypairs.next].map((keypair) => keypair?.localIndex);
  return { dropped, keypairs, make, places };
}

Deno.test("Keypairs: an initiator's keypair is current at once, the old one previous, the one before dropped", () => {
  const { dropped, keypairs, make, places } = setUp();
  for (const index of [1, 2, 3]) keypairs.addInitiated(make(index, true), false);
  assert.deepEqual(places(), [2, 3, undefined]);
  assert.deepEqual(dropped, [1]);
});

Deno.test("Keypairs: a responder's keypair is next until a packet confirms it; previous goes when it comes", () => {
  const { dropped, keypairs, make, places } = setUp();
  keypairs.addInitiated(make(1, true), false);
  keypairs.addInitiated(make(2, true), false);
  const next = make(3, false);
  keypairs.addResponded(next);
  assert.deepEqual(places(), [undefined, 2, 3]);
  assert.deepEqual(dropped, [1]);
  assert.equal(keypairs.received(next), true);
  assert.deepEqual(places(), [2, 3, undefined]);
  assert.equal(keypairs.received(next), false);
  assert.deepEqual(dropped, [1]);
});

Deno.test("Keypairs: a second response replaces a next keypair that was never confirmed", () => {
  const { dropped, keypairs, make, places } = setUp();
  keypairs.addResponded(make(1, false));
  keypairs.addResponded(make(2, false));
  assert.deepEqual(places(), [undefined, undefined, 2]);
  assert.deepEqual(dropped, [1]);
});

Deno.test("Keypairs: an initiator's keypair turns an unconfirmed next one into previous and drops the old current", () => {
  const { dropped, keypairs, make, places } = setUp();
  keypairs.addInitiated(make(1, true), false);
  keypairs.addResponded(make(2, false));
  keypairs.addInitiated(make(3, true), false);
  assert.deepEqual(places(), [2, 3, undefined]);
  assert.deepEqual(dropped, [1]);
});

Deno.test("Keypairs: after crossed handshakes the side that yields moves to the other's keypair, once it hears it", () => {
  for (const yields of [true, false]) {
    const { dropped, keypairs, make, places } = setUp();
    const [theirs, ours] = [make(1, false), make(2, true)];
    keypairs.addResponded(theirs);
    keypairs.addInitiated(ours, yields);
    assert.equal(keypairs.received(theirs), false);
    assert.deepEqual(places(), yields ? [2, 1, undefined] : [1, 2, undefined]);
    keypairs.received(ours);
    assert.deepEqual(places(), yields ? [2, 1, undefined] : [1, 2, undefined]);
    assert.deepEqual(dropped, []);
  }
});

Deno.test("Keypairs: an ordinary previous keypair never becomes current again", () => {
  const { keypairs, make, places } = setUp();
  const old = make(1, true);
  keypairs.addInitiated(old, true);
  keypairs.addInitiated(make(2, true), true);
  assert.equal(keypairs.received(old), false);
  assert.deepEqual(places(), [1, 2, undefined]);
});

Deno.test("Keypairs.clear() drops all three", () => {
  const { dropped, keypairs, make, places } = setUp();
  keypairs.addInitiated(make(1, true), false);
  keypairs.addInitiated(make(2, true), false);
  keypairs.received(make(9, false));
  keypairs.clear();
  assert.deepEqual(places(), [undefined, undefined, undefined]);
  assert.deepEqual(dropped.toSorted(), [1, 2]);
  keypairs.clear();
  assert.equal(dropped.length, 2);
});
