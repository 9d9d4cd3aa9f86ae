/** The pool on a fake clock, with relays of ours at the other end of streams in memory. */
import assert from "node:assert/strict";
import { DropCounters } from "../../base/drops.ts";
import { NodePrivate } from "../../base/keys.ts";
import type { DERPMap, DERPNode } from "../../derp/derp_map.ts";
import { DerpPool } from "../../derp/pool.ts";
import type { RegionState } from "../../derp/pool.ts";
import { DerpServer } from "../../derp/server.ts";
import { duplexPair } from "../support/duplex_pair.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";
import { SeededRandom } from "../support/random.ts";

const NOTHING = new Uint8Array(0);
const SWITCHING = new TextEncoder().encode("HTTP/1.1 101 Switching Protocols\r\n\r\n");

function node(name: string): DERPNode {
  return { Name: name, RegionID: parseInt(name), HostName: `${name}.example` };
}

function mapOf(...names: string[]): DERPMap {
  const regions: Record<string, { RegionID: number; RegionCode: string; RegionName: string; Nodes: DERPNode[] }> = {};
  for (const name of names) {
    const id = parseInt(name);
    regions[id] ??= { RegionID: id, RegionCode: `r${id}`, RegionName: "", Nodes: [] };
    regions[id].Nodes.push(node(name));
  }
  return { Regions: regions };
}

class Bench {
  readonly scheduler = new FakeScheduler();
  readonly random = new SeededRandom(17);
  readonly drops = new DropCounters();
  readonly logs: string[] = [];
  readonly states: string[] = [];
  readonly received: string[] = [];
  /** Names of the nodes dialled, with the time. */
  readonly dials: [string, number][] = [];
  /** How a node behaves; a relay when absent. */
  readonly behaviour = new Map<string, "refuses" | "hangs" | "hangs up" | "WebSockets only">();
  readonly servers = new Map<string, DerpServer>();
  key: NodePrivate | undefined = NodePrivate.generate(this.random.bytes);
  readonly pool = new DerpPool({
    privateKey: () => this.key,
    scheduler: this.scheduler,
    random: this.random.bytes,
    drops: this.drops,
    log: (line) => this.logs.push(line),
    dial: (node, signal, webSocket) => this.#dial(node, signal, webSocket),
    events: {
      received: (region, _peer, payload) => this.received.push(`${region}: ${payload}`),
      peerGone: () => {},
      stateChanged: (region, state: RegionState) => this.states.push(`${region} ${state.kind}`),
      health: () => {},
    },
  });

  server(name: string): DerpServer {
    const known = this.servers.get(name);
    if (known !== undefined) return known;
    const server = new DerpServer({
      privateKey: NodePrivate.generate(this.random.bytes),
      scheduler: this.scheduler,
      random: this.random.bytes,
      log: () => {},
    });
    this.servers.set(name, server);
    return server;
  }

  async #dial(node: DERPNode, signal: AbortSignal, webSocket = false) {
    this.dials.push([webSocket ? `${node.Name} by WebSocket` : node.Name, this.scheduler.monotonic()]);
    const behaviour = this.behaviour.get(node.Name);
    if (behaviour === "refuses") throw new Error(`no route to ${node.Name}`);
    if (behaviour === "hangs") {
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }
    const [ours, theirs] = duplexPair();
    if (webSocket) {
      if (behaviour !== "WebSockets only") throw new Error(`no WebSockets on ${node.Name}`);
      this.server(node.Name).accept(theirs, "192.0.2.1", NOTHING, NOTHING);
      return { duplex: ours, host: node.HostName, upgraded: true };
    }
    if (behaviour === "hangs up" || behaviour === "WebSockets only") theirs.end("HTTP/1.1 500 X\r\n\r\n");
    else {
      theirs.once("data", (request: Uint8Array) => {
        const end = new TextDecoder("latin1").decode(request).indexOf("\r\n\r\n") + 4;
        this.server(node.Name).accept(theirs, "192.0.2.1", SWITCHING, request.subarray(end));
      });
    }
    return { duplex: ours, host: node.HostName };
  }

  async end(): Promise<void> {
    this.pool.close();
    for (const server of this.servers.values()) {
      const closing = server.close();
      await this.scheduler.advance(2000);
      await closing;
    }
    assert.equal(this.scheduler.pending, 0, "no timer is left");
  }
}

Deno.test("a region used on demand is closed after 60 idle seconds, the home is not", async () => {
  const bench = new Bench();
  bench.pool.setMap(mapOf("1a", "2a"));
  bench.pool.setHome(1);
  assert.equal(bench.pool.send(2, bench.key!.public.hex, Uint8Array.of(5)), true);
  await bench.scheduler.advance(0);
  assert.deepEqual(bench.pool.status().map(({ region, kind, home }) => [region, kind, home]), [
    [1, "connected", true],
    [2, "connected", false],
  ]);
  assert.deepEqual(bench.received, ["2: 5"], "a packet to ourselves");
  await bench.scheduler.advance(55_000);
  bench.pool.send(2, bench.key!.public.hex, Uint8Array.of(6));
  await bench.scheduler.advance(59_000);
  assert.equal(bench.pool.status().length, 2);
  await bench.scheduler.advance(16_000);
  assert.deepEqual(bench.pool.status().map(({ region }) => region), [1]);
  assert.equal(bench.states.at(-1), "2 closed");
  await bench.scheduler.advance(600_000);
  assert.equal(bench.pool.status()[0].kind, "connected");
  await bench.end();
});

Deno.test("an unreachable home is tried again, never more than five seconds apart", async () => {
  const bench = new Bench();
  bench.behaviour.set("1a", "refuses");
  bench.pool.setMap(mapOf("1a"));
  bench.pool.setHome(1);
  await bench.scheduler.advance(60_000);
  const gaps = bench.dials.slice(1).map(([, at], i) => at - bench.dials[i][1]);
  assert.ok(gaps[0] >= 50 && gaps[0] <= 100, `first wait ${gaps[0]} ms`);
  assert.ok(Math.max(...gaps) <= 5000 && gaps.at(-1)! >= 2500, `waits ${gaps.map(Math.round)}`);
  assert.equal(bench.pool.status()[0].error, "no route to 1a");
  assert.equal(bench.pool.send(1, bench.key!.public.hex, NOTHING), false);
  assert.equal(bench.drops.get("no-path"), 1);
  bench.behaviour.clear();
  await bench.scheduler.advance(5000);
  assert.equal(bench.pool.status()[0].kind, "connected");
  await bench.end();
});

Deno.test("the nodes of a region are tried in order, and one that fails the login is passed over next time", async () => {
  const bench = new Bench();
  bench.behaviour.set("1a", "refuses");
  bench.behaviour.set("1b", "hangs up");
  bench.pool.setMap(mapOf("1a", "1b", "1c"));
  bench.pool.setHome(1);
  await bench.scheduler.advance(200);
  assert.deepEqual(bench.dials.map(([name]) => name), ["1a", "1b", "1c"]);
  assert.equal(bench.pool.status()[0].node, "1c");
  assert.match(bench.logs[0], /derp-1: the server answered the upgrade with 500 X/);
  await bench.end();
});

Deno.test("a node that refuses the upgrade is tried by WebSocket next, and by the upgrade after that", async () => {
  const bench = new Bench();
  bench.behaviour.set("1a", "WebSockets only");
  bench.pool.setMap(mapOf("1a"));
  bench.pool.setHome(1);
  await bench.scheduler.advance(200);
  assert.deepEqual(bench.dials.map(([name]) => name), ["1a", "1a by WebSocket"]);
  assert.equal(bench.pool.status()[0].kind, "connected");
  bench.pool.send(1, bench.key!.public.hex, Uint8Array.of(5));
  await bench.scheduler.advance(0);
  assert.deepEqual(bench.received, ["1: 5"]);
  bench.pool.rebind();
  await bench.scheduler.advance(500);
  assert.equal(bench.pool.status()[0].kind, "connected");

  bench.behaviour.set("1a", "hangs up");
  bench.dials.length = 0;
  bench.pool.rebind();
  await bench.scheduler.advance(2000);
  const tried = bench.dials.map(([name]) => name);
  assert.ok(tried.includes("1a") && tried.includes("1a by WebSocket"), `both in turn: ${tried}`);
  bench.behaviour.clear();
  await bench.scheduler.advance(10_000);
  assert.equal(bench.pool.status()[0].kind, "connected");
  await bench.end();
});

Deno.test("a region that is no longer wanted is not tried again", async () => {
  const bench = new Bench();
  bench.behaviour.set("1a", "refuses");
  bench.pool.setMap(mapOf("1a"));
  bench.pool.send(1, bench.key!.public.hex, NOTHING);
  await bench.scheduler.advance(90_000);
  assert.deepEqual(bench.pool.status(), []);
  const before = bench.dials.length;
  await bench.scheduler.advance(90_000);
  assert.equal(bench.dials.length, before);
  await bench.end();
});

Deno.test("a new map closes regions that went and reconnects to nodes that changed", async () => {
  const bench = new Bench();
  bench.pool.setMap(mapOf("1a", "2a"));
  bench.pool.setHome(1);
  bench.pool.send(2, bench.key!.public.hex, NOTHING);
  await bench.scheduler.advance(0);
  bench.pool.setMap(mapOf("1a"));
  assert.deepEqual(bench.pool.status().map(({ region }) => region), [1]);
  await bench.scheduler.advance(0);
  assert.equal(bench.dials.length, 2, "an unchanged node keeps its connection");
  const changed = mapOf("1a");
  bench.pool.setMap({ Regions: { "1": { ...changed.Regions["1"], Nodes: [{ ...node("1a"), DERPPort: 8443 }] } } });
  await bench.scheduler.advance(0);
  assert.deepEqual(bench.dials.map(([name]) => name), ["1a", "2a", "1a"]);
  assert.equal(bench.pool.status()[0].kind, "connected");
  bench.pool.setMap(mapOf("3a"));
  assert.deepEqual(bench.pool.status(), []);
  bench.pool.setMap(mapOf("1a"));
  await bench.scheduler.advance(0);
  assert.equal(bench.pool.status()[0].kind, "connected", "the home came back");
  await bench.end();
});

Deno.test("a change of home keeps the old region until it is idle", async () => {
  const bench = new Bench();
  bench.pool.setMap(mapOf("1a", "2a"));
  bench.pool.setHome(1);
  await bench.scheduler.advance(0);
  assert.equal(bench.server("1a").counters().homeClients, 1);
  bench.pool.setHome(2);
  await bench.scheduler.advance(0);
  assert.equal(bench.server("1a").counters().homeClients, 0, "NotePreferred(0)");
  assert.equal(bench.server("2a").counters().homeClients, 1);
  await bench.scheduler.advance(80_000);
  assert.deepEqual(bench.pool.status().map(({ region }) => region), [2]);
  await bench.end();
});

Deno.test("nothing connects without a node key, and everything does under a new one", async () => {
  const bench = new Bench();
  const key = bench.key!;
  bench.key = undefined;
  bench.pool.setMap(mapOf("1a"));
  bench.pool.setHome(1);
  await bench.scheduler.advance(30_000);
  assert.deepEqual(bench.dials, []);
  bench.key = key;
  bench.pool.privateKeyChanged();
  await bench.scheduler.advance(0);
  assert.equal(bench.server("1a").has(key.public), true);
  bench.key = NodePrivate.generate(bench.random.bytes);
  bench.pool.privateKeyChanged();
  await bench.scheduler.advance(0);
  assert.equal(bench.server("1a").has(key.public), false);
  assert.equal(bench.server("1a").has(bench.key.public), true);
  bench.key = undefined;
  bench.pool.privateKeyChanged();
  await bench.scheduler.advance(0);
  assert.equal(bench.pool.status()[0].kind, "closed");
  await bench.end();
});

Deno.test("a server that restarts is left alone as long as it asked", async () => {
  const bench = new Bench();
  bench.pool.setMap(mapOf("1a"));
  bench.pool.setHome(1);
  await bench.scheduler.advance(0);
  const closing = bench.server("1a").close(3000);
  await bench.scheduler.advance(10);
  await closing;
  bench.servers.delete("1a");
  assert.equal(bench.pool.status()[0].kind, "failed");
  const lostAt = bench.scheduler.monotonic();
  await bench.scheduler.advance(4000);
  const [, at] = bench.dials.at(-1)!;
  assert.ok(at - lostAt >= 2900 && at - lostAt <= 3000, `came back after ${at - lostAt} ms`);
  assert.equal(bench.pool.status()[0].kind, "connected");
  await bench.end();
});

Deno.test("rebind() makes connections anew, and close() stops a dial that hangs", async () => {
  const bench = new Bench();
  bench.pool.setMap(mapOf("1a", "2a"));
  bench.pool.setHome(1);
  await bench.scheduler.advance(0);
  bench.pool.rebind();
  await bench.scheduler.advance(0);
  assert.deepEqual(bench.dials.map(([name]) => name), ["1a", "1a"]);
  assert.equal(bench.pool.status()[0].kind, "connected");
  bench.behaviour.set("2a", "hangs");
  bench.pool.send(2, bench.key!.public.hex, NOTHING);
  await bench.scheduler.advance(0);
  assert.equal(bench.states.at(-1), "2 connecting");
  await bench.end();
  assert.equal(bench.pool.send(1, "ab".repeat(32), NOTHING), false, "closed for good");
});
