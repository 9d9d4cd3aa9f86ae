/** Deltas against a slow clear twin, and what they cost. */
import assert from "node:assert/strict";
import { type Applied, applyMapResponse, type MapState, upgradeNode } from "../../../control/client/map_session.ts";
import type { MapResponse, Node, PeerChange } from "../../../control/wire/tailcfg.ts";
import { SeededRandom } from "../../support/random.ts";

const hex = (id: number) => id.toString(16).padStart(64, "0");
const make = (id: number, random: SeededRandom): Node => ({
  ID: id,
  StableID: `n${id}`,
  Name: `node-${id}.lab.ts.net.`,
  User: id % 50,
  Key: `nodekey:${hex(random.u32())}`,
  Addresses: [`100.64.${(id >> 8) & 63}.${id & 255}/32`],
  Endpoints: [`192.0.2.${random.int(256)}:${random.int(65536)}`],
  HomeDERP: 1 + random.int(20),
  Online: random.chance(0.5),
});

function apply(state: MapState | undefined, response: MapResponse): MapState {
  const applied = applyMapResponse(state, response, 0) as Applied;
  return applied.state;
}

/** The same by a plain Map that is copied whole. */
function twin(before: ReadonlyMap<number, Node>, response: MapResponse): Map<number, Node> {
  if (response.Peers?.length) return new Map(response.Peers.map((peer) => [peer.ID, upgradeNode(peer)]));
  const peers = new Map(before);
  for (const id of response.PeersRemoved ?? []) peers.delete(id);
  for (const peer of response.PeersChanged ?? []) peers.set(peer.ID, upgradeNode(peer));
  for (const [id, online] of Object.entries(response.OnlineChange ?? {})) {
    const peer = peers.get(Number(id));
    if (peer) peers.set(peer.ID, { ...peer, Online: online });
  }
  for (const { NodeID, ...change } of response.PeersChangedPatch ?? []) {
    const peer = peers.get(NodeID);
    if (peer) peers.set(NodeID, { ...peer, ...change });
  }
  return peers;
}

Deno.test("any sequence of full maps and deltas gives the peers of the slow twin", () => {
  const random = new SeededRandom(20260922);
  for (let run = 0; run < 30; run++) {
    let state: MapState | undefined;
    let peers = new Map<number, Node>();
    for (let step = 0; step < 60; step++) {
      const some = (count: number) => Array.from({ length: random.int(count) }, () => 2 + random.int(80));
      const response: MapResponse = {
        ...(step === 0 && { Node: make(1, random) }),
        ...((step === 0 || random.chance(0.05)) && { Peers: some(60).map((id) => make(id, random)) }),
        PeersChanged: some(5).map((id) => make(id, random)),
        PeersRemoved: some(4),
        OnlineChange: Object.fromEntries(some(4).map((id) => [id, random.chance(0.5)])),
        PeersChangedPatch: some(4).map((id): PeerChange => ({ NodeID: id, Cap: 1 + random.int(200) })),
      };
      state = apply(state, response);
      peers = twin(peers, response);
      const ours = [...state.netmap.peers].sort((a, b) => a.ID - b.ID);
      const theirs = [...peers.values()].sort((a, b) => a.ID - b.ID);
      const text = (nodes: readonly Node[]) =>
        JSON.stringify(nodes.map((node) => Object.entries(node).filter(([, value]) => value !== undefined).sort()));
      assert.ok(text(ours) === text(theirs), `seed ${random.seed} run ${run} step ${step}`);
      assert.equal(state.netmap.peers.size, peers.size);
    }
  }
});

Deno.test("W11 a delta of one peer of 10,000 touches that peer only and costs microseconds", () => {
  const random = new SeededRandom(5);
  const all = Array.from({ length: 10_000 }, (_, i) => make(i + 2, random));
  let state = apply(undefined, { Node: make(1, random), Peers: all });
  const before = state.netmap.peers;
  const rounds = 2_000;
  const start = performance.now();
  for (let i = 0; i < rounds; i++) {
    state = apply(state, { PeersChangedPatch: [{ NodeID: 2 + random.int(10_000), Endpoints: [`192.0.2.1:${i}`] }] });
  }
  const each = (performance.now() - start) / rounds;
  assert.ok(each < 1, `${each} ms a delta`);
  let same = 0;
  for (const peer of before) if (state.netmap.peers.get(peer.ID) === peer) same++;
  assert.ok(same >= 8_000 && same < 10_000, `${same} peers are the same objects`);
});
