// Bulk traffic between two ends of a tailnet, both ways at once, TCP with hashes and UDP with numbers.

import assert from "node:assert/strict";
import { seededSha256 } from "./seeded_bytes.ts";
import type { TrafficEnd } from "./traffic.ts";

/** One end, and the address the other reaches it by. */
export interface Party {
  readonly name: string;
  readonly end: TrafficEnd;
  readonly ip: string;
}

export interface ExchangeOptions {
  /** Of each of the two TCP connections. */
  readonly bytes: number;
  /** TCP here, UDP at the next; each exchange of a test takes its own. */
  readonly port?: number;
  /** Share of datagrams that must come back, 0 to 1. A relay keeps 32 packets for a client and drops the oldest. */
  readonly datagrams?: number;
  readonly timeoutMs?: number;
}

const hashes = new Map<string, string>();
function hashOf(seed: number, bytes: number): string {
  const key = `${seed} ${bytes}`;
  const hash = hashes.get(key) ?? seededSha256(seed, bytes);
  hashes.set(key, hash);
  return hash;
}

/**
 * Moves `bytes` from `a` to `b` and from `b` to `a`, on two connections at once, and 300 datagrams there and back from
 * each side meanwhile. @throws AssertionError when a byte is missing or another, or a datagram comes twice or changed.
 *
 * Each connection carries bytes from the side that dialed it: a tsnet node that has half-closed sends no SACK blocks,
 * and a sender that was promised them then waits for a time-out at each loss.
 */
export async function exchange(a: Party, b: Party, options: ExchangeOptions): Promise<void> {
  const { bytes, port = 7001, datagrams = 0.5, timeoutMs = 150_000 } = options;
  const at = ({ ip }: Party, p: number) => ip.includes(":") ? `[${ip}]:${p}` : `${ip}:${p}`;
  await Promise.all([a, b].flatMap(({ end }) => [
    end.listen({ kind: "sink", port }),
    end.listen({ kind: "udpecho", port: port + 1 }),
  ]));
  const startedAt = performance.now();
  const send = async (from: Party, to: Party, seed: number) => {
    const sent = await from.end.dial({ addr: at(to, port), send: bytes, receive: -1, seed, timeoutMs });
    const taken = (await to.end.transfers("sink", 1)).find(({ local }) => local.endsWith(`:${port}`));
    const what = `${from.name} to ${to.name}`;
    assert.deepEqual([sent.error, taken?.error], [undefined, undefined], what);
    assert.equal(taken?.received, bytes, what);
    assert.equal(taken?.receivedSha256, hashOf(seed, bytes), what);
    return `${what} ${(bytes / 1000 / sent.ms).toFixed(1)} MB/s`;
  };
  const echo = async (from: Party, to: Party) => {
    const done = await from.end.udp({ addr: at(to, port + 1), count: 300, size: 1100, intervalMs: 3, waitMs: 3000 });
    assert.deepEqual([done.repeated, done.damaged], [0, 0]);
    assert.ok(done.received >= done.sent * datagrams, `${done.received} of ${done.sent} datagrams came back`);
    return `${done.received} of ${done.sent}`;
  };
  const [there, back, udpA, udpB] = await Promise.all([send(a, b, 11), send(b, a, 12), echo(a, b), echo(b, a)]);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `  ${
      bytes / 1e6
    } MB each way in ${seconds} s, hashes equal: ${there}, ${back}; datagrams beside it: ${udpA}, ${udpB}`,
  );
}
