// Histories of a node and its control with upstream's package on both ends.

import { toHex } from "../../../base/bytes.ts";
import { logUniform, makeLocks, makeScript } from "../../support/history.ts";
import { SeededRandom } from "../../support/random.ts";
import { TkaOracle } from "./tka_oracle.ts";

/** How a history ended with upstream's package. */
interface HistoryAnswer {
  readonly Synced: boolean;
  readonly Open: boolean;
  readonly OldLock: boolean;
  readonly Why: string;
  readonly Error?: string;
}

/** Of how many, how many nodes were lost, and why. */
export interface Losses {
  readonly histories: number;
  readonly lost: number;
  readonly why: Readonly<Record<string, number>>;
}

const KINDS = [
  ["no intersection", "finds no common history, and tries for ever"],
  ["iteration limit", "is further behind than it walks, and tries for ever"],
  ["not empty", "could not open its store after a death or a long chain, and lets everybody pass"],
] as const;

/** Plays histories of consecutive seeds, as `deno task lost-nodes` does with ours. @param path of tka-oracle. */
export async function upstreamLosses(
  path: string,
  firstSeed: number,
  histories: number,
  most: number,
): Promise<Losses> {
  await using oracle = new TkaOracle(path);
  for (const { genesis, aums } of makeLocks(6, most)) {
    await oracle.ask({ Op: "pool", AUMs: [genesis, ...aums].map(({ bytes }) => toHex(bytes)) });
  }
  const why: Record<string, number> = {};
  let lost = 0;
  for (let seed = firstSeed; seed < firstSeed + histories; seed++) {
    const random = new SeededRandom(seed);
    const { deeds } = makeScript(random, logUniform(random, most));
    const { Synced, OldLock, Why, Error: problem } = await oracle.ask<HistoryAnswer>({ Op: "history", Deeds: deeds });
    if (problem !== undefined) throw new Error(`history ${seed}: ${problem}`);
    if (Synced) continue;
    lost++;
    const kind = KINDS.find(([text]) => Why.includes(text))?.[1] ?? Why;
    const name = OldLock ? "stays under a lock that was disabled" : kind;
    why[name] = (why[name] ?? 0) + 1;
  }
  return { histories, lost, why };
}
