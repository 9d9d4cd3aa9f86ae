/** Many histories on several threads. */
import type { Ends, HistoryAnswer, HistoryShare } from "./lost_nodes_worker.ts";

export interface HistoriesPlayed {
  readonly ends: Ends;
  /** Of control's own, together. */
  readonly aums: number;
}

/** Plays histories of consecutive seeds. @throws Error naming the first that loses its node. */
export async function playOnThreads(
  whole: HistoryShare,
  threads: number,
  soFar: (played: HistoriesPlayed) => void = () => {},
): Promise<HistoriesPlayed> {
  const { firstSeed, most } = whole;
  const part = (count: number, i: number) => Math.floor(count * (i + 1) / threads) - Math.floor(count * i / threads);
  let next = firstSeed;
  const known: HistoriesPlayed[] = [];
  const shares = Array.from({ length: threads }, (_, i): HistoryShare => {
    const share = { firstSeed: next, histories: part(whole.histories, i), most, long: part(whole.long, i) };
    next += share.histories + share.long;
    return share;
  });
  const told = (i: number) => (played: HistoriesPlayed) => {
    known[i] = played;
    soFar(sum(known.filter((one) => one !== undefined)));
  };
  return sum(await Promise.all(shares.map((share, i) => ask(share, told(i)))));
}

function sum(parts: readonly HistoriesPlayed[]): HistoriesPlayed {
  const ends: Record<string, number> = {};
  let aums = 0;
  for (const part of parts) {
    aums += part.aums;
    for (const [name, count] of Object.entries(part.ends)) ends[name] = (ends[name] ?? 0) + count;
  }
  return { ends, aums };
}

function ask(share: HistoryShare, soFar: (played: HistoriesPlayed) => void): Promise<HistoriesPlayed> {
  const worker = new Worker(new URL("./lost_nodes_worker.ts", import.meta.url), { type: "module" });
  return new Promise<HistoriesPlayed>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<HistoryAnswer>) => {
      if (data.kind === "lost") reject(new Error(data.why));
      else if (data.kind === "done") resolve(data);
      else soFar(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`histories from ${share.firstSeed}: ${event.message}`));
    };
    worker.postMessage(share);
  }).finally(() => worker.terminate());
}
