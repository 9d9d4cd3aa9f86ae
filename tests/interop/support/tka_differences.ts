// Runs random worlds through our lock and upstream's, and says where they differ.

import { UPSTREAM_WALK_LIMITS } from "../../../tka/limits.ts";
import type { WalkLimits } from "../../../tka/limits.ts";
import { SeededRandom } from "../../support/random.ts";
import type { Covered } from "../../support/tka_coverage.ts";
import type { Result, Step } from "../../support/tka_node.ts";
import type { World } from "../../support/tka_world.ts";
import { makeWorld } from "../../support/tka_world.ts";
import type { TkaOracle } from "./tka_oracle.ts";

/** Where we are more lenient than upstream on purpose; after one of these a world's nodes are not comparable. */
export const KNOWN_DIFFERENCES = {
  "opens one of several chains":
    "upstream forgets that the active chain is active when it is one AUM long or another branch of it misses the hint",
  "compacts a store that begins with a young checkpoint":
    "upstream fails when the chain was bootstrapped from a later checkpoint less than minAge ago",
  "keeps the very first AUM": "upstream fails when what must be kept reaches back to the first AUM of the store",
} as const;

/** Where our bounds on walks (`WALK_LIMITS`) let us go on and upstream's stop it, by step. */
export const BEYOND_BOUNDS = {
  open: "a store of more than 2,000 AUMs is opened",
  inform: "a branch is taken into a chain of more than 2,000 AUMs",
  missing: "the other side's head is found more than 1,000 AUMs back, its ancestors more than 2,000 back",
} as const;

export type KnownDifference = keyof typeof KNOWN_DIFFERENCES;

type StepsTaken = Pick<World, "steps" | "results">;

/** One step that came out differently. */
export interface Difference {
  readonly seed: number;
  readonly index: number;
  readonly step: Step;
  readonly ours: Result;
  readonly theirs: Result;
  readonly known: KnownDifference | undefined;
  readonly world: StepsTaken;
}

/** Counts of a run. */
export interface Tally {
  worlds: number;
  steps: number;
  accepted: number;
  readonly known: Map<KnownDifference, number>;
  /** In how many worlds each thing happened. */
  readonly covered: Map<Covered, number>;
}

export function emptyTally(): Tally {
  return { worlds: 0, steps: 0, accepted: 0, known: new Map(), covered: new Map() };
}

/** Adds a tally to another. */
export function addTally(sum: Tally, more: Tally): void {
  sum.worlds += more.worlds;
  sum.steps += more.steps;
  sum.accepted += more.accepted;
  for (const [name, count] of more.known) sum.known.set(name, (sum.known.get(name) ?? 0) + count);
  for (const [name, count] of more.covered) sum.covered.set(name, (sum.covered.get(name) ?? 0) + count);
}

function knownDifference(ours: Result, theirs: Result): KnownDifference | undefined {
  if (!ours.OK || theirs.OK) return undefined;
  const error = theirs.Error ?? "";
  if (error.includes("multiple distinct chains")) return "opens one of several chains";
  if (error.includes("searching for compaction target") || error.includes("marking active chain")) {
    return "compacts a store that begins with a young checkpoint";
  }
  if (error.includes("marking ancestor intersection")) return "keeps the very first AUM";
  return undefined;
}

/** Everything but the texts of errors; which of them say that there is no common history must agree too. */
function comparable(step: Step, { Error: error, ...rest }: Result): string {
  const noIntersection = step.Do === "missing" && /no intersection|\[no-intersection\]/.test(error ?? "");
  return JSON.stringify(Object.entries({ ...rest, noIntersection }).filter(([, v]) => v !== undefined).sort());
}

/** The first step at which two runs of a world differ. */
export function firstDifference(seed: number, world: StepsTaken, theirs: readonly Result[]): Difference | undefined {
  for (const [index, step] of world.steps.entries()) {
    const ours = world.results[index];
    const other = theirs[index];
    const mine = { ...ours, ...(ours.PrevKeys?.length === 0 ? { PrevKeys: undefined } : {}) };
    if (mine.Hashes?.length === 0) delete mine.Hashes;
    if (mine.AUMs?.length === 0) delete mine.AUMs;
    if (comparable(step, mine) !== comparable(step, other)) {
      return { seed, index, step, ours, theirs: other, known: knownDifference(ours, other), world };
    }
  }
  return undefined;
}

/** Compares worlds of consecutive seeds; stops at the first difference that is not on the list. */
export async function compareWorlds(
  oracle: TkaOracle,
  firstSeed: number,
  worlds: number,
  size = 24,
  limits: WalkLimits = UPSTREAM_WALK_LIMITS,
): Promise<{ readonly tally: Tally; readonly difference: Difference | undefined }> {
  const tally = emptyTally();
  const batch = 50;
  // One batch is made here while the other side works on the one before.
  let before: Promise<Difference | undefined> = Promise.resolve(undefined);
  for (let from = 0; from < worlds; from += batch) {
    const seeds = Array.from({ length: Math.min(batch, worlds - from) }, (_, i) => firstSeed + from + i);
    const made = seeds.map((seed) => makeWorld(new SeededRandom(seed), size, limits));
    const difference = await before;
    if (difference !== undefined) return { tally, difference };
    before = compareBatch(oracle, seeds, made, tally);
  }
  return { tally, difference: await before };
}

async function compareBatch(
  oracle: TkaOracle,
  seeds: readonly number[],
  made: readonly World[],
  tally: Tally,
): Promise<Difference | undefined> {
  const questions = made.map((world) => ({ Op: "world", Steps: world.steps } as const));
  const answers = await oracle.askAll<{ Steps: Result[] }>(questions);
  for (const [i, world] of made.entries()) {
    const difference = firstDifference(seeds[i], world, answers[i].Steps);
    tally.worlds++;
    tally.steps += difference?.index ?? world.steps.length;
    tally.accepted += world.results.filter(({ OK }) => OK).length;
    for (const name of world.covered) tally.covered.set(name, (tally.covered.get(name) ?? 0) + 1);
    if (difference === undefined) continue;
    if (difference.known === undefined) return difference;
    tally.known.set(difference.known, (tally.known.get(difference.known) ?? 0) + 1);
  }
  return undefined;
}

/** A difference as a person reads it. */
export function describe(difference: Difference): string {
  const { seed, index, step, ours, theirs, world } = difference;
  const short = (value: unknown) => JSON.stringify(value).replace(/"([0-9a-f]{60})[0-9a-f]+"/g, '"$1…"');
  const tail = world.steps.slice(Math.max(0, index - 6), index).map((s, i) =>
    `  ${Math.max(0, index - 6) + i} ${s.Do} node ${s.Node} ${world.results[Math.max(0, index - 6) + i].OK}`
  );
  return [
    `world ${seed}, step ${index}:`,
    ...tail,
    `step   ${short(step)}`,
    `ours   ${short(ours)}`,
    `theirs ${short(theirs)}`,
  ].join("\n");
}
