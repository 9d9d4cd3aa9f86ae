// Many worlds on several threads, each with an oracle of its own.

import { addTally, emptyTally } from "./tka_differences.ts";
import type { Share, ShareAnswer } from "./tka_worlds_worker.ts";

/** Compares worlds of consecutive seeds, shared among `threads`. @param path of tka-oracle. */
export async function compareOnThreads(
  path: string,
  firstSeed: number,
  worlds: number,
  threads: number,
  size = 24,
): Promise<ShareAnswer> {
  const each = Math.ceil(worlds / threads);
  const shares = Array.from({ length: threads }, (_, i): Share => ({
    path,
    firstSeed: firstSeed + i * each,
    worlds: Math.min(each, worlds - i * each),
    size,
  }));
  const answers = await Promise.all(shares.filter((share) => share.worlds > 0).map(ask));
  const tally = emptyTally();
  for (const answer of answers) addTally(tally, answer.tally);
  return { tally, difference: answers.find(({ difference }) => difference !== undefined)?.difference };
}

function ask(share: Share): Promise<ShareAnswer> {
  const worker = new Worker(new URL("./tka_worlds_worker.ts", import.meta.url), { type: "module" });
  return new Promise<ShareAnswer>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<ShareAnswer>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`worlds from ${share.firstSeed}: ${event.message}`));
    };
    worker.postMessage(share);
  }).finally(() => worker.terminate());
}
