import assert from "node:assert/strict";
import { configText, differences, settingsOf } from "../../../daemon/config/compare.ts";
import type { Running } from "../../../daemon/config/key.ts";
import { CONFIG_NAMES } from "../../../daemon/config/keys.ts";
import { namesOf, readConfig } from "../../../daemon/config/read.ts";
import type { Config } from "../../../daemon/config/read.ts";
import { configSchema, schemaText } from "../../../daemon/config/schema.ts";
import { wantedPolicy, wantedPrefs } from "../../../daemon/config/wanted.ts";
import { NO_POLICY } from "../../../daemon/lock/policy.ts";
import { newPrefs } from "../../../daemon/prefs.ts";
import type { PrefValues } from "../../../daemon/pref_fields.ts";

function configOf(values: Record<string, unknown>): Config {
  const read = readConfig(JSON.stringify({ version: "alpha0", ...values }));
  assert.ok(read.ok, JSON.stringify(read));
  return read.config;
}

function running(prefs: Partial<PrefValues>, more: Partial<Running> = {}): Running {
  return {
    prefs: { ...newPrefs(), WantRunning: true, ...prefs },
    policy: NO_POLICY,
    staticEndpoints: [],
    logLevel: "info",
    instance: "",
    ...more,
  };
}

/** As a node that has the configuration runs. */
function applied(config: Config, prefs: PrefValues = newPrefs(), names: readonly string[] = []): PrefValues {
  return { ...prefs, ...wantedPrefs(config, prefs, names) };
}

Deno.test("wantedPrefs() changes what the file names, and nothing else but what always counts", () => {
  const before = { ...newPrefs(), RouteAll: true, AdvertiseRoutes: ["10.9.0.0/24"], RelayServerPort: 5 };
  const config = configOf({ Hostname: "a", AdvertiseExitNode: true, DisableSNAT: true });
  assert.deepEqual(wantedPrefs(config, before, []), {
    Hostname: "a",
    WantRunning: true,
    AdvertiseRoutes: ["0.0.0.0/0", "::/0", "10.9.0.0/24"],
    NoSNAT: true,
    RelayServerPort: null,
  });
});

Deno.test("a key that was taken out of the file is taken back, but for the control server", () => {
  const first = configOf({
    ServerURL: "https://a.test",
    Hostname: "a",
    AdvertiseTags: ["tag:x"],
    exitNode: "auto:any",
    NoStatefulFiltering: true,
    LockRequired: true,
    LockPins: ["1:2"],
  });
  const prefs = applied(first, { ...newPrefs(), ShieldsUp: true });
  assert.deepEqual([prefs.Hostname, prefs.AutoExitNode, prefs.NoStatefulFiltering], ["a", "any", true]);
  assert.deepEqual(wantedPrefs(configOf({}), prefs, namesOf(first)), {
    AutoExitNode: "",
    AdvertiseTags: null,
    Hostname: "",
    NoStatefulFiltering: null,
  });
  const policy = wantedPolicy(first, NO_POLICY, []);
  assert.deepEqual(policy, { required: true, pins: ["1:2"] });
  assert.deepEqual(wantedPolicy(configOf({}), policy, []), policy, "what it never named stays");
  assert.deepEqual(wantedPolicy(configOf({}), policy, namesOf(first)), NO_POLICY);
});

Deno.test("an exit node is named by address, ID, name or choice, and one takes the place of another", () => {
  const named = (word: string) => applied(configOf({ exitNode: word }), { ...newPrefs(), ExitNodeID: "old" });
  const triple = ({ ExitNodeID, ExitNodeIP, AutoExitNode }: PrefValues) => [ExitNodeID, ExitNodeIP, AutoExitNode];
  assert.deepEqual(triple(named("100.64.0.9")), ["", "100.64.0.9", ""]);
  assert.deepEqual(triple(named("gate")), ["gate", "", ""]);
  assert.deepEqual(triple(named("auto:any")), ["", "", "any"]);
  assert.deepEqual(triple(named("")), ["", "", ""]);
});

Deno.test("a node that runs as the file says shows no difference, and what it shows reads back to the same", () => {
  const config = configOf({
    ServerURL: "https://a.test",
    OperatorUser: "ann",
    Hostname: "a",
    acceptDNS: false,
    acceptRoutes: true,
    allowLANWhileUsingExitNode: true,
    AdvertiseRoutes: ["10.1.0.0/24", "::/0"],
    DisableSNAT: true,
    AppConnector: { Advertise: true },
    NetfilterMode: "off",
    NoStatefulFiltering: false,
    PostureChecking: true,
    ShieldsUp: true,
    AutoUpdate: { Check: false },
    RelayServerPort: 0,
    RelayServerStaticEndpoints: ["192.0.2.1:7"],
    AdvertiseTags: ["tag:x"],
    Nickname: "n",
    LockRequired: true,
    LockPins: ["1:2"],
    StaticEndpoints: ["192.0.2.1:8"],
    LogLevel: "debug",
  });
  const now = running(applied(config), {
    policy: wantedPolicy(config, NO_POLICY, []),
    staticEndpoints: config.StaticEndpoints!,
    logLevel: "debug",
  });
  const settings = settingsOf(now);
  assert.deepEqual(differences(config, settings, []), []);
  assert.deepEqual(differences(config, settings, "all"), []);
  const text = configText(settings, true);
  const again = readConfig(text);
  assert.ok(again.ok, text);
  assert.deepEqual(again.config, config);
  assert.equal(configText(settingsOf(running({})), true), '{\n  "version": "alpha0"\n}\n');
  assert.equal(configText(settingsOf(running({})), false), '{\n  "version": "alpha0",\n  "Locked": false\n}\n');
});

Deno.test("differences() names what drifted, what was taken out of the file, and with all what it never named", () => {
  const config = configOf({ Hostname: "a", AdvertiseRoutes: ["10.1.0.0/24"], RelayServerPort: 7 });
  const settings = settingsOf(running({ Hostname: "b", ShieldsUp: true, RouteAll: true, AdvertiseRoutes: null }));
  const rows = (names: readonly string[] | "all") =>
    differences(config, settings, names).map(({ key, file, running }) => [key, file, running]);
  const drift = [["Hostname", "a", "b"], ["AdvertiseRoutes", ["10.1.0.0/24"], []], ["RelayServerPort", 7, undefined]];
  assert.deepEqual(rows([]), drift);
  assert.deepEqual(rows(["ShieldsUp"]), [...drift.slice(0, 2), ["ShieldsUp", false, true], drift[2]]);
  assert.equal(rows("all").length, 5);
});

Deno.test("agent.schema.json in the repository is the schema of the table that checks files", async () => {
  const path = new URL("../../../agent.schema.json", import.meta.url);
  assert.equal(await Deno.readTextFile(path), schemaText(), "deno run main.ts config schema >agent.schema.json");
  const { properties, required } = configSchema() as { properties: Record<string, unknown>; required: string[] };
  assert.deepEqual(required, ["version"]);
  assert.deepEqual(Object.keys(properties).slice(1), [...CONFIG_NAMES]);
});
