import assert from "node:assert/strict";
import {
  applyChange,
  change,
  changedPrefs,
  controlUrl,
  DEFAULT_CONTROL_URL,
  newPrefs,
  publicPrefs,
  readMaskedPrefs,
  readPrefs,
  savedPrefsText,
} from "../../daemon/prefs.ts";
import type { MaskedPrefs, Prefs } from "../../daemon/prefs.ts";
import { checkPrefs } from "../../daemon/check_prefs.ts";
import { PREF_FIELDS, PREF_NAMES } from "../../daemon/pref_fields.ts";
import { settingsWithoutEffect } from "../../daemon/unimplemented.ts";
import { TAILSCALE_NEW_PREFS, TAILSCALE_PREFS } from "../support/tailscale_state.ts";

function saved(text: string): Prefs {
  const prefs = readPrefs(JSON.parse(text), "saved");
  assert.ok(typeof prefs === "object", String(prefs));
  return prefs;
}

function masked(value: unknown): MaskedPrefs {
  const read = readMaskedPrefs(value);
  assert.ok(typeof read === "object", String(read));
  return read;
}

Deno.test("newPrefs() are Go's NewPrefs, field for field and in order", () => {
  // The one difference: whether packets into the tunnel are filtered by state is not said, which is a third thing here.
  const expected = TAILSCALE_NEW_PREFS.replace('"NoStatefulFiltering":true', '"NoStatefulFiltering":null');
  assert.equal(JSON.stringify(publicPrefs(newPrefs())), expected);
});

Deno.test("savedPrefsText() gives back byte for byte what Tailscale wrote", () => {
  assert.equal(savedPrefsText(saved(TAILSCALE_PREFS)), TAILSCALE_PREFS);
});

Deno.test("readPrefs() and savedPrefsText() keep fields of other versions", () => {
  const future = { ...JSON.parse(TAILSCALE_PREFS), NewThing: { A: [1] } };
  future.Config.AttestationKey = "x";
  const again = JSON.parse(savedPrefsText(saved(JSON.stringify(future))));
  assert.deepEqual(again, future);
});

Deno.test("publicPrefs() and every way of printing preferences keep the keys out", () => {
  const prefs = saved(TAILSCALE_PREFS);
  for (const text of [JSON.stringify(publicPrefs(prefs)), Deno.inspect(prefs, { depth: 9 }), JSON.stringify(prefs)]) {
    assert.ok(!text.includes("1111111111"), text);
    assert.ok(!text.includes("9d61b19deffd"), text);
  }
  const config = publicPrefs(prefs).Config as Record<string, string>;
  assert.equal(config.PrivateNodeKey, `privkey:${"0".repeat(64)}`);
  assert.equal(config.NetworkLockKey, `nlpriv:${"0".repeat(128)}`);
  assert.equal(config.NodeID, "nABC");
});

Deno.test("readPrefs() reads zero keys as none and refuses damaged ones without naming them", () => {
  const zero = saved(JSON.stringify({ Config: publicPrefs(saved(TAILSCALE_PREFS)).Config }));
  assert.equal(zero.persist?.nodeKey, undefined);
  assert.equal(zero.persist?.lockKey, undefined);
  assert.match(
    String(readPrefs({ Config: { PrivateNodeKey: "privkey:12" } }, "saved")),
    /PrivateNodeKey is not a key$/,
  );
});

Deno.test("readPrefs() fills absent fields with what a profile starts with, or with Go's zeros for a request", () => {
  assert.equal(saved("{}").CorpDNS, true);
  assert.equal((readPrefs({}, "sent") as Prefs).CorpDNS, false);
  assert.equal((readPrefs({}, "sent") as Prefs).NetfilterMode, 0);
});

Deno.test("readPrefs() names the field that has the wrong type", () => {
  const wrong: Record<string, unknown> = {
    ControlURL: 1,
    RouteAll: "yes",
    ExitNodeIP: "nowhere",
    AdvertiseTags: "tag:a",
    AdvertiseRoutes: ["10.0.0.0"],
    NetfilterMode: "on",
    AutoUpdate: true,
    AppConnector: { Advertise: 1 },
    RelayServerPort: 70000,
    RelayServerStaticEndpoints: ["1.2.3.4"],
    DriveShares: {},
  };
  for (const [name, value] of Object.entries(wrong)) {
    assert.match(String(readPrefs({ [name]: value }, "sent")), new RegExp(`^${name} has the wrong type`));
  }
  assert.equal(readPrefs([], "sent"), "the preferences are not an object");
});

Deno.test("readMaskedPrefs() takes only what its mask names", () => {
  const read = masked({ WantRunning: true, WantRunningSet: true, Hostname: "x", CorpDNSSet: true, FutureSet: true });
  assert.deepEqual(read.values, { WantRunning: true, CorpDNS: false });
  assert.equal(typeof readMaskedPrefs({ WantRunningSet: "yes" }), "string");
});

Deno.test("applyChange() sets the halves of AutoUpdate apart", () => {
  const old: Prefs = { ...newPrefs(), AutoUpdate: { Check: true, Apply: null } };
  const next = applyChange(
    old,
    masked({ AutoUpdate: { Check: false, Apply: false }, AutoUpdateSet: { ApplySet: true } }),
  );
  assert.deepEqual(next.AutoUpdate, { Check: true, Apply: false });
});

Deno.test("applyChange() ends the automatic choice of an exit node when one is named", () => {
  const old: Prefs = { ...newPrefs(), AutoExitNode: "any", ExitNodeID: "n1", InternalExitNodePrior: "n0" };
  assert.equal(applyChange(old, change({ ExitNodeID: "n2" })).AutoExitNode, "");
  const none = applyChange(old, change({ ExitNodeID: "" }));
  assert.deepEqual([none.ExitNodeID, none.InternalExitNodePrior], ["", ""]);
  assert.equal(applyChange(old, change({ Hostname: "x" })).AutoExitNode, "any");
});

Deno.test("changedPrefs() takes no list and an empty list for the same", () => {
  assert.deepEqual(changedPrefs(newPrefs(), { ...newPrefs(), AdvertiseTags: [] }), []);
  assert.deepEqual(changedPrefs(newPrefs(), { ...newPrefs(), AdvertiseTags: ["tag:a"], ShieldsUp: true }), [
    "ShieldsUp",
    "AdvertiseTags",
  ]);
});

Deno.test("PREF_FIELDS has a default of the right type for every field", () => {
  assert.equal(PREF_NAMES.length, 34);
  for (const name of PREF_NAMES) {
    const field = PREF_FIELDS[name];
    for (const value of [field.zero, ...("initial" in field ? [field.initial] : [])]) {
      assert.equal(typeof readPrefs({ [name]: value }, "sent"), "object", name);
    }
  }
});

Deno.test("controlUrl() fills in Tailscale's own server", () => {
  for (const url of ["", "https://login.tailscale.com", DEFAULT_CONTROL_URL]) {
    assert.equal(controlUrl({ ...newPrefs(), ControlURL: url }), DEFAULT_CONTROL_URL);
  }
  assert.equal(controlUrl({ ...newPrefs(), ControlURL: "https://hs.example.com/" }), "https://hs.example.com");
});

Deno.test("checkPrefs() says what is wrong in Tailscale's words", () => {
  const errors = (values: Partial<Prefs>) => checkPrefs({ ...newPrefs(), ...values });
  assert.deepEqual(errors({}), []);
  assert.deepEqual(errors({ AdvertiseRoutes: ["10.0.0.1/8"] }), [
    "route 10.0.0.1/8 has non-address bits set; expected 10.0.0.0/8",
  ]);
  assert.deepEqual(errors({ ExitNodeIP: "100.64.0.1", AdvertiseRoutes: ["0.0.0.0/0", "::/0"] }), [
    "Cannot advertise an exit node and use an exit node at the same time.",
  ]);
  for (const url of ["file:///etc/passwd", "javascript:1", "hs.example.com", "ftp://x"]) {
    assert.equal(errors({ ControlURL: url }).length, 1, url);
  }
  assert.equal(errors({ AdvertiseTags: ["tag:ok", "server", "tag:", "tag:1x", "tag:a b"] }).length, 4);
});

Deno.test("settingsWithoutEffect() names the flags that do nothing yet", () => {
  assert.equal(settingsWithoutEffect(newPrefs()), "");
  assert.equal(settingsWithoutEffect({ ...newPrefs(), RunSSH: true }), "--ssh is");
  const via = { ...newPrefs(), AdvertiseRoutes: ["10.0.0.0/8", "fd7a:115c:a1e0:b1a:0:7:a02:0/120"] };
  assert.equal(settingsWithoutEffect(via), "a 4via6 route of --advertise-routes is");
  const more = { ...newPrefs(), RunSSH: true, RunWebClient: true, PostureChecking: true };
  assert.equal(settingsWithoutEffect(more), "--ssh, --webclient and --report-posture are");
});
