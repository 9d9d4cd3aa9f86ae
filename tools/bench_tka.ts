/**
 * Times Tailnet Lock beside upstream's on the same chain and netmap, in one run.
 *
 * deno task bench:lock [--aums 1900] [--peers 10000] [--rounds 5]
 * Each figure is the best of the rounds; the two programs take turns, as other work on the machine slows both.
 */
import { parseArgs } from "node:util";
import { toHex } from "../base/bytes.ts";
import { NodePublic } from "../base/keys.ts";
import { Aum } from "../tka/aum.ts";
import { DiskChonk } from "../daemon/lock/disk_chonk.ts";
import { Authority } from "../tka/authority.ts";
import { MemChonk } from "../tka/mem_chonk.ts";
import { encodeNodeKeySignature, nodeKeyBinary, SIG_KIND } from "../tka/node_key_signature.ts";
import type { State } from "../tka/state.ts";
import { buildTkaOracle } from "../tests/interop/support/build.ts";
import { TkaOracle } from "../tests/interop/support/tka_oracle.ts";
import { drawChain, longChain } from "../tests/support/chain_dsl.ts";
import { testKey } from "../tests/support/lock_keys.ts";
import { SeededRandom } from "../tests/support/random.ts";

const { values } = parseArgs({
  options: {
    aums: { type: "string", default: "1900" },
    peers: { type: "string", default: "10000" },
    rounds: { type: "string", default: "5" },
  },
});
const [count, peers, rounds] = [values.aums, values.peers, values.rounds].map(Number);

/** Microseconds for each job. */
interface Times {
  Decode: number;
  Inform: number;
  Open: number;
  Verify: number;
  CatchUp: number;
  OpenDisk: number;
}

const random = new SeededRandom(1);
const { genesis } = drawChain("G");
const aums = [genesis, ...longChain(genesis, genesis.state as State, count - 1, testKey(1))].map((aum) => aum.bytes);
const nodes = Array.from({ length: peers }, () => new NodePublic(random.bytes(32)));
const signatures = nodes.map((node, i) => {
  const signer = testKey(1 + i % 3);
  const body = { kind: SIG_KIND.DIRECT, keyId: signer.public, pubkey: nodeKeyBinary(node) };
  return encodeNodeKeySignature(signer.signNks(body));
});

function ours(): Times & { Head: string; Authorized: number } {
  let start = performance.now();
  const lap = (): number => {
    const took = (performance.now() - start) * 1000;
    start = performance.now();
    return took;
  };
  const decoded = aums.map((bytes) => Aum.decode(bytes));
  for (const aum of decoded) aum.hash;
  const Decode = lap();
  const chonk = new MemChonk();
  Authority.bootstrap(chonk, decoded[0], 0).inform(chonk, decoded.slice(1), 0);
  const Inform = lap();
  const authority = Authority.open(chonk);
  const Open = lap();
  const Authorized = nodes.filter((node, i) => authority.nodeKeyAuthorized(node, signatures[i]).authorized).length;
  const Verify = lap();
  return { Decode, Inform, Open, Verify, ...onDisk(decoded), Head: authority.head, Authorized };
}

/** Applies the last 1,000 AUMs to a store on disk that has those before them, and opens the whole. */
function onDisk(decoded: readonly Aum[]): Pick<Times, "CatchUp" | "OpenDisk"> {
  const base = Deno.makeTempDirSync({ prefix: "agent-bench-" });
  try {
    const directory = `${base}/ab12`;
    const store = DiskChonk.open(directory);
    const there = Math.max(1, decoded.length - 1000);
    let authority = Authority.bootstrap(store, decoded[0], 0);
    if (there > 1) authority = authority.inform(store, decoded.slice(1, there), 0);
    // As they come from control: not yet hashed.
    const coming = decoded.slice(there).map(({ bytes }) => Aum.decode(bytes));
    const start = performance.now();
    authority.inform(store, coming, 0);
    const CatchUp = (performance.now() - start) * 1000;
    const opening = performance.now();
    Authority.open(DiskChonk.open(directory));
    return { CatchUp, OpenDisk: (performance.now() - opening) * 1000 };
  } finally {
    Deno.removeSync(base, { recursive: true });
  }
}

const built = await buildTkaOracle();
if (built.kind === "skip") {
  console.error(`Cannot compare: ${built.reason}`);
  Deno.exit(1);
}
await using oracle = new TkaOracle(built.path);
const question = {
  Op: "bench",
  AUMs: aums.map(toHex),
  Sigs: signatures.map(toHex),
  Nodes: nodes.map((node) => node.hex),
} as const;
const best: { ours: Times; theirs: Times }[] = [];
for (let i = 0; i < rounds; i++) {
  const mine = ours();
  const theirs = await oracle.ask<Times & { Head: string; Authorized: number }>(question);
  if (mine.Head !== theirs.Head || mine.Authorized !== theirs.Authorized) throw new Error("the two sides disagree");
  best.push({ ours: mine, theirs });
}

const jobs: readonly (readonly [keyof Times, string])[] = [
  ["Decode", `decode and hash ${count} AUMs`],
  ["Inform", `verify and apply ${count} AUMs`],
  ["Open", `open a store of ${count} AUMs in memory`],
  ["OpenDisk", `open a store of ${count} AUMs on disk`],
  ["CatchUp", "catch up 1000 AUMs, onto disk"],
  ["Verify", `verify ${peers} node-key signatures`],
];
const ms = (side: "ours" | "theirs", job: keyof Times) => Math.min(...best.map((round) => round[side][job])) / 1000;
console.log(`${"".padEnd(40)}${"ours".padStart(10)}${"upstream".padStart(12)}${"ratio".padStart(8)}`);
for (const [job, name] of jobs) {
  const [a, b] = [ms("ours", job), ms("theirs", job)];
  console.log(
    `${name.padEnd(40)}${a.toFixed(1).padStart(7)} ms${b.toFixed(1).padStart(9)} ms${(a / b).toFixed(2).padStart(8)}`,
  );
}
