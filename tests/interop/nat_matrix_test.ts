// Cells of the NAT matrix (tests/netlab/matrix.ts): ours must reach directly whatever two tsnet peers do, in twice their time
// at most; where no direct path is, DERP carries. `deno task matrix` runs every cell.

import assert from "node:assert/strict";
import { labUnavailable, programMissing } from "../netlab/lab.ts";
import type { SideKind } from "../netlab/matrix.ts";
import { labTest } from "./support/lab_test_case.ts";
import { buildSides, comparable, complaints, inTurns, measure, table } from "./support/nat_matrix.ts";
import { NatWorld, type Place } from "./support/nat_world.ts";
import { until } from "./support/agent.ts";

/** Side a against side b. Each kind is on some side, each pair of NATs that matters is here. */
const CELLS: readonly (readonly [SideKind, SideKind])[] = [
  ["easy", "public"],
  ["easy", "easy"],
  ["easy", "hard"],
  ["hard", "public"],
  ["hard", "hard"],
  ["double", "easy"],
  ["double", "hard"],
  ["dual", "ipv6"],
  ["easy", "ipv6"],
  ["blocked", "public"],
  ["portmap", "hard"],
  ["portmap", "easy"],
];

const missing = labUnavailable() ??
  ["nft", "nsenter", "miniupnpd"].map(programMissing).find((text) => text !== undefined);
const name = "agent: a direct path in each cell of the NAT matrix where tsnet has one, DERP in the others";

if (missing !== undefined) {
  if (Deno.env.get("CI") === "true") throw new Error(`Cannot skip under CI: ${missing}`);
  Deno.test({ name: `${name} [skipped: ${missing}]`, ignore: true, fn: () => {} });
} else {
  labTest(name, async (path, t) => {
    await using world = await NatWorld.create(path);
    const sides = new Map(CELLS.flatMap(([a, b]): [string, SideKind][] => [[`a${a}`, a], [`b${b}`, b]]));
    await buildSides(world, sides);
    const place = (name: string) => world.places.find(({ site }) => site.name === name)!;

    await t.step("paths", async () => {
      const cells = CELLS.map(([a, b]) => ({ a: place(`a${a}`), b: place(`b${b}`) }));
      const results = await inTurns(cells, 4, measure);
      console.log(table(results));
      const wrong = results.flatMap(complaints);
      if (wrong.length > 0) console.log(await world.logs());
      assert.deepEqual(wrong, []);
    });

    await t.step("netcheck reports equal Tailscale's", async () => {
      const one = new Map(world.places.map((each) => [each.site.kind, each]));
      await inTurns([...one.values()], 2, sameNetcheck);
      console.log(`  equal, field by field, at ${[...one.keys()].join(", ")}`);
    });

    await t.step("a mapped port is told to control, and given back at exit", async () => {
      const { site, agent } = place("aportmap");
      const router = site.routers[0].namespace;
      const ours = async () => {
        const rules = await router.must(["nft", "list", "chain", "inet", "miniupnpd", "mapped"]);
        return rules.includes(`dnat ip to 192.168.${site.hostAddress.split(".")[2]}.2:${mappedPort}`);
      };
      const { Endpoints, EndpointTypes } = await until("control hears of the mapped port", 15_000, async () => {
        const seen = (await world.control.mapRequests()).map(({ request }) => request)
          .filter(({ Hostinfo, EndpointTypes }) => Hostinfo?.Hostname === agent.name && EndpointTypes?.includes(3));
        return seen.at(-1);
      });
      const mappedPort = Endpoints[EndpointTypes.indexOf(3)].split(":")[1];
      assert.ok(await ours());
      assert.equal(await agent.stop(), 0);
      assert.ok(!await ours());
      console.log(`  ${Endpoints[EndpointTypes.indexOf(3)]} until the agent ended`);
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
