import assert from "node:assert/strict";
import vectors from "../vectors/tailscale_local.json" with { type: "json" };
import type { PingResult } from "../../cli/local_types.ts";
import { formatPong } from "../../cli/ping.ts";
import { answer, run, withLocalApi } from "./fake_local_api.ts";
import { peer, status } from "./fixtures.ts";

const PONG = vectors.values.find((value) => value.type === "*ipnstate.PingResult")!.json as unknown as PingResult;
const VIA_DERP: PingResult = { ...PONG, Endpoint: "", DERPRegionID: 7, DERPRegionCode: "fra" };

Deno.test("formatPong() has Tailscale's line for every path", () => {
  assert.equal(formatPong(PONG, "disco"), "pong from two (100.64.0.8) via 192.0.2.8:41641 in 13ms");
  assert.equal(formatPong(VIA_DERP, "disco"), "pong from two (100.64.0.8) via DERP(fra) in 13ms");
  assert.equal(
    formatPong({ ...PONG, PeerRelay: "192.0.2.9:1:vni:2" }, "disco"),
    "pong from two (100.64.0.8) via peer-relay(192.0.2.9:1:vni:2) in 13ms",
  );
  assert.equal(
    formatPong({ ...PONG, Endpoint: "", PeerAPIPort: 80, LatencySeconds: 1.2 }, "TSMP"),
    "pong from two (100.64.0.8, 80) via TSMP in 1.2s",
  );
  assert.equal(
    formatPong({ ...PONG, PeerAPIURL: "http://100.64.0.8:1" }, "peerapi"),
    "hit peerapi of 100.64.0.8 (two) at http://100.64.0.8:1 in 13ms",
  );
});

/** Runs `ping` against a daemon that answers in turn; undefined never answers. */
async function pingRun(args: string[], results: (PingResult | undefined)[]) {
  let ran: Awaited<ReturnType<typeof run>> | undefined;
  let asked: string[] = [];
  const waiting: ((response: Response) => void)[] = [];
  await withLocalApi({
    "GET status": () => answer(status({}, peer())),
    "POST ping": () => {
      const result = results.shift();
      return result === undefined ? new Promise((resolve) => waiting.push(resolve)) : answer(result);
    },
  }, async (socket, seen) => {
    ran = await run(["--socket", socket, "ping", ...args]);
    asked = seen.filter(({ path }) => path.startsWith("ping")).map(({ path }) => path);
    for (const resolve of waiting) resolve(new Response());
  });
  return { ...ran!, asked };
}

Deno.test("ping stops at the first direct path", async () => {
  const { code, out, asked } = await pingRun(["two", "--size", "500"], [VIA_DERP, PONG]);
  assert.equal(code, 0);
  assert.match(out, /via DERP\(fra\).*\n.*via 192\.0\.2\.8:41641 in 13ms\n$/);
  assert.deepEqual(asked, Array(2).fill("ping?ip=100.64.0.2&type=disco&size=500"));
});

Deno.test("ping exits with 1 when only relays answered, 0 when that was enough", async () => {
  const late = await pingRun(["-c", "1", "two.lab.ts.net."], [VIA_DERP]);
  assert.deepEqual([late.code, late.err], [1, "direct connection not established\n"]);
  const enough = await pingRun(["--c=1", "--until-direct=false", "100.64.0.2"], [VIA_DERP]);
  assert.deepEqual([enough.code, enough.err], [0, ""]);
});

Deno.test("ping without an answer says so and exits with 1", async () => {
  const { code, out, err } = await pingRun(["--c=2", "--timeout=100ms", "two"], [
    undefined,
    { ...PONG, Err: "timeout waiting for a disco pong" },
  ]);
  assert.deepEqual([code, out, err], [1, 'ping "100.64.0.2" timed out\nping "100.64.0.2" timed out\n', "no reply\n"]);
});

Deno.test("ping reports the daemon's error, and an own address as no error", async () => {
  const gone = await pingRun(["100.64.9.9"], [{ ...PONG, Err: "no matching peer" }]);
  assert.deepEqual([gone.code, gone.err], [1, "no matching peer\n"]);
  const local = await pingRun(["100.64.0.1"], [{ ...PONG, Err: "100.64.0.1 is local Tailscale IP", IsLocalIP: true }]);
  assert.deepEqual([local.code, local.out], [0, "100.64.0.1 is local Tailscale IP\n"]);
  const self = await pingRun(["ONE"], []);
  assert.deepEqual([self.code, self.out, self.asked], [0, "100.64.0.1 is local Tailscale IP\n", []]);
});

Deno.test("ping --tsmp sends one, by its type", async () => {
  const { code, out, asked } = await pingRun(["--tsmp", "two"], [{ ...PONG, Endpoint: "" }]);
  assert.deepEqual([code, out], [0, "pong from two (100.64.0.8) via TSMP in 13ms\n"]);
  assert.deepEqual(asked, ["ping?ip=100.64.0.2&type=TSMP&size=0"]);
});

Deno.test("ping of a node that the lock keeps out says so, and what signs it", async () => {
  const NodeKey = `nodekey:${"ab".repeat(32)}`;
  const late = { Name: "late.lab.ts.net.", StableID: "n9", TailscaleIPs: ["100.64.0.9"], NodeKey };
  const ask = async (lock: unknown, word: string) => {
    let ran: Awaited<ReturnType<typeof run>> | undefined;
    await withLocalApi({
      "GET status": () => answer(status({}, peer())),
      "GET tka/status": () => answer(lock),
      "POST ping": () => answer({ ...PONG, Err: "no matching peer" }),
    }, async (socket) => {
      ran = await run(["--socket", socket, "ping", "-c", "1", word]);
    });
    return [ran!.code, ran!.err];
  };
  const locked = { Enabled: true, NodeKeySigned: true, FilteredPeers: [late] };
  const text = "late.lab.ts.net is locked out by Tailnet Lock; on a node with a trusted key run: agent lock sign " +
    `${NodeKey}\n`;
  assert.deepEqual(await ask(locked, "late.lab.ts.net"), [1, text]);
  assert.deepEqual(await ask(locked, "100.64.0.9"), [1, text]);
  assert.deepEqual(await ask(locked, "100.64.0.8"), [1, "no matching peer\n"]);
  assert.deepEqual(await ask({ Enabled: true, NodeKeySigned: false, FilteredPeers: null }, "100.64.0.8"), [
    1,
    "this node is locked out by Tailnet Lock; 'agent lock status' has the command that signs it\n",
  ]);
});
