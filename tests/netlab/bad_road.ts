/**
 * Two engines with a bad road between them (udp_shim.ts), and transfers of known bytes over it: every pair of inner and
 * outer address family, whole and unchanged.
 *
 *   a ── veth ── road: udp_shim ── veth ── b
 */
import assert from "node:assert/strict";
import { denoRun, ENGINE_PORT, pairedNode, startEngineNode } from "./engine_nodes.ts";
import { serveHashes, transfer } from "./hashed_transfer.ts";
import type { Lab } from "./lab.ts";
import { AskedProgram } from "./line_reader.ts";

const SHIM = new URL("./udp_shim.ts", import.meta.url).pathname;
const LOSS = 0.01;
const DOUBLE = 0.01;
const LATE = 0.01;
/** Connections at once: with 1% lost one alone is slow, and several share the keypair's order. */
const FLOWS = 10;

const OUTER = {
  4: { left: "10.9.1.1", a: "10.9.1.2", right: "10.9.2.1", b: "10.9.2.2" },
  6: { left: "[fd09:1::1]", a: "[fd09:1::2]", right: "[fd09:2::1]", b: "[fd09:2::2]" },
};
const INNER = { 4: "100.64.0.2", 6: "fd7a:115c:a1e0::2" };

/** One passage over the road. */
export interface Passage {
  /** `AGENT_CRYPTO`; "" for the fastest. */
  readonly crypto: string;
  /** `AGENT_CRYPTO_WORKERS`, 0 by default. */
  readonly helpers?: number;
  readonly outer: 4 | 6;
  /** Inner families, carried at once. */
  readonly inner: readonly (4 | 6)[];
  /** Each way and for each inner family. */
  readonly bytes: number;
  /** ms for all of it. */
  readonly timeout: number;
}

/** Makes the three hosts, whose names begin with `name`, and lets the bytes pass. @throws AssertionError */
export async function travel(lab: Lab, name: string, passage: Passage): Promise<void> {
  const { crypto, helpers = 0, outer, inner, bytes, timeout } = passage;
  const [a, road, b] = ["a", "road", "b"].map((host) => lab.namespace(`${name}-${host}`));
  lab.link(a, ["10.9.1.2/24", "fd09:1::2/64"], road, ["10.9.1.1/24", "fd09:1::1/64"]);
  lab.link(road, ["10.9.2.1/24", "fd09:2::1/64"], b, ["10.9.2.2/24", "fd09:2::2/64"]);
  const at = (host: keyof typeof OUTER[4]) => `${OUTER[outer][host]}:${ENGINE_PORT}`;
  const argv = denoRun(SHIM, at("left"), at("a"), at("right"), at("b"), ...[LOSS, DOUBLE, LATE].map(String));
  const shim = new AskedProgram(road.spawn(argv, { stdin: "piped", stdout: "piped" }));
  assert.equal(await shim.line(), "ready");
  const env: Record<string, string> = { AGENT_CRYPTO_WORKERS: String(helpers) };
  if (crypto !== "") env.AGENT_CRYPTO = crypto;
  const { node: left } = await startEngineNode(a, pairedNode(1, at("left")), env);
  const { node: right } = await startEngineNode(b, pairedNode(2, at("right")), env);
  const server = await serveHashes(b);
  const part = Math.ceil(bytes / FLOWS);
  const flows = inner.flatMap((family) =>
    Array.from({ length: FLOWS }, () => transfer(a, INNER[family], part, part, timeout))
  );
  const startedAt = performance.now();
  await Promise.all(flows);
  const seconds = (performance.now() - startedAt) / 1000;
  const status = JSON.parse(await left.ask("status"));
  await Promise.all([left.end(), right.end(), server.end()]);
  const counts = await shim.finish();
  const megabytes = (2 * inner.length * FLOWS * part / 1e6).toFixed(0);
  console.log(
    `  ${status.cryptoProvider}${helpers > 0 ? ` and ${helpers} helpers` : ""}, outer IPv${outer}, inner IPv${
      inner.join(" and IPv")
    }: ${megabytes} MB in ${seconds.toFixed(1)} s; the road: ${counts}`,
  );
  const { lost, doubled, late } = JSON.parse(counts);
  assert.ok(lost > 0 && doubled > 0 && late > 0, "the road was not bad");
  assert.equal(status.cryptoProvider, crypto || status.cryptoProvider);
  // What comes twice is refused as a replay, data and now and then a handshake; nothing else is.
  const { "counter-replay": replays, "timestamp-replay": _again, "handshake-state": _both, ...drops } = status.drops;
  assert.ok(replays > 0, "nothing was refused as a replay");
  assert.deepEqual(Object.keys(drops).filter((reason) => reason !== "filter-multicast"), []);
}
