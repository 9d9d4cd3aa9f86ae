/** `debug dataplane`: what the data plane uses, how its worker fares, what it dropped. */
import { EXIT_OK } from "../exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const FLAGS = { json: { type: "boolean", help: "print as JSON" } } as const;

/** `Agent` of the status (daemon/status.ts). */
interface AgentStatus {
  readonly TUN: string;
  readonly CryptoProvider: string;
  readonly Offloads: Readonly<Record<string, boolean>>;
  readonly Drops: Readonly<Record<string, number>>;
  readonly Paths: Readonly<
    Record<string, { rxPackets: number; rxBytes: number; txPackets: number; txBytes: number }>
  >;
  readonly Turns: {
    readonly turns: number;
    readonly longByCpu: number;
    readonly longByWall: number;
    readonly longestCpuMs: number;
    readonly longestWallMs: number;
  };
}

function text({ TUN, CryptoProvider, Offloads, Drops, Paths, Turns }: AgentStatus): string {
  const names = (used: boolean) =>
    Object.entries(Offloads).filter(([, on]) => on === used).map(([name]) => name).join(" ") || "none";
  const rows: [string, string][] = [
    ["device", TUN],
    ["crypto", CryptoProvider],
    ["offloads", names(true)],
    ["not used", names(false)],
    ["turns", `${Turns.turns}, over 5 ms: ${Turns.longByCpu} by CPU time, ${Turns.longByWall} by the clock`],
    ["longest", `${Turns.longestCpuMs.toFixed(2)} ms of CPU time, ${Turns.longestWallMs.toFixed(2)} ms by the clock`],
    ...Object.entries(Paths).map(([path, count]): [string, string] => [
      path,
      `${count.rxPackets} packets (${count.rxBytes} bytes) in, ${count.txPackets} (${count.txBytes} bytes) out`,
    ]),
    ...Object.entries(Drops).filter(([, count]) => count > 0)
      .map(([reason, count]): [string, string] => [`drop`, `${reason} ${count}`]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join("");
}

export const dataplane: Verb & { readonly summary: string } = {
  summary: "Crypto provider, offloads, turns of the worker, packets by path, drops",
  help: `Usage: {program} debug dataplane [flags]

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    const { Agent } = await client.json<{ readonly Agent: AgentStatus }>("GET", "status?peers=false");
    print(values.json ? `${JSON.stringify(Agent, null, "\t")}\n` : text(Agent));
    return EXIT_OK;
  },
};
