/** Which peers the lock accepts: signatures, rotations, and the same answer however a netmap came about (L1, L2, L4). */
import assert from "node:assert/strict";
import { PeerJudge } from "../../../daemon/lock/judge.ts";
import { Router } from "../../../daemon/router.ts";
import { NodePrivate, NodePublic } from "../../../base/keys.ts";
import { toBase64, toHex } from "../../../base/bytes.ts";
import { applyMapResponse } from "../../../control/client/map_session.ts";
import type { MapState } from "../../../control/client/map_session.ts";
import type { MapResponse, Node } from "../../../control/wire/tailcfg.ts";
import {
  encodeNodeKeySignature,
  resignNodeKey,
  SIG_KIND,
  signByCredential,
  signCredential,
  signNodeKey,
} from "../../../tka/node_key_signature.ts";
import { drawChain } from "../../support/chain_dsl.ts";
import { testNetmap, testNode } from "../../support/fake_control.ts";
import { testKey } from "../../support/lock_keys.ts";
import { SeededRandom } from "../../support/random.ts";

const { authority } = drawChain(`G -> A`).node("A");

function nodeKey(number: number): NodePublic {
  return NodePublic.parse(`nodekey:${number.toString(16).padStart(64, "a")}`)!;
}

/** Signatures of a machine's node keys, oldest first: direct, then one rotation after another. */
function chain(machine: number, keys: readonly NodePublic[], by = 1): Uint8Array[] {
  const lock = testKey(500 + machine).lock;
  const signatures = [encodeNodeKeySignature(signNodeKey(testKey(by).lock, keys[0], lock.public.bytes))];
  for (const key of keys.slice(1)) signatures.push(resignNodeKey(lock, key, signatures.at(-1)!));
  return signatures;
}

function peer(id: number, key: NodePublic, signature: Uint8Array | undefined, fields: Partial<Node> = {}): Node {
  return testNode(id, {
    Key: key.toString(),
    ...(signature && { KeySignature: toBase64(signature) }),
    ...fields,
  });
}

function accepted(...peers: Node[]): string {
  return new PeerJudge(authority).judge(peers).accepted.map(({ ID }) => ID).sort((a, b) => a - b).join(" ");
}

Deno.test("PeerJudge refuses no signature, a wrong one, another key's, a stranger's and a bare credential", () => {
  const key = nodeKey(1);
  const [good] = chain(1, [key]);
  const [stranger] = chain(1, [key], 9);
  const broken = good.slice();
  broken[broken.length - 5] ^= 1;
  const credential = encodeNodeKeySignature(signCredential(testKey(1).lock, testKey(7).public));
  assert.equal(accepted(peer(1, key, good)), "1");
  for (const bad of [undefined, stranger, broken, credential, new Uint8Array(3)]) {
    assert.equal(accepted(peer(1, key, bad)), "");
  }
  assert.equal(accepted(peer(1, nodeKey(2), good)), "");
  assert.equal(accepted(peer(1, key, good, { KeySignature: "%%%" })), "");
});

Deno.test("PeerJudge takes verdicts over from the judge before it, unless the trusted keys are others", () => {
  const tree = drawChain("G -> A -> B^2=5 -> C* -> D-2 -> E+4");
  const peers = [1, 2, 4].map((by) => peer(by, nodeKey(by), chain(by, [nodeKey(by)], by)[0]));
  let judge: PeerJudge | undefined;
  const seen = ["G", "A", "B", "C", "D", "E"].map((name) => {
    const { authority } = tree.node(name);
    const ask = authority.nodeKeyAuthorized.bind(authority);
    let asked = 0;
    authority.nodeKeyAuthorized = (...question) => {
      asked++;
      return ask(...question);
    };
    judge = new PeerJudge(authority, judge);
    const { accepted } = judge.judge(peers);
    return `${name}: ${accepted.map(({ ID }) => ID)} of ${asked} asked`;
  });
  assert.deepEqual(seen, [
    "G: 1,2 of 3 asked",
    "A: 1,2 of 0 asked",
    "B: 1,2 of 0 asked",
    "C: 1,2 of 0 asked",
    "D: 1 of 3 asked",
    "E: 1,4 of 3 asked",
  ]);
});

Deno.test("PeerJudge drops what a rotation made obsolete, and clones of equal length both", () => {
  const keys = [1, 2, 3].map(nodeKey);
  const [first, second, third] = chain(1, keys);
  assert.equal(accepted(peer(1, keys[0], first), peer(2, keys[1], second)), "2");
  assert.equal(accepted(peer(1, keys[0], first), peer(2, keys[2], third)), "2");
  // The clone went on from the first key with a key of its own.
  const clone = chain(1, [keys[0], nodeKey(9)])[1];
  assert.equal(accepted(peer(1, keys[2], third), peer(2, nodeKey(9), clone)), "1");
  assert.equal(accepted(peer(1, keys[1], second), peer(2, nodeKey(9), clone)), "");
});

Deno.test("PeerJudge lets nodes of one reusable wrapped auth key live side by side", () => {
  const seed = testKey(7).seed;
  const credential = signCredential(testKey(1).lock, testKey(7).public);
  const sign = (key: NodePublic) => encodeNodeKeySignature(signByCredential(seed, credential, key));
  assert.equal(accepted(peer(1, nodeKey(1), sign(nodeKey(1))), peer(2, nodeKey(2), sign(nodeKey(2)))), "1 2");
});

Deno.test("L4: a peer of UnsignedPeerAPIOnly gets no WireGuard, signed or not, whatever else control sets", () => {
  const key = nodeKey(1);
  const judge = new PeerJudge(authority);
  const privateKey = NodePrivate.generate(new SeededRandom(1).bytes);
  for (const signature of [undefined, chain(1, [key])[0]]) {
    const fields = { UnsignedPeerAPIOnly: true, AllowedIPs: ["0.0.0.0/0", "10.0.0.0/8"], IsJailed: true };
    const netmap = testNetmap([peer(2, key, signature, fields)], { tkaEnabled: true });
    const filter = {
      head: "",
      filter: () => ({ accepted: judge.judge(netmap.peers).accepted, rejected: [] }),
    };
    const policy = { privateKey, routeAll: true, shieldsUp: false, homeDerp: 1, controlNow: 0 };
    const routed = new Router(filter).route(netmap, policy);
    assert.deepEqual(routed.config.peers, []);
    assert.deepEqual(routed.routes, []);
  }
});

/** A peer in one of the states control may put it in. */
function somePeer(random: SeededRandom, machines: readonly (readonly [NodePublic, Uint8Array])[][], id: number): Node {
  const [key, signature] = random.pick(random.pick(machines));
  const other = random.pick(random.pick(machines))[1];
  const given = random.chance(0.7) ? signature : random.chance(0.5) ? other : undefined;
  return peer(id, key, given, { UnsignedPeerAPIOnly: random.chance(0.05) });
}

/** The netmap's peers as a slow and clear reader of the stream has them: what the map session must come to. */
function reduce(peers: Map<number, Node>, { Peers, PeersChanged, PeersRemoved, PeersChangedPatch }: MapResponse): void {
  if (Peers) peers.clear();
  for (const node of [...Peers ?? [], ...PeersChanged ?? []]) peers.set(node.ID, node);
  for (const id of PeersRemoved ?? []) peers.delete(id);
  for (const { NodeID, Key, KeySignature } of PeersChangedPatch ?? []) {
    const node = peers.get(NodeID);
    if (node === undefined) continue;
    peers.set(NodeID, { ...node, ...(Key && { Key }), ...(KeySignature && { KeySignature }) });
  }
}

type Why = "accepted" | "outside the lock" | "not signed" | "rotated out" | "a longer chain" | "an equal chain";

/** The rules of `PeerJudge` said once more, each peer by itself against all others. */
function judgeSlowly(peers: readonly Node[]): Why[] {
  const signed = peers.map((node) => {
    if (node.UnsignedPeerAPIOnly || !node.KeySignature) return undefined;
    const signature = Uint8Array.fromBase64(node.KeySignature);
    const verdict = authority.nodeKeyAuthorized(NodePublic.parse(node.Key)!, signature);
    return verdict.authorized ? { key: node.Key, rotation: verdict.rotation } : undefined;
  });
  const rotatedOut = (key: string) =>
    signed.some((other) => other?.rotation?.previousNodeKeys.some((previous) => previous.toString() === key));
  return peers.map((node, i): Why => {
    const mine = signed[i];
    if (node.UnsignedPeerAPIOnly) return "outside the lock";
    if (mine === undefined) return "not signed";
    if (rotatedOut(mine.key)) return "rotated out";
    const { rotation } = mine;
    if (rotation?.initial.kind !== SIG_KIND.DIRECT) return "accepted";
    const wrapping = toHex(rotation.initial.wrappingPubkey!);
    const rivals = signed.flatMap((other, j) => {
      const begins = other?.rotation?.initial;
      const same = j !== i && begins?.kind === SIG_KIND.DIRECT && toHex(begins.wrappingPubkey!) === wrapping;
      return same && !rotatedOut(other!.key) ? [other!.rotation!.previousNodeKeys.length] : [];
    });
    const length = rotation.previousNodeKeys.length;
    if (rivals.some((rival) => rival > length)) return "a longer chain";
    return rivals.includes(length) ? "an equal chain" : "accepted";
  });
}

Deno.test("L1, L2: after any interleaving of full maps, deltas and patches the accepted peers are those of one full map", () => {
  const seed = 20261122;
  const random = new SeededRandom(seed);
  const machines = [1, 2, 3, 4].map((machine) => {
    const keys = Array.from({ length: 4 }, (_, i) => nodeKey(machine * 16 + i));
    const straight = chain(machine, keys).map((signature, i) => [keys[i], signature] as const);
    const cloneKey = nodeKey(machine * 16 + 9);
    return [...straight, [cloneKey, chain(machine, [keys[0], cloneKey])[1]] as const];
  });
  const seen: Record<string, number> = {};
  const count = (what: string, times = 1) => seen[what] = (seen[what] ?? 0) + times;
  for (let world = 0; world < 60; world++) {
    const judge = new PeerJudge(authority);
    let state: MapState | undefined;
    const slow = new Map<number, Node>();
    for (let step = 0; step < 25; step++) {
      const ids = Array.from({ length: 1 + random.int(6) }, () => 2 + random.int(8));
      const peers = [...new Set(ids)].map((id) => somePeer(random, machines, id));
      const kind = state === undefined ? 0 : random.int(5);
      const patch = () => {
        const [Key, KeySignature] = random.pick(random.pick(machines));
        return {
          NodeID: random.pick(ids),
          ...(random.chance(0.7) && { Key: Key.toString() }),
          ...(random.chance(0.5) && { KeySignature: toBase64(KeySignature) }),
          ...(random.chance(0.2) && { Online: random.chance(0.5) }),
        };
      };
      const response: MapResponse = kind === 0
        ? { Node: testNode(1), Peers: peers }
        : kind === 1
        ? { PeersChanged: peers }
        : kind === 2
        ? { PeersRemoved: [...new Set(ids)] }
        : { PeersChangedPatch: ids.map(patch) };
      const applied = applyMapResponse(state, response, 0);
      assert.ok(!("failed" in applied), `seed ${seed}`);
      state = applied.state;
      const now = [...state.netmap.peers];
      const whole = applyMapResponse(undefined, { Node: testNode(1), Peers: now }, 0);
      assert.ok(!("failed" in whole), `seed ${seed}`);
      const names = (nodes: Iterable<Node>) => [...nodes].map(({ ID, Key }) => `${ID} ${Key}`).sort();
      const byDeltas = judge.judge(state.netmap.peers);
      const atOnce = new PeerJudge(authority).judge(whole.state.netmap.peers);
      assert.deepEqual(names(byDeltas.accepted), names(atOnce.accepted), `seed ${seed} world ${world} step ${step}`);
      assert.equal(byDeltas.accepted.length + byDeltas.rejected.length, now.length);

      // And as a slow twin of both the map session and the judge has it.
      reduce(slow, response);
      const slowPeers = [...slow.values()];
      const verdicts = judgeSlowly(slowPeers);
      const passed = slowPeers.filter((_, i) => verdicts[i] === "accepted" || verdicts[i] === "outside the lock");
      assert.deepEqual(
        names(byDeltas.accepted),
        names(passed),
        `seed ${seed} world ${world} step ${step}: the slow twin`,
      );
      count("netmaps");
      for (const why of verdicts) count(why);
      for (const { Key, KeySignature } of response.PeersChangedPatch ?? []) {
        if (Key && !KeySignature) count("patches of a key alone");
        if (KeySignature && !Key) count("patches of a signature alone");
      }
    }
  }
  console.log(`  seed ${seed}: ${JSON.stringify(seen)}`);
  const wanted: readonly Why[] = ["accepted", "not signed", "rotated out", "a longer chain", "an equal chain"];
  for (const what of [...wanted, "patches of a key alone", "patches of a signature alone"]) {
    assert.ok(seen[what] > 20, `too little of: ${what}`);
  }
});
