// Connections by the daemon, to a real peer: our `nc`, and Tailscale's own command line against our socket.

import assert from "node:assert/strict";
import { buildTailscaleCli } from "./support/build.ts";
import { DOMAIN, sceneTest } from "./support/scene.ts";

sceneTest("agent: nc, ours and Tailscale's, to a peer by name and address, with accept-dns off", async (scene) => {
  const built = await buildTailscaleCli();
  if (built.kind === "skip") throw new Error(built.reason);
  const agent = await scene.joinedAgent("left", "ours");
  const peer = await scene.peer("right", "theirs");
  await agent.cli("set", "--accept-dns=false");
  await agent.awaitPeer(peer.ips[0]);
  await peer.listen({ kind: "echo", port: 7000 });
  await peer.listen({ kind: "http", port: 7001, body: "hello by http" });
  const ours = (input: string, ...args: string[]) => agent.commandWith({ input }, "nc", ...args);
  // Larger than every buffer on the way.
  const much = "0123456789abcdef".repeat(100_000);
  for (const host of ["theirs", `theirs.${DOMAIN}`, `THEIRS.${DOMAIN}.`, peer.ips[0], peer.ips[1]]) {
    assert.deepEqual(
      await ours("there and back", host, "7000"),
      { code: 0, stdout: "there and back", stderr: "" },
      host,
    );
  }
  const { stdout } = await ours(much, "theirs", "7000");
  assert.equal(stdout.length, much.length);
  assert.equal(stdout, much);
  assert.match((await ours("GET / HTTP/1.0\r\n\r\n", "theirs", "7001")).stdout, /hello by http$/);
  // What is not of the tailnet it connects to by itself.
  const local = agent.namespace.spawn([Deno.execPath(), "eval", HELLO], {
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  });
  const port = new TextDecoder().decode((await local.stdout.getReader().read()).value).trim();
  assert.equal((await ours("", "127.0.0.1", port)).stdout, "hello from here");

  const refused = async (what: RegExp, ...args: string[]) => {
    const { code, stdout, stderr } = await ours("", ...args);
    assert.deepEqual([code, stdout], [args.length === 2 && /^\d+$/.test(args[1]) ? 1 : 2, ""], stderr);
    assert.match(stderr, what);
    assert.equal(stderr.trim().split("\n").length <= 2, true, stderr);
  };
  await refused(/^dial failure: .*refused/i, "theirs", "7999");
  await refused(/^resolve failure: lookup nobody: /, "nobody", "7000");
  await refused(/invalid port number "http"/, "theirs", "http");
  await refused(/needs a host and a port/, "theirs");

  // Tailscale's ends with its input, so that is kept open until the answer is there.
  const stock = agent.namespace.spawn([
    ...["sh", "-c", '{ echo stock; sleep 5; } | timeout 20 "$1" --socket "$2" nc theirs 7000 | head -1', "sh"],
    ...[built.path, agent.socket],
  ], { stdin: "null", stdout: "piped", stderr: "piped" });
  assert.equal(new TextDecoder().decode((await stock.output()).stdout), "stock\n");
  local.kill("SIGKILL");
  await local.status;
  await agent.cli("down");
  assert.deepEqual(await ours("", "theirs", "7000"), { code: 1, stdout: "", stderr: "Tailscale is stopped.\n" });
});

/** Says where it listens, and hello to whoever connects. */
const HELLO = `const l = Deno.listen({ hostname: "127.0.0.1", port: 0 }); console.log(l.addr.port);
for await (const c of l) { await c.write(new TextEncoder().encode("hello from here")); c.close(); }`;
