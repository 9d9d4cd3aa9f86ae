/** L2: a node key that was rotated out, and clones of a node. */
import assert from "node:assert/strict";
import { NodePublic } from "../../base/keys.ts";
import { RotationTracker } from "../../tka/rotation_tracker.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import { SIG_KIND } from "../../tka/node_key_signature.ts";

const node = (n: number) => new NodePublic(new Uint8Array(32).fill(n));
const direct = (wrapping: number): NodeKeySignature => ({
  kind: SIG_KIND.DIRECT,
  wrappingPubkey: new Uint8Array(32).fill(wrapping),
});
const credential: NodeKeySignature = { kind: SIG_KIND.CREDENTIAL, wrappingPubkey: new Uint8Array(32).fill(1) };

/** [node, its earlier keys, where its chain began] for each peer; the answer in both orders must agree. */
function obsolete(peers: readonly (readonly [number, readonly number[], NodeKeySignature])[]): number[] {
  const answers = [peers, peers.toReversed()].map((order) => {
    const tracker = new RotationTracker();
    for (const [key, previous, initial] of order) {
      tracker.add(node(key), { previousNodeKeys: previous.map(node), initial });
    }
    return [...tracker.obsolete()].map((hex) => parseInt(hex.slice(0, 2), 16)).sort((a, b) => a - b);
  });
  assert.deepEqual(answers[0], answers[1]);
  return answers[0];
}

Deno.test("L2: keys that a rotation names are obsolete", () => {
  assert.deepEqual(obsolete([]), []);
  assert.deepEqual(obsolete([[3, [2, 1], direct(1)]]), [1, 2]);
  assert.deepEqual(obsolete([[3, [2, 1], direct(1)], [2, [1], direct(1)]]), [1, 2]);
});

Deno.test("L2: of clones the longest chain stays, and of two as long none", () => {
  assert.deepEqual(obsolete([[3, [2, 1], direct(1)], [4, [1], direct(1)]]), [1, 2, 4]);
  assert.deepEqual(obsolete([[3, [1], direct(1)], [4, [1], direct(1)]]), [1, 3, 4]);
  assert.deepEqual(obsolete([[3, [1], direct(1)], [4, [1], direct(1)], [5, [], direct(1)]]), [1, 3, 4, 5]);
  assert.deepEqual(obsolete([[3, [1], direct(1)], [4, [2], direct(2)]]), [1, 2]);
});

Deno.test("nodes that one auth key let in are no clones", () => {
  assert.deepEqual(obsolete([[3, [1], credential], [4, [2], credential], [5, [], credential]]), [1, 2]);
});
