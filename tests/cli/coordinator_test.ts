/** `agent coordinator` as an operator types it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Authority } from "../../tka/authority.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { EMPTY_STATE } from "../../tka/state.ts";
import { ControlNode } from "../support/control_node.ts";
import { testKey } from "../support/lock_keys.ts";
import { signature } from "../support/lock_world.ts";
import { RunningCoordinator } from "../support/running_coordinator.ts";

const COORDINATOR = new URL("../../cli/coordinator.ts", import.meta.url).href;

/** Runs the verb in a process of its own, as the frame would. */
async function agent(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const script = `const { run } = await import(${JSON.stringify(COORDINATOR)}); Deno.exit(await run(${
    JSON.stringify(args)
  }));`;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: ["eval", script] }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test("agent coordinator: help, and mistakes on the command line", async () => {
  for (const args of [["--help"], ["keys", "--help"], ["nodes", "help"]]) {
    const { code, out } = await agent(...args);
    assert.deepEqual([code, /Usage:/.test(out)], [0, true], args.join(" "));
  }
  const mistakes: [string[], RegExp][] = [
    [["--bogus"], /flag provided but not defined: --bogus/],
    [["serve"], /unknown command "serve"/],
    [["keys", "create", "--expiry", "soon"], /want a time like 90d/],
    [["keys", "destroy"], /unknown command "keys destroy"/],
    [["nodes", "expire"], /want one node/],
    [["--listen", "0.0.0.0:80", "--server-url", "http://10.0.0.1"], /--insecure-http/],
    [["--tls-cert", "/dev/null"], /give both/],
    [["--magic-dns-domain", "x", "--statedir", "/nowhere"], /--magic-dns-domain x/],
  ];
  for (const [args, wanted] of mistakes) {
    const { code, out, err } = await agent(...args);
    assert.deepEqual([code, out, err.trimEnd().split("\n").length], [2, "", 1], args.join(" "));
    assert.match(err, wanted);
  }
});

Deno.test("agent coordinator keys and nodes work on the file while the server is down, and over its socket", async () => {
  const dir = await Deno.makeTempDir({ prefix: "agent-cli-" });
  const at = ["--statedir", join(dir, "state")];
  const created = await agent("keys", "create", "--tags", "tag:web", "--reusable", "--expiry", "2h", ...at);
  assert.match(created.out, /^tskey-auth-[0-9A-Za-z]+-[0-9A-Za-z]+\n$/);
  const [key] = JSON.parse((await agent("keys", "list", "--json", ...at)).out);
  assert.deepEqual([key.state, key.reusable, key.tags], ["valid", true, ["tag:web"]]);
  assert.ok(Math.abs(Date.parse(key.expires) - Date.parse(key.created) - 7_200_000) < 5);
  assert.match((await agent("keys", "expire", created.out.trim(), ...at)).out, new RegExp(`${key.id} is expired`));
  assert.match((await agent("keys", "list", ...at)).out, new RegExp(`${key.id} +expired +reusable`));

  const running = await RunningCoordinator.start({ stateDir: join(dir, "state") });
  assert.match((await agent("nodes", "list", ...at)).out, /^ID +NAME/);
  const missing = await agent("nodes", "delete", "web", ...at);
  assert.deepEqual([missing.code, missing.out], [1, ""]);
  assert.match(missing.err, /^agent coordinator: Cannot find the node web[^\n]+\n$/);
  const elsewhere = await agent("nodes", "list", "--socket", join(dir, "none"), ...at);
  assert.equal(elsewhere.code, 1);
  assert.match(elsewhere.err, /another process has it/);
  await running.coordinator.close();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("agent coordinator nodes list names nodes whose Tailnet Lock is not in order, and what to do", async () => {
  await using running = await RunningCoordinator.start();
  const { url, coordinator, stateDir } = running;
  const { key } = await coordinator.createKey({ reusable: true });
  await using one = new ControlNode({ url, hostname: "one" });
  await using two = new ControlNode({ url, hostname: "two" });
  await one.register(key);
  const signer = testKey(1);
  const state = { ...EMPTY_STATE, disablementValues: [new Uint8Array(32)], keys: [signer.key()], stateId1: 1n };
  const { genesis } = Authority.create(new MemChonk(), state, signer, 0);
  await coordinator.lock.enable(genesis, { 1: signature(signer, one.nodeKey.public.toString()) }, 1);
  await two.register(key);
  const { code, out } = await agent("nodes", "list", "--statedir", stateDir);
  assert.equal(code, 0);
  assert.match(out, /LOCK\n/);
  assert.match(out, / one .* signed, unknown\n/);
  assert.match(out, / two .* unsigned, unknown\n/);
  assert.match(out, /\nTailnet Lock:\n {2}two: unsigned: run `lock sign` for it on a node with a trusted key\n$/);
});

Deno.test("agent coordinator serves until SIGTERM and exits 0", async () => {
  const dir = await Deno.makeTempDir({ prefix: "agent-cli-" });
  const args = ["--statedir", dir, "--listen", "127.0.0.1:0", "--derp-listen", "127.0.0.1:0", "--stun-listen", "off"];
  const script = `const { run } = await import("${COORDINATOR}"); Deno.exit(await run(${JSON.stringify(args)}));`;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", script], stderr: "piped", stdout: "null" }).spawn();
  const log = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes("serving http://127.0.0.1:")) {
    const { value, done } = await log.read();
    if (done) break;
    said += value;
  }
  assert.match(said, /serving http:\/\/127\.0\.0\.1:\d+, 0 nodes, relay on port \d+, STUN off/);
  child.kill("SIGTERM");
  assert.equal((await child.status).code, 0);
  await log.cancel();
  await Deno.remove(dir, { recursive: true });
});
