/**
 * The regression gate of the data plane: what a packet costs in this process, TUN to socket and socket to TUN through
 * the whole engine, as a ratio to sealing it and nothing else in the same run, in CPU time of this thread. Such a ratio
 * hardly depends on the machine, or on what else it does.
 *
 * A limit is a quarter above the highest that was measured when it was set: noise moves a ratio by a tenth, a lost kernel, an
 * allocation for each packet or a second copy by more. Whoever makes the path faster lowers the limits.
 *
 * deno task bench:gate
 */
import { TUN_MTU } from "../engine/dataplane/layout.ts";
import { createArena } from "../ffi/arena.ts";
import { createCpuClock } from "../ffi/cpu_clock.ts";
import { joinedEnds, SEGMENTS } from "./dataplane/loop.ts";

/** Measured 1.11 to 1.18, and 1.22 to 1.33, by libcrypto; a slower provider hides more. */
const TRANSMIT_LIMIT = 1.45;
const RECEIVE_LIMIT = 1.65;
/** Super-packets a turn, as one turn of the worker takes. */
const BURST = 3;
const WARM_UP_MS = 1500;
const ROUNDS = 21;
const ROUND_MS = 60;

const { send, receive } = joinedEnds(Deno.env.get("AGENT_CRYPTO"));
const packets = BURST * SEGMENTS;
/** What others on the machine take is nobody's cost here. */
const cpuTime = createCpuClock(createArena(1 << 16));
const sealKey = send.provider.createKey(new Uint8Array(32).fill(7), "seal");
const slots = send.arena.reserve(packets * (TUN_MTU + 32));

function bareSeal(): void {
  for (let i = 0; i < packets; i++) send.provider.seal(sealKey, slots + i * (TUN_MTU + 32), TUN_MTU, i, 0);
}

/** Nanoseconds a packet of each kind, over one round; the three take turns within it. */
function round(ms: number): { bare: number; transmit: number; receive: number } {
  const spent = { bare: 0, transmit: 0, receive: 0 };
  let bursts = 0;
  for (const until = performance.now() + ms; performance.now() < until; bursts++) {
    let from = cpuTime();
    const lap = (what: keyof typeof spent) => {
      const now = cpuTime();
      spent[what] += now - from;
      from = now;
    };
    bareSeal();
    lap("bare");
    send.tun.pending = BURST;
    send.plane.turn(0);
    lap("transmit");
    if (send.deliver(receive) !== packets) throw new Error("Cannot measure: not every packet was sent");
    from = cpuTime();
    receive.plane.turn(0);
    lap("receive");
    // Keepalives and rekeys of the receiving end.
    receive.deliver(send);
    if (send.udp.inbox.length > 0) send.plane.turn(0);
  }
  const ns = (what: number) => what * 1e6 / (bursts * packets);
  return { bare: ns(spent.bare), transmit: ns(spent.transmit), receive: ns(spent.receive) };
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1];
}

round(WARM_UP_MS);
const rounds = Array.from({ length: ROUNDS }, () => round(ROUND_MS));
const lost = Object.entries(receive.drops.snapshot()).filter(([, count]) => count > 0);
if (lost.length > 0) throw new Error(`Cannot trust this run: packets were dropped, ${JSON.stringify(lost)}`);
console.log(`${TUN_MTU}-byte packets, ${send.provider.name}, medians of ${ROUNDS} rounds`);
console.log(`bare seal           ${median(rounds.map(({ bare }) => bare)).toFixed(0).padStart(6)} ns`);
let failed = false;
for (
  const [name, what, limit] of [
    ["TUN to socket", "transmit", TRANSMIT_LIMIT],
    ["socket to TUN", "receive", RECEIVE_LIMIT],
  ] as const
) {
  const ratio = median(rounds.map((each) => each[what] / each.bare));
  const verdict = ratio <= limit ? "within" : "ABOVE";
  failed ||= ratio > limit;
  const ns = median(rounds.map((each) => each[what])).toFixed(0).padStart(6);
  console.log(
    `${name.padEnd(20)}${ns} ns   ${ratio.toFixed(2)} of bare seal, ${verdict} the limit of ${limit.toFixed(2)}`,
  );
}
Deno.exit(failed ? 1 : 0);
