import assert from "node:assert/strict";
import { parseDaemonFlags } from "../../daemon/flags.ts";
import { ONE_NODE } from "../../daemon/instance.ts";
import type { DaemonFlags } from "../../daemon/flags.ts";

function flags(args: string[], as: "agent" | "tailscaled" = "agent"): DaemonFlags {
  const parsed = parseDaemonFlags(args, as);
  assert.equal(parsed.kind, "run", JSON.stringify(parsed));
  return (parsed as { flags: DaemonFlags }).flags;
}

function error(args: string[]): string {
  const parsed = parseDaemonFlags(args);
  assert.equal(parsed.kind, "error", JSON.stringify(parsed));
  return (parsed as { message: string }).message;
}

Deno.test("parseDaemonFlags() defaults to paths of the name called", () => {
  assert.deepEqual(flags([]), {
    state: { kind: "file", path: "/var/lib/agent/agent.state" },
    stateDir: "/var/lib/agent",
    socket: "/run/agent/agent.sock",
    port: 0,
    tun: "agent0",
    instance: ONE_NODE,
    verbose: 0,
    logFormat: "text",
    cleanup: false,
    caFile: undefined,
    config: undefined,
    staticEndpoints: [],
    acceptNewServerKey: false,
    expiryWarningMs: 14 * 86_400_000,
    expiryHook: undefined,
  });
  const tailscaled = flags([], "tailscaled");
  assert.deepEqual(tailscaled.state, { kind: "file", path: "/var/lib/tailscale/tailscaled.state" });
  assert.equal(tailscaled.socket, "/var/run/tailscale/tailscaled.sock");
  assert.equal(tailscaled.tun, "tailscale0");
});

Deno.test("parseDaemonFlags() gives an instance paths, device and numbers of its own", () => {
  const work = flags(["--instance=work"]);
  assert.deepEqual(work.state, { kind: "file", path: "/var/lib/agent-work/agent.state" });
  assert.deepEqual([work.socket, work.tun, work.instance.name], ["/run/agent-work/agent.sock", "agent-work", "work"]);
  assert.equal(flags(["--instance=work", "--tun", "tun7"]).tun, "tun7");
  for (const name of ["Work", "a b", "-x", "tenletters"]) assert.match(error([`--instance=${name}`]), /--instance/);
});

Deno.test("parseDaemonFlags() takes the line of Tailscale's own systemd unit", () => {
  const unit = "--state=/var/lib/tailscale/tailscaled.state --socket=/run/tailscale/tailscaled.sock --port=41641";
  const { socket, port } = flags(unit.split(" "), "tailscaled");
  assert.deepEqual([socket, port], ["/run/tailscale/tailscaled.sock", 41641]);
});

Deno.test("parseDaemonFlags() takes Go's single dashes, booleans with a value, and a bare --verbose", () => {
  const got = flags(["-state", "/tmp/s", "-port=1", "--cleanup=true", "--no-logs-no-support", "--verbose", "--tun=x0"]);
  assert.deepEqual([got.state, got.port, got.cleanup, got.verbose, got.tun], [
    { kind: "file", path: "/tmp/s" },
    1,
    true,
    1,
    "x0",
  ]);
  assert.equal(flags(["--verbose", "2"]).verbose, 2);
  assert.equal(flags(["--cleanup=false"]).cleanup, false);
});

Deno.test("parseDaemonFlags() derives state from --statedir and the other way round", () => {
  const both = flags(["--statedir", "/srv/x"]);
  assert.deepEqual([both.state, both.stateDir], [{ kind: "file", path: "/srv/x/agent.state" }, "/srv/x"]);
  assert.equal(flags(["--state", "/srv/y/z.state"]).stateDir, "/srv/y");
  const memory = flags(["--state=mem:"]);
  assert.deepEqual([memory.state, memory.stateDir], [{ kind: "memory" }, undefined]);
});

Deno.test("parseDaemonFlags() refuses what it cannot do, in one line", () => {
  for (
    const args of [
      ["--nonsense"],
      ["positional"],
      ["--port", "65536"],
      ["--port", "-1"],
      ["--tun", "a-name-that-is-too-long"],
      ["--tun", "a/b"],
      ["--tun=userspace-networking"],
      ["--state=kube:secret"],
      ["--cleanup=maybe"],
    ]
  ) {
    const message = error(args);
    assert.ok(!message.includes("\n") && message.length > 10, message);
  }
});

Deno.test("parseDaemonFlags() answers --help and --version", () => {
  assert.equal(parseDaemonFlags(["--help"]).kind, "help");
  assert.equal(parseDaemonFlags(["-version"]).kind, "version");
});

Deno.test("parseDaemonFlags() takes static endpoints of both families, and says which it cannot use", () => {
  assert.deepEqual(flags(["--static-endpoints", "203.0.113.1:41641, [2001:db8::1]:5"]).staticEndpoints, [
    "203.0.113.1:41641",
    "[2001:db8::1]:5",
  ]);
  for (const bad of ["203.0.113.1", "203.0.113.1:0", "name:1", "203.0.113.1:99999"]) {
    assert.match(
      error([`--static-endpoints=203.0.113.9:1,${bad}`]),
      new RegExp(`^Cannot use --static-endpoints ${bad}: want`),
    );
  }
});
