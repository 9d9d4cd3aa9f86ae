/** A configuration over a whole node in memory: start, reload, a bad file, a locked one. */
import assert from "node:assert/strict";
import { Secret } from "../../../base/secret.ts";
import { configuredFlags } from "../../../daemon/config/daemon_flags.ts";
import { Declared } from "../../../daemon/config/declared.ts";
import type { DeclaredOptions } from "../../../daemon/config/declared.ts";
import { loadConfig } from "../../../daemon/config/load.ts";
import { CONFIG_LOCKED } from "../../../daemon/backend_options.ts";
import { createLog } from "../../../daemon/log.ts";
import { change } from "../../../daemon/prefs.ts";
import { localApiRoutes } from "../../../daemon/localapi/routes.ts";
import { MemoryState, StateFileError } from "../../../daemon/state_file.ts";
import { testNetmap } from "../../support/fake_control.ts";
import { TestNode } from "../../support/test_node.ts";

const SOURCE = { path: "/etc/agent/agent.json", optional: true };

/** A node with a file that a test writes. */
class DeclaredNode implements AsyncDisposable {
  readonly node: TestNode;
  readonly declared: Declared;
  readonly logged: string[] = [];
  file: string | undefined;
  logLevel = "";

  constructor(file: string | undefined, store = new MemoryState(), more: Partial<DeclaredOptions> = {}) {
    this.file = file;
    this.node = new TestNode({ store });
    const log = createLog({ verbose: 1, wall: () => 0, bare: true, write: (line) => this.logged.push(line) });
    const load = () =>
      loadConfig(SOURCE, () => {
        if (this.file === undefined) throw new Deno.errors.NotFound("gone");
        return new TextEncoder().encode(this.file);
      });
    this.declared = new Declared({
      source: SOURCE,
      first: load(),
      load,
      backend: this.node.backend,
      store,
      log,
      instance: "",
      flagEndpoints: ["192.0.2.9:9"],
      setLogLevel: (level) => this.logLevel = level,
      ...more,
    });
  }

  get health(): string[] {
    return this.node.backend.healthStrings();
  }

  async start(): Promise<void> {
    await this.declared.start();
    await this.node.settle();
  }

  async reload(file: string) {
    this.file = file;
    const result = await this.declared.reload();
    await this.node.settle();
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
  }
}

const SERVER = '"version": "alpha0", "ServerURL": "https://control.test"';

Deno.test("a node starts by its file alone, and logs in by the key that the file names", async () => {
  await using one = new DeclaredNode(
    `{${SERVER}, "AuthKey": "file:/run/key", "Hostname": "web1", "LogLevel": "debug", "StaticEndpoints": ["192.0.2.1:1"]}`,
    undefined,
    { readFile: (path) => `key-of-${path}\n` },
  );
  await one.start();
  const { backend, control } = one.node;
  assert.equal(backend.prefs.Hostname, "web1");
  assert.equal(backend.prefs.WantRunning, true);
  assert.equal(backend.prefs.LoggedOut, false);
  assert.equal(backend.prefs.ControlURL, "https://control.test");
  assert.equal(control.registered.at(-1)?.authKey?.reveal(), "key-of-/run/key");
  assert.equal(one.logLevel, "debug");
  const { Settings, InUse, Locked, Problem } = one.declared.state;
  assert.deepEqual([InUse, Locked, Problem, Settings.StaticEndpoints], [true, true, "", ["192.0.2.1:1"]]);
});

Deno.test("a key of the environment serves a file without one", async () => {
  await using one = new DeclaredNode(`{${SERVER}}`, undefined, { authKey: new Secret("from-env") });
  await one.start();
  assert.equal(one.node.control.registered.at(-1)?.authKey?.reveal(), "from-env");
});

Deno.test("reload changes what the file changed; a bad file changes nothing and says why until a good one comes", async () => {
  await using one = new DeclaredNode(`{${SERVER}, "AuthKey": "k", "Hostname": "web1", "ShieldsUp": true}`);
  await one.start();
  const { backend } = one.node;
  const before = backend.prefs;
  const bad = await one.reload(`{${SERVER},\n "Hostnam": "web2"}`);
  assert.deepEqual(bad, {
    Reloaded: false,
    Err: '/etc/agent/agent.json:2:2: unknown key "Hostnam"; did you mean "Hostname"?',
  });
  assert.equal(backend.prefs, before);
  const warning = one.health.find((text) => text.includes("agent.json"));
  assert.match(warning ?? "", /node stays as it was: .*did you mean "Hostname"\?$/);
  assert.equal(one.logged.filter((line) => line.includes("configuration not reloaded")).length, 1);
  assert.equal(one.declared.state.InUse, true, "the one before stays in force");

  assert.deepEqual(await one.reload(`{${SERVER}, "Hostname": "web2"}`), { Reloaded: true, Err: "" });
  assert.deepEqual(
    [backend.prefs.Hostname, backend.prefs.ShieldsUp],
    ["web2", false],
    "what was taken out is taken back",
  );
  assert.equal(one.health.find((text) => text.includes("agent.json")), undefined);
});

Deno.test("static endpoints of the file join those of the flag, and go with it", async () => {
  await using one = new DeclaredNode(`{${SERVER}, "AuthKey": "k", "StaticEndpoints": ["192.0.2.1:1"]}`);
  one.node.control.netmap = testNetmap([]);
  await one.start();
  await one.node.goLive();
  const named = () => one.node.backend.endpoints.filter(({ type }) => type === 5).map(({ addr }) => addr);
  assert.deepEqual(named(), ["192.0.2.9:9", "192.0.2.1:1"]);
  await one.reload(`{${SERVER}, "StaticEndpoints": ["192.0.2.2:2"]}`);
  assert.deepEqual(named(), ["192.0.2.9:9", "192.0.2.2:2"]);
  await one.reload(`{${SERVER}}`);
  assert.deepEqual(named(), ["192.0.2.9:9"]);
});

Deno.test("while a locked file is in force nobody else changes the node; an unlocked one lets them", async () => {
  await using one = new DeclaredNode(`{${SERVER}, "AuthKey": "k", "Hostname": "web1"}`);
  await one.start();
  const { backend } = one.node;
  const locked = { message: CONFIG_LOCKED };
  assert.throws(() => backend.editPrefs(change({ Hostname: "x" })), locked);
  await assert.rejects(backend.start({ updatePrefs: { ...backend.prefs, Hostname: "x" } }), locked);
  await assert.rejects(backend.newProfile(), locked);
  await assert.rejects(backend.logout(new AbortController().signal), locked);
  const routes = localApiRoutes(backend, one.declared);
  const request = (method: string, body: unknown) =>
    ({ method, caller: { canWrite: true }, json: () => Promise.resolve(body) }) as never;
  const said = async (name: string, method: string, body: unknown) =>
    (await routes[name](request(method, body)) as { text: string }).text;
  assert.match(await said("check-prefs", "POST", { Hostname: "x" }), /"Error": "can't reconfigure tailscaled/);
  assert.equal(await said("agent/lock/policy", "POST", { required: true }), `${CONFIG_LOCKED}\n`);
  assert.equal(backend.prefs.Hostname, "web1");
  assert.equal(one.node.control.registered.length, 1);

  await one.reload(`{${SERVER}, "Locked": false, "Hostname": "web1"}`);
  assert.equal(backend.editPrefs(change({ Hostname: "x" })).Hostname, "x");
  assert.deepEqual(JSON.parse(await said("reload-config", "POST", undefined)), { Reloaded: true, Err: "" });
  assert.equal(backend.prefs.Hostname, "web1", "a reload puts back what the file names");
});

Deno.test("what a file named last is taken back after a restart too; what it never named stays", async () => {
  const store = new MemoryState();
  {
    await using one = new DeclaredNode(`{${SERVER}, "AuthKey": "k", "Locked": false, "acceptRoutes": true}`, store);
    // A profile has its place in the store once control has said who it is.
    one.node.control.netmap = testNetmap([]);
    await one.start();
    assert.equal(one.node.backend.prefs.RouteAll, true);
    one.node.backend.editPrefs(change({ ShieldsUp: true }));
  }
  await using again = new DeclaredNode(`{${SERVER}}`, store);
  await again.start();
  const { RouteAll, ShieldsUp } = again.node.backend.prefs;
  assert.deepEqual([RouteAll, ShieldsUp], [false, true]);
});

Deno.test("an optional file that is not there leaves the node as it is; one that comes is taken at a reload", async () => {
  await using one = new DeclaredNode(undefined);
  await one.start();
  assert.equal(one.declared.state.InUse, false);
  assert.deepEqual(await one.declared.reload(), { Reloaded: false, Err: "" });
  one.node.backend.editPrefs(change({ Hostname: "mine" }));
  await one.reload(`{${SERVER}, "AuthKey": "k"}`);
  assert.equal(one.node.backend.prefs.Hostname, "mine");
  assert.equal(one.node.control.registered.length, 1, "a node that waits for its login logs in");
  one.file = undefined;
  assert.deepEqual(await one.declared.reload(), { Reloaded: false, Err: "" });
  assert.equal(one.node.backend.configLocked, false);
});

Deno.test("a file that does not go together with what the node had leaves it running as it did, and locks nothing", async () => {
  await using one = new DeclaredNode(`{${SERVER}, "exitNode": "100.64.0.9"}`);
  assert.equal(one.node.backend.configLocked, true, "nobody slips in before the start");
  one.node.backend.editPrefs(change({ AdvertiseRoutes: ["0.0.0.0/0", "::/0"] }), "config");
  await one.start();
  assert.match(one.declared.state.Problem, /runs as it did before: Cannot advertise an exit node and use/);
  assert.equal(one.node.control.urls.length, 1, "the node has begun");
  assert.equal(one.declared.state.Locked, false);
  assert.equal(one.node.backend.editPrefs(change({ Hostname: "mine" })).Hostname, "mine", "there is a way to mend it");
  const { Reloaded } = await one.reload(`{${SERVER}, "exitNode": "100.64.0.9", "AdvertiseExitNode": false}`);
  assert.deepEqual([Reloaded, one.declared.state.Problem], [true, ""]);
  assert.equal(one.node.backend.prefs.ExitNodeIP, "100.64.0.9");
});

Deno.test("keys that count from the next start on are named until then", async () => {
  await using one = new DeclaredNode(`{${SERVER}, "AuthKey": "k"}`);
  await one.start();
  await one.reload(`{${SERVER}, "Port": 7}`);
  assert.equal(one.declared.state.Problem, "Port: counts from the next start of the daemon on");
  await one.reload(`{${SERVER}}`);
  assert.equal(one.declared.state.Problem, "");
});

Deno.test("flags count for more than the file; an instance has to be the same", () => {
  const load = (config: Record<string, unknown>) => () =>
    loadConfig(SOURCE, () => new TextEncoder().encode(JSON.stringify({ version: "alpha0", ...config })));
  const flagsOf = (args: string[], config: Record<string, unknown>) =>
    configuredFlags(["--config", "/x.json", ...args], "agent", load(config));
  const work = flagsOf([], {
    Instance: "work",
    Port: 7,
    CAFile: "/ca.pem",
    LogFormat: "json",
    ExpiryWarning: "2d",
    ExpiryHook: "/hook",
  });
  assert.ok(work.kind === "run");
  const { instance, port, caFile, socket, logFormat, expiryWarningMs, expiryHook } = work.flags;
  assert.deepEqual([logFormat, expiryWarningMs, expiryHook], ["json", 2 * 86_400_000, "/hook"]);
  assert.deepEqual([instance.name, port, caFile, socket], ["work", 7, "/ca.pem", "/run/agent-work/agent.sock"]);
  const named = flagsOf(["--port=8"], { Port: 7 });
  assert.equal(named.kind === "run" && named.flags.port, 8);
  assert.deepEqual(flagsOf(["--instance", "home"], { Instance: "work" }), {
    kind: "error",
    message: 'Cannot use --instance home: /x.json says "Instance": "work"',
  });
  assert.equal(flagsOf([], { Port: -1 }).kind, "bad-config");
  assert.equal(flagsOf(["--cleanup"], { Port: -1 }).kind, "run");
});

/** A store that keeps what it held after each write. */
class Remembering extends MemoryState {
  readonly moments: Map<string, Uint8Array>[] = [];
  readonly #now = new Map<string, Uint8Array>();

  override write(key: string, value: Uint8Array | undefined): void {
    super.write(key, value);
    if (value === undefined) this.#now.delete(key);
    else this.#now.set(key, value);
    this.moments.push(new Map(this.#now));
  }
}

function storeOf(state: ReadonlyMap<string, Uint8Array>): MemoryState {
  const store = new MemoryState();
  for (const [key, value] of state) store.write(key, value);
  return store;
}

Deno.test("a crash at any moment of a reload leaves nothing behind that no file names any more", async () => {
  const store = new Remembering();
  const tlpub = `tlpub:${"ab".repeat(32)}`;
  {
    await using one = new DeclaredNode(
      `{${SERVER}, "AuthKey": "k", "acceptRoutes": true, "LockRequired": true, "Hostname": "web1"}`,
      store,
    );
    one.node.control.netmap = testNetmap([]);
    await one.start();
    store.moments.splice(0, store.moments.length - 1);
    assert.ok((await one.reload(`{${SERVER}, "ShieldsUp": true, "LockPins": ["${tlpub}"]}`)).Reloaded);
    const { RouteAll, ShieldsUp, Hostname } = one.node.backend.prefs;
    assert.deepEqual([RouteAll, ShieldsUp, Hostname], [false, true, ""]);
  }
  assert.ok(store.moments.length >= 5, `${store.moments.length} writes`);
  for (const [i, state] of store.moments.entries()) {
    await using after = new DeclaredNode(`{${SERVER}}`, storeOf(state));
    after.node.control.netmap = testNetmap([]);
    await after.start();
    const { prefs: { RouteAll, ShieldsUp, Hostname }, lock: { policy } } = after.node.backend;
    assert.deepEqual(
      { RouteAll, ShieldsUp, Hostname, ...policy },
      { RouteAll: false, ShieldsUp: false, Hostname: "", required: false, pins: [] },
      `after write ${i}`,
    );
    assert.deepEqual(after.declared.state.Applied, ["version", "ServerURL"]);
  }
});

Deno.test("a store that fails keeps nothing of a file from being in force, and a restart takes back what it knows of", async () => {
  for (const failing of ["_agent-lock-policy", "_agent-config", "profile-"]) {
    const store = new Remembering();
    const write = store.write.bind(store);
    {
      await using one = new DeclaredNode(`{${SERVER}, "AuthKey": "k", "acceptRoutes": true}`, store);
      one.node.control.netmap = testNetmap([]);
      await one.start();
      let fails = true;
      store.write = (key, value) => {
        if (fails && key.startsWith(failing)) throw new StateFileError("Cannot write: no space");
        write(key, value);
      };
      assert.ok((await one.reload(`{${SERVER}, "LockRequired": true, "ShieldsUp": true}`)).Reloaded, failing);
      const { backend } = one.node;
      assert.deepEqual(
        [backend.lock.policy.required, backend.prefs.ShieldsUp, backend.prefs.RouteAll],
        [true, true, false],
      );
      assert.deepEqual(one.declared.state.Applied, ["version", "ServerURL", "ShieldsUp", "LockRequired"]);
      assert.ok(one.logged.concat(one.node.logged).some((line) => line.includes("no space")), failing);
      if (failing === "_agent-lock-policy") {
        fails = false;
        await one.reload(`{${SERVER}, "LockRequired": true, "ShieldsUp": true}`);
        assert.ok(store.read(failing), "stored as soon as it can be");
      }
    }
    await using after = new DeclaredNode(`{${SERVER}}`, storeOf(store.moments.at(-1)!));
    after.node.control.netmap = testNetmap([]);
    await after.start();
    const { prefs: { RouteAll, ShieldsUp }, lock: { policy } } = after.node.backend;
    // Where the names could not be stored, what the file brought is nobody's.
    const stays = failing === "_agent-config";
    assert.deepEqual([RouteAll, ShieldsUp, policy.required], [false, stays, stays], failing);
  }
});

Deno.test("the lock that a file demands is demanded, although the rest of the file was not taken; none is taken back", async () => {
  const store = new MemoryState();
  const against = `"exitNode": "100.64.0.9"`;
  const startOffering = async (one: DeclaredNode) => {
    one.node.backend.editPrefs(change({ AdvertiseRoutes: ["0.0.0.0/0", "::/0"] }), "config");
    await one.start();
  };
  const tlpub = `tlpub:${"ab".repeat(32)}`;
  {
    await using one = new DeclaredNode(`{${SERVER}, "LockRequired": true, ${against}}`, store);
    await startOffering(one);
    assert.match(
      one.declared.state.Problem,
      /as it did before, but for the Tailnet Lock that it demands: Cannot adver/,
    );
    assert.deepEqual(one.node.backend.lock.policy, { required: true, pins: [] });
    assert.deepEqual(await one.reload(`{${SERVER}, "LockRequired": false, ${against}}`).then((r) => r.Reloaded), false);
    assert.equal(one.node.backend.lock.policy.required, true, "a reload changes all or nothing");
  }
  {
    await using one = new DeclaredNode(`{${SERVER}, "LockPins": ["${tlpub}"], ${against}}`, store);
    await startOffering(one);
    assert.deepEqual(one.node.backend.lock.policy, { required: true, pins: [tlpub] });
  }
  await using mended = new DeclaredNode(`{${SERVER}}`, store);
  await mended.start();
  assert.deepEqual(mended.node.backend.lock.policy, { required: false, pins: [] }, "as the file names it no more");
});
