/**
 * The whole NAT matrix, by hand: every kind of connection against every other (tests/netlab/matrix.ts), our agents beside
 * tsnet peers. It takes minutes and needs root.
 *
 * deno task matrix [KIND ...]     only those kinds, on both sides
 */
import { SIDE_KINDS, type SideKind } from "../tests/netlab/matrix.ts";
import { buildLab } from "../tests/interop/support/build.ts";
import {
  allCells,
  buildSides,
  comparable,
  complaints,
  measureAll,
  table,
} from "../tests/interop/support/nat_matrix.ts";
import { NatWorld } from "../tests/interop/support/nat_world.ts";

const kinds: readonly SideKind[] = Deno.args.length === 0 ? SIDE_KINDS : Deno.args as SideKind[];
for (const kind of kinds) {
  if (SIDE_KINDS.includes(kind)) continue;
  console.error(`Unknown kind "${kind}": want some of ${SIDE_KINDS.join(", ")}`);
  Deno.exit(2);
}
const lab = await buildLab();
if (lab.kind === "skip") {
  console.error(`Cannot build the peers: ${lab.reason}`);
  Deno.exit(1);
}
await using world = await NatWorld.create(lab.path);
await buildSides(world, kinds);
const results = await measureAll(allCells(world, kinds));
console.log(table(results));
const wrong = results.flatMap(complaints);
console.log(wrong.length === 0 ? "Ours reaches all that tsnet does." : wrong.join("\n"));

for (const { site, agent, peer } of kinds.map((kind) => world.at(`a${kind}`))) {
  const [ours, theirs] = [comparable(await agent.local("agent/netcheck", "POST")), comparable(await peer.netcheck())];
  const different = Object.keys(theirs).filter((key) => JSON.stringify(ours[key]) !== JSON.stringify(theirs[key]));
  const text = different.map((key) => `${key} ${JSON.stringify(ours[key])}, tsnet ${JSON.stringify(theirs[key])}`);
  console.log(`netcheck ${site.kind}: ${text.length === 0 ? "equal" : text.join("; ")}`);
}
if (Deno.env.get("MATRIX_VERBOSE")) console.log(await world.logs(60));
