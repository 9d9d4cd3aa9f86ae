/** Which sources the packets come from that a machine gets: counters of nft in its INPUT. */
import type { LabNamespace } from "./lab.ts";

/**
 * Counts packets that come in from the given sources. @param destination only those for this address
 * @returns a reader, which begins again from 0
 */
export async function countSources(
  host: LabNamespace,
  sources: readonly string[],
  destination?: string,
): Promise<() => Promise<number[]>> {
  const counters = sources.map((_, i) => `counter c${i} {};`).join(" ");
  const to = destination === undefined ? "" : `ip daddr ${destination} `;
  const rules = sources.map((source, i) => `${to}ip saddr ${source} counter name c${i};`).join(" ");
  await host.nft(
    "table inet lab_seen { };\ndelete table inet lab_seen;\n" +
      `table inet lab_seen { ${counters} chain input { type filter hook input priority 0; ${rules} }; }`,
  );
  return async () => {
    const text = await host.must(["nft", "-j", "reset", "counters", "table", "inet", "lab_seen"]);
    const listed: { counter?: { name: string; packets: number } }[] = JSON.parse(text).nftables;
    return sources.map((_, i) => listed.find(({ counter }) => counter?.name === `c${i}`)!.counter!.packets);
  };
}
