/** A share of the histories, on a thread of its own: asked once, tells after each hundred, answers once. */
import { logUniform, makeLock, makeLocks, makeScript } from "./history.ts";
import type { Lock } from "./history.ts";
import { KnownSignatures } from "./known_signatures.ts";
import { playHistory } from "./lost_nodes.ts";
import { SeededRandom } from "./random.ts";

export interface HistoryShare {
  readonly firstSeed: number;
  readonly histories: number;
  /** Lengths are log-uniform up to this. */
  readonly most: number;
  /** Histories of 10,000 to 100,000 AUMs, behind the others. */
  readonly long: number;
}

/** How many histories ended how. */
export type Ends = Readonly<Record<string, number>>;

export type HistoryAnswer =
  | { readonly kind: "so-far" | "done"; readonly ends: Ends; readonly aums: number }
  | { readonly kind: "lost"; readonly why: string };

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<HistoryShare>) => void) | null;
  postMessage(message: HistoryAnswer): void;
};

/** Locks a history may go through. */
const LOCKS = 6;
const LONGEST = 100_000;

function signaturesOf(locks: readonly Lock[]): KnownSignatures {
  return new KnownSignatures(locks.flatMap(({ genesis, aums }) => [genesis, ...aums]));
}

scope.onmessage = async ({ data: { firstSeed, histories, most, long } }) => {
  const ends: Record<string, number> = {};
  let aums = 0;
  const play = async (
    seed: number,
    locks: readonly Lock[],
    signed: KnownSignatures,
    lengthOf: (random: SeededRandom) => number,
  ) => {
    const random = new SeededRandom(seed);
    const length = lengthOf(random);
    const script = makeScript(random, length, locks.length > 1);
    // Now and then on a real disk, which is slow.
    const directory = seed % 50 === 0 && length < 300 ? Deno.makeTempDirSync({ prefix: "agent-history-" }) : undefined;
    // And now and then every signature is verified, however often that was done before.
    const known = seed % 20 === 0 ? undefined : signed;
    try {
      const { end, newLock } = await playHistory(script, locks, { directory, known });
      const name = `${end === "synced" ? "in sync by itself" : `in sync by the remedy of ${end}`}${
        newLock ? ", under a new lock" : ""
      }`;
      ends[name] = (ends[name] ?? 0) + 1;
      aums += length;
    } catch (cause) {
      throw new Error(`history ${seed} of ${length} AUMs loses its node: ${cause}`);
    } finally {
      if (directory !== undefined) Deno.removeSync(directory, { recursive: true });
    }
  };
  try {
    const locks = makeLocks(LOCKS, most);
    const signed = signaturesOf(locks);
    for (let i = 0; i < histories; i++) {
      await play(firstSeed + i, locks, signed, (random) => logUniform(random, most));
      if ((i + 1) % 100 !== 0) continue;
      scope.postMessage({ kind: "so-far", ends, aums });
      // Each call to control holds a timer of a minute, and histories never wait: here those that are over go.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const longLock = long > 0 ? [makeLock(0, LONGEST, 3)] : [];
    const longSigned = signaturesOf(longLock);
    for (let i = 0; i < long; i++) {
      await play(firstSeed + histories + i, longLock, longSigned, (random) => 10_000 + random.int(LONGEST - 10_000));
    }
    scope.postMessage({ kind: "done", ends, aums });
  } catch (cause) {
    scope.postMessage({ kind: "lost", why: String(cause instanceof Error ? cause.message : cause) });
  }
};
