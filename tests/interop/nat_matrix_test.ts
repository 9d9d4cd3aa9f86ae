// The NAT matrix (tests/netlab/matrix.ts), every kind of connection against every other: ours must reach directly whatever two
// tsnet peers do, in twice their time at most; where no direct path is, DERP carries. A late cell is tried again, and every
// pair is judged by its best round. `deno task matrix KIND …` runs some of it.

import assert from "node:assert/strict";
import { labUnavailable, programMissing } from "../netlab/lab.ts";
import { labTest } from "./support/lab_test_case.ts";
import {
  allCells,
  buildSides,
  comparable,
  complaints,
  inTurns,
  mapped,
  measureAll,
  table,
} from "./support/nat_matrix.ts";
import { agentOf, NatWorld, type Place } from "./support/nat_world.ts";
import { until } from "./support/agent.ts";

const missing = labUnavailable() ??
  ["nft", "nsenter", "conntrack", "miniupnpd"].map(programMissing).find((text) => text !== undefined);
const name = "agent: a direct path in each cell of the NAT matrix where tsnet has one, DERP in the others";

if (missing !== undefined) {
  if (Deno.env.get("CI") === "true") throw new Error(`Cannot skip under CI: ${missing}`);
  Deno.test({ name: `${name} [skipped: ${missing}]`, ignore: true, fn: () => {} });
} else {
  labTest(name, async (path, t) => {
    await using world = await NatWorld.create(path);
    await buildSides(world);

    await t.step("paths", async () => {
      const results = await measureAll(allCells(world));
      console.log(table(results));
      const wrong = results.flatMap(complaints);
      if (wrong.length > 0) console.log(await world.logs());
      assert.deepEqual(wrong, []);
    });

    await t.step("netcheck reports equal Tailscale's", async () => {
      const one = new Map(world.places.map((each) => [each.site.kind, each]));
      await inTurns([...one.values()], 4, sameNetcheck);
      console.log(`  equal, field by field, at ${[...one.keys()].join(", ")}`);
    });

    await t.step("a mapped port is told to control, and given back at exit", async () => {
      const { site, agent } = world.at("aportmap");
      const router = site.routers[0].namespace;
      const ours = async () => {
        const rules = await router.must(["nft", "list", "chain", "inet", "miniupnpd", "mapped"]);
        return rules.includes(`dnat ip to 192.168.${site.hostAddress.split(".")[2]}.2:${mappedPort}`);
      };
      const told = await mapped(world, agentOf(world.at("aportmap")));
      const mappedPort = told.split(":")[1];
      assert.ok(await ours());
      assert.equal(await agent.stop(), 0);
      assert.ok(!await ours());
      console.log(`  ${told} until the agent ended`);
    });
  });
}

/** Tailscale's runs between full ones ask fewer regions, and answers get lost: one more report of each settles it. */
async function sameNetcheck({ site, agent, peer }: Place): Promise<void> {
  let seen: unknown[] = [];
  await until(`the netcheck reports of ${site.name} are equal`, 15_000, async () => {
    seen = [comparable(await agent.local("agent/netcheck", "POST")), comparable(await peer.netcheck())];
    return JSON.stringify(seen[0]) === JSON.stringify(seen[1]) || (await peer.debug("restun"), false);
  }, 1_000).catch(() => assert.deepEqual(seen[0], seen[1], site.name));
}
