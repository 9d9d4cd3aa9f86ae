// What an operator can get wrong, and what breaks under a daemon: each is one clear line with the right exit code, and
// nothing is lost by it.

import assert from "node:assert/strict";
import { AgentNode, until } from "../interop/support/agent.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import { daemonTraces, deviceAddresses } from "./kernel_state.ts";
import { Lab, type LabNamespace, privilegedTest, type RunResult } from "./lab.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
/** Exit codes of the daemon: daemon/exit_codes.ts. */
const CODE = { ok: 0, failed: 1, usage: 2, state: 3, busy: 4, system: 5 };
const argv = (...args: string[]) => [Deno.execPath(), "run", "-A", "--no-lock", MAIN, ...args];

class Ground implements AsyncDisposable {
  readonly lab: Lab;
  readonly ns: LabNamespace;
  readonly dir: string;
  readonly agents: AgentNode[] = [];
  readonly coordinators: CoordinatorProcess[] = [];

  private constructor(lab: Lab, dir: string) {
    this.lab = lab;
    this.ns = lab.namespace("one");
    this.dir = dir;
  }

  static async create(): Promise<Ground> {
    return new Ground(await Lab.create(), await Deno.makeTempDir({ prefix: "bad-" }));
  }

  async agent(name = "agent", ...args: string[]): Promise<AgentNode> {
    const agent = await AgentNode.start({ namespace: this.ns, dir: this.dir, name, args });
    this.agents.push(agent);
    return agent;
  }

  /** Starts a coordinator with its state in a directory of its own. */
  async coordinator(name = "coordinator"): Promise<CoordinatorProcess> {
    const dir = `${this.dir}/${name}`;
    await Deno.mkdir(dir);
    const coordinator = await CoordinatorProcess.start({ namespace: this.ns, dir, host: "127.0.0.1" });
    this.coordinators.push(coordinator);
    return coordinator;
  }

  /** Runs a daemon that is to end by itself. `--socket` and `--tun` are its own unless given. */
  daemon(...args: string[]): Promise<RunResult> {
    return this.ns.run(argv("daemon", "--socket", `${this.dir}/other.sock`, "--tun", "agent9", ...args));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [...this.agents, ...this.coordinators]) await process[Symbol.asyncDispose]();
    await this.lab.dispose();
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** A test on a ground of its own; when it fails the ends of its agents' logs are printed. */
function groundTest(name: string, body: (ground: Ground) => Promise<void>, ...programs: string[]): void {
  privilegedTest(name, async () => {
    await using ground = await Ground.create();
    try {
      await body(ground);
    } catch (error) {
      for (const agent of ground.agents) console.error(`-- log of ${agent.name}\n${await agent.log()}`);
      for (const coordinator of ground.coordinators) console.error(`-- log of coordinator\n${await coordinator.log()}`);
      throw error;
    }
  }, ...programs);
}

/** A failure of one line: its exit code, nothing on standard output, and the line, without the log's time. */
function oneLine({ code, stdout, stderr }: RunResult, wantCode: number, want: RegExp): void {
  assert.equal(stdout, "");
  assert.match(stderr, /^[^\n]+\n$/, "want one line");
  const line = stderr.trim().replace(/^\S+Z error: /, "");
  assert.match(line, want);
  assert.equal(code, wantCode, line);
  console.log(`  ${code}: ${line.slice(0, 150)}`);
}

/** Of a state file: machine key, node key, and the known key of the control server. */
function identity(text: string): string[] {
  const values = Object.entries<string>(JSON.parse(text)).map(([name, value]) => [name, atob(value)]);
  const nodeKeys = values.flatMap(([, value]) => /"PrivateNodeKey": ?"([^"]+)"/.exec(value)?.[1] ?? []);
  return [...values.filter(([name]) => /machinekey|control-keys/.test(name)).map(([, value]) => value), ...nodeKeys];
}

groundTest("agent daemon: a state file that cannot be used is left as it is", async (ground) => {
  const path = `${ground.dir}/the.state`;
  const cases: [string, RegExp][] = [
    ["", /^Cannot use state file .*the\.state: it is empty, want a JSON object/],
    ["{ broken", /: it is not JSON, want .*; it was left as it is, move it away to start as a new node$/],
    ["[1, 2]", /: it is not an object/],
    ['{"_machinekey": "***"}', /: the value of "_machinekey" is not base64/],
    ['{"_machinekey": "bm90IGEga2V5"}', /_machinekey/],
  ];
  for (const [content, want] of cases) {
    await Deno.writeTextFile(path, content, { mode: 0o600 });
    oneLine(await ground.daemon("--state", path), CODE.state, want);
    assert.equal(await Deno.readTextFile(path), content, "kept byte for byte");
  }
  // The good state of a node, then read-only: root could write it, and must not.
  const agent = await ground.agent();
  await agent.stop();
  const state = `${ground.dir}/agent.state`;
  const good = await Deno.readTextFile(state);
  assert.ok(good.includes("_machinekey"));
  await Deno.chmod(state, 0o400);
  oneLine(await ground.daemon("--state", state), CODE.state, /: it is read-only, want it writable .*; chmod 600 it$/);
  assert.equal(await Deno.readTextFile(state), good);
  assert.equal((await Deno.stat(state)).mode! & 0o777, 0o400);

  await Deno.mkdir(`${ground.dir}/folder.state`);
  oneLine(await ground.daemon("--state", `${ground.dir}/folder.state`), CODE.state, /: it is not a regular file$/);
  oneLine(
    await ground.daemon("--statedir", "/proc/agent"),
    CODE.state,
    /^Cannot use state file \/proc\/agent\/agent\.state: /,
  );
  const left = [...Deno.readDirSync(ground.dir)].map(({ name }) => name).filter((name) => /sock|tmp/.test(name));
  assert.deepEqual(left, [], "a daemon that did not start leaves no socket and no temporary file");
});

privilegedTest(
  "agent daemon: a full disk loses nothing of the state",
  async () => {
    await using ground = await Ground.create();
    const { ns, dir } = ground;
    const coordinator = await ground.coordinator();
    const agent = await ground.agent();
    await agent.up(coordinator.url, await coordinator.createKey());
    await agent.stop();
    // A small disk in a mount namespace of its own, full once the state is on it.
    const [disk, socket, pid] = [`${dir}/disk`, `${dir}/full.sock`, `${dir}/pid`];
    await Deno.mkdir(disk);
    const script = `
    mount -t tmpfs -o size=16k none ${disk} && cp ${dir}/agent.state ${disk}/agent.state
    dd if=/dev/zero of=${disk}/filler bs=1k count=64 2>/dev/null
    "$@" & echo $! >${pid}; wait $!; echo "code $?"
    cmp ${disk}/agent.state ${dir}/agent.state && echo same; ls ${disk}`;
    const daemon = argv("daemon", "--state", `${disk}/agent.state`, "--socket", socket, "--tun", "agent9");
    const ended = ns.run(["unshare", "--mount", "sh", "-c", script, "sh", ...daemon], { timeout: 120_000 });
    const status = async () => JSON.parse((await ns.run(argv("--socket", socket, "status", "--json"))).stdout);
    await until("Running", 10_000, async () => (await status().catch(() => undefined))?.BackendState === "Running");
    const set = await ns.run(argv("--socket", socket, "set", "--hostname", "renamed"));
    // It runs on what it has: what cannot be kept holds as long as it runs, and health says so.
    const health = (await status()).Health.find((text: string) => text.includes("state file"));
    assert.match(health ?? "", /Cannot write state file .*No space left/);
    assert.equal(set.code, 1, "what is not kept is not done");
    assert.match(set.stderr, /^Set, but only until the daemon ends: .*\n.*No space left/);
    console.log(`  set ended with ${set.code}; health: ${health}`);
    Deno.kill(Number(await Deno.readTextFile(pid)), "SIGTERM");
    assert.equal((await ended).stdout, "code 0\nsame\nagent.state\nagent.state.lock\nfiller\n");
    await agent.run();
    await until("Running", 10_000, async () => (await agent.status()).BackendState === "Running");
  },
  "unshare",
  "cmp",
);

privilegedTest(
  "agent daemon: no TUN, a TUN that is busy, a name that is taken",
  async () => {
    await using ground = await Ground.create();
    const state = `${ground.dir}/the.state`;
    const inPrivate = (setup: string) =>
      ground.ns.run([
        ...["unshare", "--mount", "sh", "-c", `${setup}; exec "$@"`, "sh"],
        ...argv("daemon", "--state", state, "--socket", `${ground.dir}/other.sock`, "--tun", "agent9"),
      ]);
    oneLine(await inPrivate("mount -t tmpfs none /dev/net"), CODE.system, /^Cannot .*\/dev\/net\/tun.*modprobe tun/);
    oneLine(await inPrivate("mount --bind /dev/null /dev/net/tun"), CODE.system, /^Cannot .*tun/i);

    const agent = await ground.agent();
    oneLine(await ground.daemon("--state", state, "--tun", "agent0"), CODE.system, /^Cannot .*agent0.*(busy|in use)/);
    ground.lab.link(ground.ns, "10.99.0.1/24", ground.lab.namespace("two"), "10.99.0.2/24");
    oneLine(await ground.daemon("--state", state, "--tun", "eth0"), CODE.system, /^Cannot .*eth0/);
    assert.equal((await agent.status()).BackendState, "NeedsLogin", "the first daemon goes on");
    const unprivileged = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    const flags = ["--state", state, "--socket", `${ground.dir}/other.sock`, "--tun", "agent9"];
    oneLine(
      await ground.ns.run([...unprivileged, ...argv("daemon", ...flags)]),
      CODE.system,
      /^Cannot .*(root|CAP_NET_ADMIN)/,
    );
    assert.deepEqual(daemonTraces(ground.ns), { rules: 0, routes: 0, device: true });
  },
  "unshare",
  "setpriv",
);

groundTest("agent daemon: sockets and state of another daemon; leftovers of a killed one", async (ground) => {
  const agent = await ground.agent();
  const state = `${ground.dir}/second.state`;
  oneLine(
    await ground.daemon("--socket", agent.socket, "--state", state),
    CODE.busy,
    /^Cannot listen on .*another daemon/,
  );
  const shared = await ground.daemon("--state", `${ground.dir}/agent.state`);
  oneLine(shared, CODE.state, /another daemon is using it; stop that one or give --state another path$/);
  assert.equal((await agent.status()).BackendState, "NeedsLogin", "the first daemon goes on");

  await Deno.writeTextFile(`${ground.dir}/a file`, "precious");
  const onFile = await ground.daemon("--socket", `${ground.dir}/a file`, "--state", state);
  oneLine(onFile, CODE.system, /^Cannot use socket .*a file: something else is there/);
  assert.equal(await Deno.readTextFile(`${ground.dir}/a file`), "precious");
  const long = `${ground.dir}/${"x".repeat(100)}.sock`;
  oneLine(await ground.daemon("--socket", long, "--state", state), CODE.system, /longer than 107 bytes/);
  oneLine(await ground.daemon("--state", state, "--ca-file", "/no/such.pem"), CODE.failed, /^Cannot .*\/no\/such\.pem/);

  await agent.kill();
  assert.ok((await Deno.lstat(agent.socket)).isSocket, "a killed daemon leaves its socket");
  await agent.run();
  assert.equal((await agent.status()).BackendState, "NeedsLogin");
});

groundTest("agent: words and flags nobody knows", async (ground) => {
  const run = (...args: string[]) => ground.ns.run(argv(...args));
  oneLine(await run("daemon", "--no-such-flag"), CODE.usage, /'--no-such-flag'.*--help lists the flags$/);
  oneLine(await run("daemon", "surplus"), CODE.usage, /surplus.*--help lists the flags$/);
  oneLine(await run("daemon", "--port", "70000"), CODE.usage, /^Cannot use --port 70000: want 0 to 65535$/);
  oneLine(await run("daemon", "--tun", "userspace-networking"), CODE.usage, /^Cannot use --tun userspace-networking/);
  oneLine(await run("daemon", "--tun", "a name much too long"), CODE.usage, /^Cannot use --tun a name much too long/);
  oneLine(await run("frobnicate"), CODE.usage, /^Unknown command "frobnicate"\. 'agent --help' lists the commands\.$/);
  for (const verb of ["up", "down", "set", "status", "ip", "ping", "netcheck", "whois", "wait", "logout", "version"]) {
    const { code, stdout, stderr } = await run(verb, "--no-such-flag");
    assert.deepEqual([code, stdout], [CODE.usage, ""], `${verb}: ${stderr}`);
    assert.match(stderr, new RegExp(`^.*--no-such-flag.*\n'agent ${verb} --help' lists the flags\\.\n$`));
  }
  const socket = `${ground.dir}/none.sock`;
  for (
    const words of [
      "up",
      "down",
      "set --hostname x",
      "get",
      "status",
      "ip",
      "ping x",
      "netcheck",
      "whois 1.2.3.4",
      "logout",
    ]
  ) {
    const result = await run("--socket", socket, ...words.split(" "));
    assert.deepEqual([result.code, result.stdout], [CODE.failed, ""], words);
    assert.match(result.stderr, /^[^\n]*daemon[^\n]*\n$/, words);
    assert.match(result.stderr, /agent --socket \S+ daemon/, words);
  }
  console.log(`  ${(await run("--socket", socket, "status")).stderr.trim()}`);
});

groundTest("agent up: control servers that are away, or are none; auth keys nobody knows", async (ground) => {
  const { ns, lab } = ground;
  // A machine without any link says so after five seconds, and nothing else.
  lab.link(ns, "10.93.0.1/24", lab.namespace("away"), "10.93.0.2/24");
  const agent = await ground.agent();
  const up = (server: string, ...args: string[]) =>
    agent.command("up", "--login-server", server, "--accept-dns=false", "--auth-key", "tskey-x", ...args);
  /** The last line says what happened; those before it, two at most, say what was being waited for. */
  const last = ({ code, stdout, stderr }: RunResult, want: RegExp) => {
    assert.deepEqual([code, stdout], [CODE.failed, ""], stderr);
    assert.match(stderr, want);
    assert.ok(stderr.trim().split("\n").length <= 3, stderr);
    console.log(`  ${code}: ${stderr.trim().replaceAll("\n", " / ").slice(0, 200)}`);
  };
  last(await up("http://127.0.0.1:9", "--timeout", "2s"), /127\.0\.0\.1:9: the connection was refused/);
  last(
    await up("http://control.invalid", "--timeout", "7s"),
    /control\.invalid:80: (the name is not known to DNS|DNS does not answer)/,
  );
  last(await up("ftp://example.com", "--timeout", "2s"), /ftp:\/\/example\.com/);

  const web = ns.spawn([
    ...[Deno.execPath(), "eval", "--no-lock"],
    'Deno.serve({ hostname: "127.0.0.1", port: 8000 }, () => new Response("<h1>It works!</h1>"))',
  ], { stdout: "null", stderr: "null", stdin: "null" });
  await until("the web server listens", 10_000, async () => {
    return (await ns.run(["sh", "-c", "grep -q ':1F40 ' /proc/net/tcp"])).code === 0;
  });
  last(await up("http://127.0.0.1:8000", "--timeout", "3s"), /is this a Tailscale control server\?/);
  web.kill("SIGTERM");

  const coordinator = await ground.coordinator();
  last(await up(coordinator.url), /^backend error: .*key.*\n$/);
  const once = await coordinator.createKey();
  await agent.cli("up", "--login-server", coordinator.url, "--auth-key", once);
  assert.equal((await agent.status()).BackendState, "Running");
  const other = await ground.agent("other", "--tun", "agent1");
  const spent = await other.command("up", "--login-server", coordinator.url, "--auth-key", once);
  last(spent, /^backend error: .*one use.*has been used/);
  assert.ok(!spent.stderr.includes(once.slice(-10)), "the key is not printed");
});

groundTest("agent: a control server whose key has changed is refused until the operator accepts it", async (ground) => {
  const { dir } = ground;
  const agent = await ground.agent();
  const first = await ground.coordinator("first");
  await agent.up(first.url, await first.createKey());
  await first[Symbol.asyncDispose]();
  const second = await ground.coordinator("second");

  const health = await until("health says so", 30_000, async () => {
    return (await agent.status()).Health?.find((text: string) => text.includes("Cannot trust control server"));
  });
  assert.match(health, /its key is mkey:[0-9a-f]+, want mkey:[0-9a-f]+ as at first contact; .*--accept-new-server-key/);
  assert.equal((await agent.status()).BackendState, "Running", "the tailnet goes on as last known");
  await agent.stop();
  const kept = identity(await Deno.readTextFile(`${dir}/agent.state`));
  assert.equal(kept.length, 3);
  await agent.run();
  const up = await agent.command("up", "--timeout", "5s", "--auth-key", await second.createKey());
  assert.equal(up.code, CODE.failed);
  assert.match(up.stderr, /^[^\n]*Cannot trust control server[^\n]*\n$/);
  console.log(`  ${up.code}: ${up.stderr.trim().slice(0, 150)}`);
  assert.match((await agent.command("status")).stdout, /Cannot trust control server/);
  await agent.stop();
  assert.deepEqual(identity(await Deno.readTextFile(`${dir}/agent.state`)), kept, "no key was lost, none was taken");

  const accepting = await ground.agent("agent", "--accept-new-server-key");
  await accepting.cli("up", "--auth-key", await second.createKey());
  assert.equal((await accepting.status()).BackendState, "Running");
  assert.equal((await second.nodes()).length, 1);
  await accepting.stop();
  // Once accepted it is the known one.
  await agent.run();
  await until("Running without the flag", 10_000, async () => (await agent.status()).BackendState === "Running");
});

groundTest("agent daemon: killed, its rules and routes are taken over or cleaned up", async (ground) => {
  const { ns } = ground;
  const coordinator = await ground.coordinator();
  const agent = await ground.agent();
  await agent.up(coordinator.url, await coordinator.createKey());
  const [ip] = await agent.ips();
  const key = (await agent.status()).Self.PublicKey;
  assert.deepEqual(daemonTraces(ns), { rules: 8, routes: 0, device: true });
  assert.ok(deviceAddresses(ns).includes(`${ip}/32`));

  const running = await ns.run(argv("daemon", "--cleanup"));
  assert.deepEqual([running.code, daemonTraces(ns).rules], [CODE.ok, 8], "a running daemon's are left");
  assert.match(running.stderr, /in use by a running daemon; nothing was removed/);

  await agent.kill();
  assert.deepEqual(daemonTraces(ns), { rules: 8, routes: 0, device: false }, "what a killed daemon leaves");
  await agent.run();
  await until("Running", 10_000, async () => (await agent.status()).BackendState === "Running");
  assert.deepEqual(daemonTraces(ns), { rules: 8, routes: 0, device: true }, "no rule is there twice");
  assert.ok(deviceAddresses(ns).includes(`${ip}/32`));
  assert.equal((await agent.status()).Self.PublicKey, key, "the same node");
  assert.doesNotMatch((await agent.status()).Health?.join("\n") ?? "", /rout/i);

  assert.equal(await agent.stop(), 0);
  assert.deepEqual(daemonTraces(ns), { rules: 0, routes: 0, device: false }, "a daemon that is stopped leaves nothing");
  await agent.run();
  await until("Running", 10_000, async () => (await agent.status()).BackendState === "Running");
  await agent.kill();
  const cleaned = await ns.run(argv("daemon", "--cleanup"));
  assert.equal(cleaned.code, CODE.ok);
  assert.match(cleaned.stderr, /IPv4: removed 4 rules\n.*IPv6: removed 4 rules\n/);
  assert.deepEqual(daemonTraces(ns), { rules: 0, routes: 0, device: false });
  assert.deepEqual(await ns.run(argv("daemon", "--cleanup")), { code: 0, stdout: "", stderr: "" }, "twice is no harm");
});
