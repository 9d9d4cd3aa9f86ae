/**
 * A whole tailnet on this machine, from nothing, in seconds: a coordinator with its relay and two agents, each in a
 * network namespace of its own with a real TUN device, joined by an auth key. Shows each step, then cleans up.
 *
 * deno task demo            (root; needs nothing but Deno and a Linux kernel)
 */
import { labUnavailable } from "../tests/netlab/privileged.ts";
import { Lab } from "../tests/netlab/lab.ts";
import type { LabNamespace } from "../tests/netlab/lab.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const PAGE = new URL("./demo_page.ts", import.meta.url).pathname;
const COORDINATOR = "10.213.1.1";
const startedAt = performance.now();

const colour = Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR");
const bold = (text: string) => (colour ? `\x1b[1m${text}\x1b[0m` : text);

function step(text: string): void {
  console.log(`\n${bold(`[${((performance.now() - startedAt) / 1000).toFixed(1).padStart(4)} s] ${text}`)}`);
}

function agentArgv(...args: string[]): string[] {
  return [Deno.execPath(), "run", "-A", "--no-lock", MAIN, ...args];
}

/** Shows the command as a person would type it, runs it, shows what it printed. */
async function agent(where: LabNamespace, socket: string, ...args: string[]): Promise<string> {
  const shown = args.map((arg) => arg.startsWith("tskey-") ? "tskey-auth-…" : arg).join(" ");
  console.log(`  ${where.name.replace(/^.*-/, "")}$ agent ${shown}`);
  const at = args[0] === "coordinator" ? [...args, "--socket", socket] : ["--socket", socket, ...args];
  const { code, stdout, stderr } = await where.run(agentArgv(...at));
  const printed = (stdout + stderr).trimEnd();
  if (printed !== "") console.log(printed.replaceAll(/tskey-auth-\S+/g, "tskey-auth-…").replaceAll(/^/gm, "    "));
  if (code !== 0) throw new Error(`agent ${args[0]} failed with exit code ${code}`);
  return stdout.trim();
}

/** Waits until something listens on a unix socket. */
async function awaitSocket(path: string, child: Deno.ChildProcess, log: string): Promise<void> {
  let ended = false;
  child.status.then(() => ended = true);
  for (let tries = 0; tries < 200; tries++) {
    try {
      (await Deno.connect({ transport: "unix", path })).close();
      return;
    } catch {
      if (ended) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`a server did not start; its log:\n${await Deno.readTextFile(log)}`);
}

/** Starts a server in a namespace; what it logs goes to a file that is shown only if something fails. */
async function serve(where: LabNamespace, dir: string, name: string, args: string[]): Promise<Deno.ChildProcess> {
  const log = `${dir}/${name}.log`;
  const child = where.spawn([
    "/bin/sh",
    "-c",
    'log=$1; shift; exec "$@" >"$log" 2>&1',
    "sh",
    log,
    ...agentArgv(...args),
  ], {
    stdout: "null",
    stderr: "null",
    stdin: "null",
  });
  await awaitSocket(`${dir}/${name}.sock`, child, log);
  return child;
}

async function show(lab: Lab, dir: string): Promise<void> {
  step("Three machines: a server and two nodes, each a network namespace");
  const server = lab.namespace("server");
  const alice = lab.namespace("alice");
  const bob = lab.namespace("bob");
  lab.link(alice, ["10.213.1.2/24", "fd13:1::2/64"], server, ["10.213.1.1/24", "fd13:1::1/64"]);
  lab.link(bob, ["10.213.2.2/24", "fd13:2::2/64"], server, ["10.213.2.1/24", "fd13:2::1/64"]);
  lab.router(server);
  for (const [node, net] of [[alice, 1], [bob, 2]] as const) {
    node.route("0.0.0.0/0", `10.213.${net}.1`);
    node.route("::/0", `fd13:${net}::1`);
  }
  const socket = (name: string) => `${dir}/${name}.sock`;

  step("A coordinator with its relay (DERP) and STUN");
  await serve(server, dir, "server", [
    "coordinator",
    "--listen",
    `${COORDINATOR}:8080`,
    "--statedir",
    `${dir}/coordinator`,
    "--socket",
    socket("server"),
  ]);
  const created = await agent(server, socket("server"), "coordinator", "keys", "create", "--reusable");
  const key = /tskey-auth-\S+/.exec(created)?.[0];
  if (key === undefined) throw new Error("the coordinator printed no auth key");

  step("An agent on each node");
  await Promise.all([alice, bob].map((node, i) => {
    const name = ["alice", "bob"][i];
    return serve(node, dir, name, [
      "daemon",
      "--state",
      `${dir}/${name}.state`,
      "--socket",
      socket(name),
      "--tun",
      "agent0",
    ]);
  }));
  const up = (
    name: string,
  ) => ["up", "--login-server", `http://${COORDINATOR}:8080`, "--auth-key", key, "--hostname", name];
  await Promise.all([agent(alice, socket("alice"), ...up("alice")), agent(bob, socket("bob"), ...up("bob"))]);

  step("Ping by disco, then through the tunnel");
  await agent(alice, socket("alice"), "ping", "bob");
  await agent(alice, socket("alice"), "ping", "--icmp", "--c", "2", "bob");

  step("A page over the tailnet");
  const address = await agent(bob, socket("bob"), "ip", "-4");
  const page = bob.spawn([Deno.execPath(), "run", "-A", "--no-lock", PAGE, "serve", address], { stdout: "piped" });
  const ready = page.stdout.getReader();
  await ready.read();
  console.log(`  alice$ fetch http://${address}:8000/`);
  console.log(`    ${(await alice.must([Deno.execPath(), "run", "-A", "--no-lock", PAGE, "get", address])).trim()}`);
  await ready.cancel();

  step("What each node sees");
  await agent(alice, socket("alice"), "status");
  await agent(bob, socket("bob"), "status");
  const details = JSON.parse((await alice.must(agentArgv("--socket", socket("alice"), "status", "--json"))).toString());
  const peer = Object.values(details.Peer as Record<string, { CurAddr: string; Relay: string }>)[0];
  const path = peer.CurAddr === "" ? `by the relay "${peer.Relay}"` : `direct, ${peer.CurAddr}`;
  console.log(`  path: ${path}; crypto: ${details.Agent?.CryptoProvider ?? "unknown"}`);
}

if (Deno.build.os !== "linux") {
  console.error("The demo makes network namespaces and TUN devices, which only Linux has.");
  Deno.exit(1);
}
const missing = labUnavailable();
if (missing !== undefined) {
  console.error(`The demo cannot run: ${missing}`);
  Deno.exit(1);
}

const dir = await Deno.makeTempDir({ prefix: "agent-demo-" });
const lab = await Lab.create({ prefix: "demo" });
let cleaning: Promise<void> | undefined;
/** Ends processes, removes namespaces and files; once, whoever asks. */
function cleanUp(): Promise<void> {
  return cleaning ??= (async () => {
    await lab.dispose();
    await Deno.remove(dir, { recursive: true });
  })();
}
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, async () => {
    console.error("\nstopping: removing namespaces and files");
    await cleanUp();
    Deno.exit(130);
  });
}
let code = 0;
try {
  await show(lab, dir);
} catch (error) {
  if (cleaning === undefined) {
    console.error(`\nThe demo failed: ${error instanceof Error ? error.message : error}`);
    for (const name of ["server", "alice", "bob"]) {
      const log = await Deno.readTextFile(`${dir}/${name}.log`).catch(() => "");
      if (log !== "") console.error(`\n-- log of ${name}\n${log.split("\n").slice(-30).join("\n")}`);
    }
  }
  code = 1;
}
await cleanUp();
if (code === 0) step("Done: namespaces, devices and files are gone");
Deno.exit(code);
