import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { NodePrivate } from "../../base/keys.ts";
import { Profiles } from "../../daemon/profiles.ts";
import { EMPTY_PERSIST } from "../../daemon/persist.ts";
import { newPrefs } from "../../daemon/prefs.ts";
import { serverKeyStore } from "../../daemon/server_keys.ts";
import { MachinePrivate } from "../../base/keys.ts";
import { MemoryState, StateFile, StateFileError } from "../../daemon/state_file.ts";
import type { StateStore } from "../../daemon/state_file.ts";
import { SeededRandom } from "../support/random.ts";
import { TAILSCALE_PREFS, TAILSCALE_STATE } from "../support/tailscale_state.ts";

const WALL = Date.UTC(2026, 0, 1);

function profilesOf(store: StateStore, seed = 1): Profiles {
  return new Profiles(store, new SeededRandom(seed).bytes, () => WALL);
}

function loggedIn(loginName: string, nodeId: string) {
  const nodeKey = NodePrivate.generate(new SeededRandom(9).bytes);
  const userProfile = { ID: 7, LoginName: loginName, DisplayName: "" };
  return { ...newPrefs(), ControlURL: "https://hs", persist: { ...EMPTY_PERSIST, nodeKey, userProfile, nodeId } };
}

function text(store: StateStore, key: string): string | undefined {
  const bytes = store.read(key);
  return bytes && fromUtf8(bytes);
}

Deno.test("Profiles takes over a state file of tailscaled, and writes it back unchanged", () => {
  const directory = Deno.makeTempDirSync({ prefix: "agent-profiles-" });
  try {
    const path = `${directory}/tailscaled.state`;
    Deno.writeTextFileSync(path, TAILSCALE_STATE);
    const store = StateFile.open(path);
    const profiles = profilesOf(store);
    assert.equal(profiles.current.ID, "a1b2");
    assert.equal(profiles.prefs.persist?.nodeKey?.revealText().slice(0, 14), "privkey:101111");
    assert.equal(profiles.machineKey().revealText(), `privkey:${"3".repeat(62)}73`);
    profiles.setPrefs(profiles.prefs);
    store.close();
    const before = JSON.parse(TAILSCALE_STATE);
    const after = JSON.parse(Deno.readTextFileSync(path));
    assert.equal(after["profile-a1b2"], before["profile-a1b2"]);
    assert.equal(after["_current-profile"], before["_current-profile"]);
    assert.deepEqual(JSON.parse(atob(after._profiles)), JSON.parse(atob(before._profiles)));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("Profiles starts logged out, and stores nothing of a profile before control named the node", () => {
  const store = new MemoryState();
  const profiles = profilesOf(store);
  assert.deepEqual([profiles.prefs.LoggedOut, profiles.prefs.WantRunning], [true, false]);
  profiles.setPrefs({ ...profiles.prefs, WantRunning: true });
  assert.equal(profiles.prefs.WantRunning, true);
  assert.equal(store.read("_profiles"), undefined);
  assert.equal(store.read("_machinekey"), undefined);
  assert.match(profiles.machineKey().revealText(), /^privkey:/);
  assert.equal(text(store, "_machinekey"), profiles.machineKey().revealText());
});

Deno.test("Profiles.setPrefs() gives a profile its place at the first login, and keeps it over a restart", () => {
  const store = new MemoryState();
  const profiles = profilesOf(store);
  profiles.setPrefs(loggedIn("alice@example.com", "n1"), {
    MagicDNSName: "t.test",
    DomainName: "example.com",
    DisplayName: "",
  });
  const { ID, Key } = profiles.current;
  assert.match(ID, /^[0-9a-f]{4}$/);
  assert.equal(Key, `profile-${ID}`);
  assert.equal(text(store, "_current-profile"), Key);
  const again = profilesOf(store);
  assert.deepEqual(again.current, profiles.current);
  assert.equal(again.current.UserProfile.DisplayName, "alice@example.com");
  assert.equal(again.prefs.persist?.nodeKey?.public.hex, profiles.prefs.persist?.nodeKey?.public.hex);
});

Deno.test("Profiles.setPrefs() does not make a second profile for the same login", () => {
  const store = new MemoryState();
  const profiles = profilesOf(store);
  profiles.setPrefs(loggedIn("alice@example.com", "n1"));
  const { ID } = profiles.current;
  const restarted = profilesOf(store, 2);
  restarted.setPrefs({ ...loggedIn("alice@example.com", "n2") });
  assert.equal(restarted.current.ID, ID);
  assert.deepEqual(Object.keys(JSON.parse(text(store, "_profiles")!)), [ID]);
});

Deno.test("Profiles: another login beside the first; the one changed to is there after a restart", () => {
  const store = new MemoryState();
  const profiles = profilesOf(store);
  profiles.setPrefs({ ...loggedIn("alice@example.com", "n1"), Hostname: "one" });
  const first = profiles.current.ID;
  profiles.startNew();
  assert.deepEqual([profiles.prefs.LoggedOut, profiles.prefs.persist], [true, undefined]);
  assert.equal(profilesOf(store).current.ID, first, "nobody logged in yet");
  profiles.setPrefs({ ...loggedIn("bob@example.com", "n2"), ControlURL: "https://other", ProfileName: "work" });
  const second = profiles.current.ID;
  assert.notEqual(second, first);
  assert.deepEqual(profiles.list().map(({ ID, Name }) => [ID, Name]), [[first, "alice@example.com"], [second, "work"]]);
  assert.equal(profiles.switchTo(first), true);
  assert.equal(profilesOf(store).prefs.Hostname, "one");
  assert.equal(profiles.switchTo("ffff"), false);
  assert.equal(profiles.current.ID, first);
  profiles.delete(second);
  assert.equal(store.read(`profile-${second}`), undefined);
  assert.deepEqual(profilesOf(store).list().map(({ ID }) => ID), [first]);
});

Deno.test("Profiles: a profile with a place keeps it, whoever control says the node is", () => {
  const store = new MemoryState();
  const profiles = profilesOf(store);
  profiles.setPrefs(loggedIn("alice@example.com", "n1"));
  const first = profiles.current.ID;
  profiles.startNew();
  profiles.setPrefs({ ...loggedIn("bob@example.com", "n2"), ControlURL: "https://other" });
  const second = profiles.current.ID;
  profiles.setPrefs(loggedIn("alice@example.com", "n1"));
  assert.equal(profiles.current.ID, second);
  assert.deepEqual(profiles.list().map(({ ID }) => ID), [first, second]);
});

Deno.test("Profiles.switchTo() a profile that is damaged changes nothing", () => {
  const store = new MemoryState();
  const profiles = profilesOf(store);
  profiles.setPrefs(loggedIn("alice@example.com", "n1"));
  const first = profiles.current;
  profiles.startNew();
  profiles.setPrefs({ ...loggedIn("bob@example.com", "n2"), ControlURL: "https://other" });
  const second = profiles.current;
  store.write(first.Key, utf8("{"));
  assert.throws(() => profiles.switchTo(first.ID), StateFileError);
  assert.deepEqual([profiles.current, text(store, "_current-profile")], [second, second.Key]);
});

Deno.test("Profiles.forget() deletes keys and profile and begins anew", () => {
  const store = new MemoryState();
  const profiles = profilesOf(store);
  profiles.setPrefs(loggedIn("alice@example.com", "n1"));
  const { Key } = profiles.current;
  profiles.forget();
  assert.equal(store.read(Key), undefined);
  assert.equal(text(store, "_profiles"), "{}");
  assert.equal(profiles.prefs.persist, undefined);
  assert.equal(profilesOf(store).prefs.LoggedOut, true);
});

Deno.test("Profiles reads the preferences of versions before profiles", () => {
  const store = new MemoryState();
  store.write("_daemon", utf8(TAILSCALE_PREFS));
  assert.equal(profilesOf(store).prefs.Hostname, "h");
});

Deno.test("Profiles refuses damaged values and leaves them as they are", () => {
  const damaged: Record<string, string> = {
    _machinekey: "privkey:12",
    _profiles: "{",
    "profile-a1b2": '{"ControlURL": 3}',
  };
  for (const [key, value] of Object.entries(damaged)) {
    const store = new MemoryState();
    for (const [name, base64] of Object.entries<string>(JSON.parse(TAILSCALE_STATE))) {
      store.write(name, Uint8Array.fromBase64(base64));
    }
    store.write(key, utf8(value));
    assert.throws(() => profilesOf(store), (error) => error instanceof StateFileError && error.message.includes(key));
    assert.equal(text(store, key), value);
  }
});

Deno.test("serverKeyStore() keeps one key a URL and refuses a damaged record", () => {
  const store = new MemoryState();
  const keys = serverKeyStore(store);
  const key = MachinePrivate.generate(new SeededRandom(3).bytes).public;
  assert.equal(keys.load("https://a"), undefined);
  keys.save("https://a", key);
  assert.ok(serverKeyStore(store).load("https://a")?.equals(key));
  assert.equal(keys.load("https://b"), undefined);
  store.write("_agent-control-keys", utf8("[]"));
  assert.throws(() => keys.load("https://a"), StateFileError);
});
