import assert from "node:assert/strict";
import { CliError, UsageError } from "../../cli/exit_codes.ts";
import { parseFlags } from "../../cli/flags.ts";
import { asFlag, chooseSettings } from "../../cli/get.ts";
import type { Prefs, Status } from "../../cli/local_types.ts";
import { maskedPrefs, PREF_FLAGS, SET_ONLY_FLAGS } from "../../cli/pref_flags.ts";
import { applyEdits, controlUrl, prefWarnings, resetEdits } from "../../cli/prefs_merge.ts";
import { worthSaying } from "../../cli/health_lines.ts";
import { peer, prefs, status } from "./fixtures.ts";

const TABLE = { ...PREF_FLAGS, ...SET_ONLY_FLAGS };
const EXIT_ROUTES = ["0.0.0.0/0", "::/0"];
const TAILNET = status(
  {},
  peer({ DNSName: "gate.lab.ts.net.", ExitNodeOption: true, ID: "n9", TailscaleIPs: ["100.64.0.9"] }),
  peer({ PublicKey: "nodekey:03" }),
);

/** The fields a command line sets, and their values. */
function edits(line: string, current: Prefs = prefs(), now: Status = TAILNET): Record<string, unknown> {
  const { values, given } = parseFlags(TABLE, line.split(" "));
  const masked = maskedPrefs(values, given, current, now);
  const names = Object.keys(masked).filter((name) => name.endsWith("Set")).map((name) => name.slice(0, -3));
  assert.equal(Object.keys(masked).length, 2 * names.length);
  return Object.fromEntries(names.map((name) => [name, masked[name]]));
}

Deno.test("maskedPrefs() sets the fields of the flags given, and no others", () => {
  const cases: [string, Record<string, unknown>][] = [
    ["--accept-routes", { RouteAll: true }],
    ["--accept-dns=false", { CorpDNS: false }],
    ["--shields-up --ssh", { ShieldsUp: true, RunSSH: true }],
    ["--hostname=box.one", { Hostname: "box.one" }],
    ["--hostname=", { Hostname: "" }],
    ["--advertise-tags=web,tag:db", { AdvertiseTags: ["tag:web", "tag:db"] }],
    ["--advertise-tags=", { AdvertiseTags: [] }],
    ["--operator=alice", { OperatorUser: "alice" }],
    ["--snat-subnet-routes=false", { NoSNAT: true }],
    ["--stateful-filtering", { NoStatefulFiltering: false }],
    ["--netfilter-mode=nodivert", { NetfilterMode: 1 }],
    ["--report-posture", { PostureChecking: true }],
    ["--advertise-connector", { AppConnector: { Advertise: true } }],
    ["--nickname=lab --webclient", { ProfileName: "lab", RunWebClient: true }],
    ["--exit-node=", { ExitNodeID: "", ExitNodeIP: "", AutoExitNode: "" }],
    ["--exit-node=auto:any", { ExitNodeID: "", ExitNodeIP: "", AutoExitNode: "any" }],
    ["--exit-node=gate", { ExitNodeID: "n9", ExitNodeIP: "", AutoExitNode: "" }],
    ["--exit-node=100.64.0.9", { ExitNodeID: "", ExitNodeIP: "100.64.0.9", AutoExitNode: "" }],
    ["--relay-server-port=0", { RelayServerPort: 0 }],
    ["--relay-server-port=", { RelayServerPort: null }],
    ["--relay-server-static-endpoints=[2001:db8::1]:4,192.0.2.1:4", {
      RelayServerStaticEndpoints: ["192.0.2.1:4", "[2001:db8::1]:4"],
    }],
    ["--update-check=false", { AutoUpdate: { Check: false, Apply: null } }],
    ["--sync=false", { Sync: false }],
  ];
  for (const [line, fields] of cases) assert.deepEqual(edits(line), fields, line);
});

Deno.test("maskedPrefs() masks only the named half of AutoUpdate", () => {
  const { values, given } = parseFlags(TABLE, ["--auto-update"]);
  const masked = maskedPrefs(values, given, prefs(), TAILNET);
  assert.deepEqual(masked, {
    AutoUpdate: { Check: true, Apply: true },
    AutoUpdateSet: { CheckSet: false, ApplySet: true },
  });
});

Deno.test("advertised routes and the offered exit node are one field, changed one by one", () => {
  const both = prefs({ AdvertiseRoutes: [...EXIT_ROUTES, "10.0.0.0/8"] });
  assert.deepEqual(edits("--advertise-routes=10.1.0.0/16", both).AdvertiseRoutes, [...EXIT_ROUTES, "10.1.0.0/16"]);
  assert.deepEqual(edits("--advertise-exit-node=false", both).AdvertiseRoutes, ["10.0.0.0/8"]);
  assert.deepEqual(edits("--advertise-routes=", both).AdvertiseRoutes, EXIT_ROUTES);
  assert.deepEqual(edits("--advertise-exit-node").AdvertiseRoutes, EXIT_ROUTES);
  assert.deepEqual(edits("--advertise-routes=fd00::/8,10.0.0.0/8,10.0.0.0/8").AdvertiseRoutes, [
    "10.0.0.0/8",
    "fd00::/8",
  ]);
});

Deno.test("maskedPrefs() refuses values that cannot be meant", () => {
  const cases: [string, RegExp][] = [
    ["--hostname=-x", /not a valid host name/],
    ["--hostname=a..b", /not a valid host name/],
    ["--advertise-tags=tag:1x", /must start with a letter/],
    ["--advertise-tags=group:x", /must start with a letter/],
    ["--advertise-routes=10.0.0.1/8", /non-address bits set; expected 10\.0\.0\.0\/8/],
    ["--advertise-routes=10.0.0.1", /not a valid IP address or CIDR prefix/],
    ["--advertise-routes=0.0.0.0/0", /--advertise-exit-node/],
    ["--netfilter-mode=maybe", /on, nodivert or off/],
    ["--exit-node=nobody", /no node is called "nobody"/],
    ["--exit-node=two", /does not offer to be an exit node/],
    ["--exit-node=one", /it is this node; did you mean --advertise-exit-node/],
    ["--exit-node=100.64.0.1", /it is this node/],
    ["--exit-node=100.64.0.2", /not advertising an exit node/],
    ["--exit-node=100.64.7.7", /no node found in netmap/],
    ["--exit-node-allow-lan-access", /only be used with --exit-node/],
    ["--relay-server-port=70000", /is not a port/],
    ["--relay-server-static-endpoints=192.0.2.1", /not a valid IP:port/],
  ];
  for (const [line, text] of cases) assert.throws(() => edits(line), text, line);
  assert.throws(() => edits("--hostname=_"), UsageError);
  assert.throws(() => edits("--exit-node=auto:all"), /invalid value "auto:all" for flag --exit-node: want .* auto:any/);
  // Understood, and not to be had: exit code 1.
  for (const node of ["nobody", "two", "one", "100.64.0.1", "100.64.0.2", "100.64.7.7"]) {
    assert.throws(() => edits(`--exit-node=${node}`), (error) => error instanceof CliError && error.code === 1, node);
  }
});

Deno.test("applyEdits() changes what is masked; resetEdits() gives up's defaults", () => {
  const current = prefs({ Hostname: "box", ShieldsUp: true, AdvertiseTags: ["tag:a"], ProfileName: "lab" });
  const next = applyEdits(current, { Hostname: "new", HostnameSet: true, ShieldsUp: false });
  assert.deepEqual([next.Hostname, next.ShieldsUp, current.Hostname], ["new", true, "box"]);
  const reset = applyEdits(current, resetEdits());
  assert.deepEqual([reset.Hostname, reset.ShieldsUp, reset.AdvertiseTags, reset.ProfileName], ["", false, null, "lab"]);
  const updates = applyEdits(current, {
    AutoUpdate: { Check: false, Apply: true },
    AutoUpdateSet: { CheckSet: false, ApplySet: true },
  });
  assert.deepEqual(updates.AutoUpdate, { Check: true, Apply: true });
});

Deno.test("controlUrl() knows Tailscale's two names and final slashes", () => {
  const tailscale = "https://controlplane.tailscale.com";
  assert.deepEqual(["", "https://login.tailscale.com/", `${tailscale}/`, "http://c:1/"].map(controlUrl), [
    tailscale,
    tailscale,
    tailscale,
    "http://c:1",
  ]);
});

Deno.test("prefWarnings() names what will surprise", () => {
  const off = prefs({ NetfilterMode: 0, NoSNAT: true, AdvertiseRoutes: EXIT_ROUTES });
  assert.equal(prefWarnings(off, new Set()).length, 1);
  assert.match(prefWarnings(off, new Set(["netfilter-mode"])).join("\n"), /netfilter=off; configure iptables yourself/);
});

Deno.test("worthSaying() repeats what concerns the flags just given", () => {
  const health = [
    "--accept-dns and --ssh are set but not implemented in this version.",
    "Some peers are advertising routes but --accept-routes is false",
    "Relay is far away.",
  ];
  assert.deepEqual(worthSaying(health, new Set()), [health[1]]);
  assert.deepEqual(worthSaying(health, new Set(["ssh"])), [health[0], health[1]]);
  assert.deepEqual(worthSaying(health, new Set(["accept"])), [health[1]]);
});

Deno.test("get shows every setting under the name set has, as flags that set reads back", () => {
  const current = prefs({ ExitNodeID: "n9", Hostname: "my box", AdvertiseRoutes: [...EXIT_ROUTES, "10.0.0.0/8"] });
  const all = chooseSettings(current, TAILNET, undefined);
  const names = Object.entries(TABLE).filter(([, spec]) => !("hidden" in spec)).map(([name]) => name).sort();
  assert.deepEqual(all.map(([name]) => name), names);
  const values = Object.fromEntries(all);
  assert.deepEqual(
    [values["exit-node"], values["advertise-routes"], values["advertise-exit-node"], values["stateful-filtering"]],
    ["100.64.0.9", "10.0.0.0/8", true, false],
  );
  assert.equal(asFlag(["hostname", "my box"]), "--hostname='my box'");
  assert.equal(asFlag(["ssh", true]), "--ssh");
  assert.equal(asFlag(["ssh", false]), "--ssh=false");
  assert.deepEqual(chooseSettings(current, TAILNET, "sync"), [["sync", false]]);
  assert.throws(() => chooseSettings(current, TAILNET, "nosuch"), /unknown setting "nosuch"/);
});
