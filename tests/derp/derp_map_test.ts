import assert from "node:assert/strict";
import { parseDerpMap, regionIds, regionOf } from "../../derp/derp_map.ts";
import { SeededRandom } from "../support/random.ts";

const NODE = { Name: "900a", RegionID: 900, HostName: "derp.example", DERPPort: 8443, STUNPort: -1, CertName: "x" };
const REGION = { RegionID: 900, RegionCode: "home", RegionName: "Home", Nodes: [NODE] };

Deno.test("parseDerpMap() keeps what tailcfg defines and nothing else", () => {
  const { map, rejected } = parseDerpMap({
    HomeParams: { RegionScore: { "900": 0.5, "1": "x" } },
    Regions: { "900": { ...REGION, Latitude: 1.5, Surprise: 1, Nodes: [{ ...NODE, Surprise: 1 }] } },
    omitDefaultRegions: true,
  });
  assert.deepEqual(rejected, []);
  assert.deepEqual(map, {
    HomeParams: { RegionScore: { "900": 0.5 } },
    Regions: { "900": { ...REGION, Latitude: 1.5 } },
    omitDefaultRegions: true,
  });
});

Deno.test("parseDerpMap() leaves a malformed region or node out and says which", () => {
  const { map, rejected } = parseDerpMap({
    Regions: {
      "1": { ...REGION, RegionID: 2 },
      "3": { RegionID: 3, Nodes: null },
      "4": { RegionID: 4, Nodes: [{ ...NODE, RegionID: 4, DERPPort: 70_000 }, { ...NODE, RegionID: 4, HostName: "" }] },
      "5": null,
      "900": { ...REGION, Nodes: [NODE, { ...NODE, STUNPort: "3478" }, { ...NODE, RegionID: 1 }, 7] },
    },
  });
  assert.deepEqual(regionIds(map), [3, 4, 900]);
  assert.deepEqual(regionOf(map, 3), { RegionID: 3, RegionCode: "", RegionName: "", Nodes: [] });
  assert.deepEqual(regionOf(map, 4)!.Nodes, []);
  assert.deepEqual(regionOf(map, 900)!.Nodes, [NODE]);
  assert.deepEqual(rejected, [
    "DERP region 1: RegionID is 2, want the positive integer it is filed under",
    "DERP region 4: node 900a has DERPPort 70000, want 0 to 65535",
    "DERP region 4: node 900a has no HostName",
    "DERP region 5: it is not an object",
    'DERP region 900: STUNPort is "3478", want a number',
    "DERP region 900: node 900a has RegionID 1",
    "DERP region 900: a node is not an object",
  ]);
});

Deno.test("regionOf() knows only regions of the map", () => {
  const { map } = parseDerpMap({ Regions: { "900": REGION } });
  assert.equal(regionOf(map, 901), undefined);
  assert.equal(regionOf(map, "constructor" as unknown as number), undefined);
});

Deno.test("parseDerpMap() takes any JSON at all", () => {
  const seed = 4;
  const random = new SeededRandom(seed);
  const text = JSON.stringify({ HomeParams: { RegionScore: { "900": 1 } }, Regions: { "900": REGION } });
  let parsed = 0;
  for (let i = 0; i < 100_000; i++) {
    const at = random.int(text.length);
    const mutated = text.slice(0, at) + random.pick(["null", "1", '"', "{}", "[]", "-", ""]) +
      text.slice(at + random.int(8));
    let value: unknown;
    try {
      value = JSON.parse(mutated);
    } catch {
      continue;
    }
    parsed++;
    for (const region of Object.values(parseDerpMap(value).map.Regions)) assert.ok(Array.isArray(region.Nodes));
  }
  assert.ok(parsed > 1000, `seed ${seed}: only ${parsed} documents were JSON`);
});
