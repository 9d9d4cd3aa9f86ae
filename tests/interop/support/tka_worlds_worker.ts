// A share of the worlds, on a thread of its own: asked once, answers once.

import { compareWorlds, describe } from "./tka_differences.ts";
import type { Tally } from "./tka_differences.ts";
import { TkaOracle } from "./tka_oracle.ts";

export interface Share {
  /** Of tka-oracle. */
  readonly path: string;
  readonly firstSeed: number;
  readonly worlds: number;
  readonly size: number;
}

export interface ShareAnswer {
  readonly tally: Tally;
  /** The first difference, as text. */
  readonly difference: string | undefined;
}

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Share>) => void) | null;
  postMessage(message: ShareAnswer): void;
};

scope.onmessage = async ({ data: { path, firstSeed, worlds, size } }) => {
  await using oracle = new TkaOracle(path);
  const { tally, difference } = await compareWorlds(oracle, firstSeed, worlds, size);
  scope.postMessage({ tally, difference: difference === undefined ? undefined : describe(difference) });
};
