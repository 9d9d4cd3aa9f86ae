/** `main.ts` as a process: names it is called by, help, exit codes, and a daemon that is not there. */
import assert from "node:assert/strict";
import { invokedAs } from "../../cli/invoked_as.ts";
import { runCommandLine, SERVERS } from "../../cli/run.ts";
import { program, run } from "./fake_local_api.ts";

const VERBS = [
  "up",
  "down",
  "reload",
  "set",
  "get",
  "login",
  "logout",
  "status",
  "ip",
  "ping",
  "netcheck",
  "whois",
  "wait",
  "version",
];
const NOWHERE = "--socket=/nonexistent/x.sock";

Deno.test("every command says in one line that the daemon is not running, and how to start it", async () => {
  const lines = [
    "up",
    "down",
    "set --ssh",
    "get",
    "login",
    "logout",
    "status",
    "ip",
    "ping x",
    "netcheck",
    "whois 1.2.3.4",
  ];
  for (const line of [...lines, "version --daemon"]) {
    const { code, out, err } = await run([NOWHERE, ...line.split(" ")]);
    const text = "The daemon is not running (nothing answers on /nonexistent/x.sock). " +
      "Start it as root with: agent --socket /nonexistent/x.sock daemon\n";
    assert.deepEqual([line, code, out, err], [line, 1, "", text]);
  }
});

Deno.test("every command has a help text and refuses unknown flags with 2", async () => {
  for (const verb of VERBS) {
    const help = await run([verb, "--help"]);
    assert.equal(help.code, 0);
    assert.match(help.out, new RegExp(`^Usage: agent ${verb}`));
    assert.doesNotMatch(help.out, /\{program\}|undefined/);
    const unknown = await run([NOWHERE, verb, "--nosuch=secret"]);
    const text = `flag provided but not defined: --nosuch\n'agent ${verb} --help' lists the flags.\n`;
    assert.deepEqual([verb, unknown.code, unknown.err], [verb, 2, text]);
  }
});

Deno.test("without a command, and with one that is not there, it exits with 2", async () => {
  const none = await run([]);
  assert.equal(none.code, 2);
  assert.match(none.out, /Usage: agent/);
  const nosuch = await run(["nosuch"]);
  assert.deepEqual([nosuch.code, nosuch.err], [2, `Unknown command "nosuch". 'agent --help' lists the commands.\n`]);
  assert.equal((await run(["toString"])).code, 2);
  const serve = await run(["serve", "8080"]);
  assert.deepEqual([serve.code, serve.err], [
    2,
    `"serve" is not offered in this version. 'agent --help' lists the commands.\n`,
  ]);
  assert.match((await run(["debug"])).err, /^debug needs a command\n'agent debug --help' lists the commands\.\n$/);
  assert.equal((await run(["--socket"])).code, 2);
  const help = await run(["help", "ping"]);
  assert.deepEqual([help.code, /^Usage: agent ping/.test(help.out)], [0, true]);
  assert.match((await run(["help", "daemon"])).out, /^Usage: agent daemon/);
  assert.equal((await run(["help", "toString"])).code, 2);
  for (const line of ["debug daemon-logs --help", "help debug daemon-logs"]) {
    assert.match((await run(line.split(" "))).out, /^Usage: agent debug daemon-logs /, line);
  }
  assert.match((await run(["debug", "via"])).err, /\n'agent debug via --help' lists the flags\.\n$/);
  assert.match((await run(["debug", "toString", "--help"])).out, /^Usage: agent debug COMMAND/);
  assert.match((await run(["dns", "query", "--help"])).out, /^Usage: agent dns query /);
  assert.match((await run(["help", "coordinator", "keys"])).out, /^Auth keys let nodes join/);
  for (const verb of VERBS) assert.match(none.out, new RegExp(`^  ${verb} `, "m"));
});

Deno.test("--socket and --instance before a server's name are given to it, or refused, never dropped", async () => {
  const { daemon } = SERVERS;
  const seen: string[][] = [];
  const servers = SERVERS as Record<string, typeof daemon>;
  servers.daemon = {
    ...daemon,
    run: (args) => {
      seen.push(args);
      return Promise.resolve(0);
    },
  };
  try {
    assert.equal(await runCommandLine(["--socket=/x", "--instance", "work", "daemon", "--port", "1"], "agent"), 0);
    assert.deepEqual(seen, [["--socket=/x", "--instance", "work", "--port", "1"]]);
  } finally {
    servers.daemon = daemon;
  }
  const coordinator = await run(["--instance", "work", "coordinator", "keys", "list"]);
  assert.deepEqual([coordinator.code, coordinator.err], [
    2,
    "--instance is for a node's commands: 'agent coordinator --help' lists its own flags\n",
  ]);
});

Deno.test("values that could not be kept are refused before anything is asked", async () => {
  const cases = [
    "up --auth-key=arn:aws:ssm:x",
    "up --auth-key=tskey-client-secret",
    "up --client-secret=secret",
    "up --id-token=secret",
    "up --host-routes=false",
    "up --qr-format=huge",
    "up box",
    "status --web",
    "netcheck --bind-port=1",
    "version --upstream",
  ];
  for (const line of cases) {
    const { code, err } = await run([NOWHERE, ...line.split(" ")]);
    assert.equal(code, 2, line);
    assert.doesNotMatch(err, /not running|secret$/m);
  }
  const missing = await run([NOWHERE, "up", "--auth-key=file:/nonexistent/key"]);
  assert.equal(missing.code, 1);
  assert.match(missing.err, /^Cannot read the auth key \/nonexistent\/key: .*\n$/);
});

Deno.test("called as tailscale it has that program's socket and commands", async () => {
  const env = { AGENT_ARGV0: "/usr/bin/tailscale" };
  const { out } = await run(["--help"], env);
  assert.match(out, /^tailscale .*\n[^]*default \/var\/run\/tailscale\/tailscaled\.sock/);
  assert.doesNotMatch(out, /coordinator/);
  assert.equal((await run(["daemon"], env)).code, 2);
  assert.match((await run([NOWHERE, "status"], env)).err, /root with: tailscaled\n$/);
});

Deno.test("called as tailscaled it is the daemon", async () => {
  const env = { AGENT_ARGV0: "tailscaled" };
  const { code, out } = await run(["--help"], env);
  assert.equal(code, 0);
  assert.match(out, /Usage: tailscaled/);
  assert.notEqual((await run(["--nosuch"], env)).code, 0);
});

Deno.test("invokedAs() knows the names by their last part", () => {
  const cases: [string | undefined, string][] = [
    ["/usr/sbin/tailscaled", "tailscaled"],
    ["tailscale", "tailscale"],
    ["/opt/agent", "agent"],
    ["tailscale2", "agent"],
    ["", "agent"],
    [undefined, "agent"],
  ];
  for (const [argv0, name] of cases) assert.equal(invokedAs(argv0), name);
});

Deno.test("a reader that leaves early gets no complaint", async () => {
  const child = program(["--help"]);
  await child.stdout.cancel();
  const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assert.ok(code === 0 || code === 141);
  assert.equal(err, "");
});
