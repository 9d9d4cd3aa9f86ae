import assert from "node:assert/strict";
import { resolveAuthKey } from "../../cli/auth_key.ts";
import { parseFlags } from "../../cli/flags.ts";
import type { Prefs, Status } from "../../cli/local_types.ts";
import { PREF_FLAGS } from "../../cli/pref_flags.ts";
import { planUp } from "../../cli/up_plan.ts";
import type { UpPlan, UpRequest } from "../../cli/up_plan.ts";
import { prefs, status } from "./fixtures.ts";

function plan(line: string, now: Partial<Status>, current: Partial<Prefs> = {}, more: Partial<UpRequest> = {}): UpPlan {
  const { values, given } = parseFlags(PREF_FLAGS, line === "" ? [] : line.split(" "));
  const request: UpRequest = {
    values,
    given,
    loginServer: undefined,
    hasAuthKey: false,
    forceReauth: false,
    reset: false,
    ...more,
  };
  return planUp(request, status(now), prefs(current));
}

const FRESH: Partial<Status> = { BackendState: "NeedsLogin", HaveNodeKey: false };

Deno.test("up on a running node is an edit, and of nothing but what was named", () => {
  const { kind, ...rest } = plan("--hostname=box", {}, { ShieldsUp: true });
  assert.equal(kind, "edit");
  assert.ok("edits" in rest);
  assert.deepEqual(rest.edits, { Hostname: "box", HostnameSet: true, WantRunning: true, WantRunningSet: true });
  assert.equal(rest.prefs.ShieldsUp, true);
});

Deno.test("up on a node that is down connects it with its settings kept", () => {
  const p = plan("--ssh", { BackendState: "Stopped" }, { WantRunning: false, Hostname: "box" });
  assert.equal(p.kind, "resume");
  assert.equal(p.kind === "resume" && p.login, false);
  assert.deepEqual([p.prefs.Hostname, p.prefs.RunSSH, p.prefs.WantRunning], ["box", true, true]);
});

Deno.test("up starts anew for a new key, server, tags, or a login", () => {
  assert.deepEqual([plan("", FRESH).kind, (plan("", FRESH) as { login: boolean }).login], ["start", true]);
  assert.equal(plan("", {}, {}, { hasAuthKey: true }).kind, "start");
  assert.equal(plan("--advertise-tags=a", {}).kind, "start");
  assert.equal(plan("--advertise-tags=a", {}, { AdvertiseTags: ["tag:a"] }).kind, "edit");
  const expired = plan("", { BackendState: "NeedsLogin", HaveNodeKey: true });
  assert.deepEqual(expired.kind === "start" && expired.login, false);
  const again = plan("", {}, {}, { forceReauth: true });
  assert.deepEqual(again.kind === "start" && again.login, true);
  const moved = plan("", { BackendState: "Stopped" }, {}, { loginServer: "http://other" });
  assert.deepEqual([moved.kind, moved.prefs.ControlURL], ["start", "http://other"]);
  assert.equal(plan("", {}, {}, { loginServer: "https://control.example/" }).kind, "edit");
});

Deno.test("up goes on with a login that waits", () => {
  const p = plan("--hostname=box", { ...FRESH, AuthURL: "https://control.example/a/1" });
  assert.deepEqual(p.kind === "resume" && [p.login, p.edits.Hostname], [true, "box"]);
  assert.equal(plan("", { ...FRESH, AuthURL: "https://c/a/1" }, {}, { hasAuthKey: true }).kind, "start");
});

Deno.test("up refuses to move a running node to another server without --force-reauth", () => {
  assert.throws(() => plan("", {}, {}, { loginServer: "http://other" }), /can't change --login-server without/);
  assert.equal(plan("", {}, {}, { loginServer: "http://other", forceReauth: true }).kind, "start");
});

Deno.test("up --reset gives unnamed settings, and the server, their defaults", () => {
  const current = {
    ControlURL: "https://controlplane.tailscale.com",
    ShieldsUp: true,
    Hostname: "box",
    CorpDNS: false,
  };
  const p = plan("--hostname=new", {}, current, { reset: true });
  assert.equal(p.kind, "edit");
  assert.deepEqual([p.prefs.ShieldsUp, p.prefs.Hostname, p.prefs.CorpDNS], [false, "new", true]);
  assert.deepEqual(p.kind === "edit" && [p.edits.ShieldsUp, p.edits.ShieldsUpSet, p.edits.Hostname], [
    false,
    true,
    "new",
  ]);
  const elsewhere = plan("", { BackendState: "Stopped" }, {}, { reset: true });
  assert.deepEqual([elsewhere.kind, elsewhere.prefs.ControlURL], ["start", "https://controlplane.tailscale.com"]);
  const kept = plan("", {}, {}, { reset: true, loginServer: "https://control.example" });
  assert.equal(kept.kind, "edit");
});

Deno.test("resolveAuthKey() reads files, refuses other stores, and shows the key to nobody", () => {
  const file = (path: string) => {
    if (path === "/key") return " tskey-auth-x\n";
    if (path === "/empty") return "\n";
    throw new Deno.errors.NotFound(`no file ${path}`);
  };
  assert.equal(resolveAuthKey("", file), undefined);
  assert.equal(resolveAuthKey("tskey-auth-y", file)?.reveal(), "tskey-auth-y");
  assert.equal(resolveAuthKey("file:/key", file)?.reveal(), "tskey-auth-x");
  assert.equal(String(resolveAuthKey("file:/key", file)), "[redacted]");
  assert.throws(() => resolveAuthKey("file:/empty", file), /\/empty is empty/);
  assert.throws(() => resolveAuthKey("file:/nosuch", file), /Cannot read the auth key \/nosuch: no file/);
  assert.throws(() => resolveAuthKey("arn:aws:ssm:x", file), /not offered/);
  assert.throws(() => resolveAuthKey("tskey-client-secret", file), (error: Error) => !/secret$/.test(error.message));
});

Deno.test("up names a peer relay server as set does, keeps it when it is not named, and --reset ends it", () => {
  const p = plan("--relay-server-port=0 --relay-server-static-endpoints=192.0.2.1:7,[2001:db8::1]:7", {});
  assert.deepEqual([p.prefs.RelayServerPort, p.prefs.RelayServerStaticEndpoints], [0, [
    "192.0.2.1:7",
    "[2001:db8::1]:7",
  ]]);
  const current = { RelayServerPort: 7777, ControlURL: "https://controlplane.tailscale.com" };
  assert.equal(plan("--ssh", {}, current).prefs.RelayServerPort, 7777);
  assert.equal(plan("--relay-server-port=", {}, current).prefs.RelayServerPort, null);
  assert.equal(plan("", {}, current, { reset: true }).prefs.RelayServerPort, null);
  assert.throws(() => plan("--relay-server-port=70000", {}), /"70000" is not a port/);
});
