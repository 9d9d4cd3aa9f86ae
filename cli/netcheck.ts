/**
 * `netcheck`: what the network around this node allows. The daemon measures, with sockets of its own; the report is
 * Tailscale's. Source: cmd/tailscale/cli/netcheck.go.
 */
import { formatDuration } from "./duration.ts";
import { EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import type { DerpRegions, NetcheckReport } from "./local_types.ts";
import { print, printError } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  format: { type: "string", value: "json|json-line", help: "print JSON instead of text" },
  every: { type: "duration", help: "measure again and again, with this pause" },
  verbose: { type: "boolean", help: "print the numbers of the regions" },
  "bind-address": { type: "string", help: "", hidden: true },
  "bind-port": { type: "number", help: "", hidden: true },
} as const;

function portMapping({ UPnP, PMP, PCP }: NetcheckReport): string {
  const kinds = [["UPnP", UPnP], ["NAT-PMP", PMP], ["PCP", PCP]] as const;
  if (kinds.every(([, found]) => typeof found !== "boolean")) return "not checked";
  return kinds.filter(([, found]) => found === true).map(([name]) => name).join(", ");
}

function ipv6Line(report: NetcheckReport): string {
  if (report.GlobalV6 !== "") return `yes, ${report.GlobalV6}`;
  if (report.IPv6) return "(no addr found)";
  return report.OSHasIPv6 ? "no, but OS has support" : "no, unavailable in OS";
}

function nearest(report: NetcheckReport, regions: NonNullable<DerpRegions["Regions"]>): string {
  if (Object.keys(report.RegionLatency ?? {}).length === 0) return "unknown (no response to latency probes)";
  if (report.PreferredDERP === 0) return "[none]";
  return regions[report.PreferredDERP]?.RegionName ?? `${report.PreferredDERP} (region not found in map)`;
}

/** Measured regions, the fastest first, then the others by number. */
function latencyLines(
  latencies: Readonly<Record<string, number>>,
  regions: NonNullable<DerpRegions["Regions"]>,
  verbose: boolean,
): string[] {
  const ids = Object.keys(regions);
  ids.sort((a, b) => {
    const [left, right] = [latencies[a] ?? Infinity, latencies[b] ?? Infinity];
    return left === right ? Number(a) - Number(b) : left - right;
  });
  return ids.map((id) => {
    const { RegionCode, RegionName } = regions[id];
    const latency = Object.hasOwn(latencies, id) ? formatDuration(Math.round(latencies[id] / 1e5) / 10) : "";
    return `\t\t- ${RegionCode.padStart(3)}: ${latency.padEnd(7)} (${verbose ? `derp${id}, ` : ""}${RegionName})`;
  });
}

/** The report as text. */
export function formatNetcheck(report: NetcheckReport, map: DerpRegions | null, verbose: boolean): string {
  const regions = map?.Regions ?? {};
  const latencies = report.RegionLatency ?? {};
  const varies = typeof report.MappingVariesByDestIP === "boolean" ? String(report.MappingVariesByDestIP) : "";
  const lines = [
    "",
    "Report:",
    `\t* Time: ${report.Now.replace("T", " ")}`,
    `\t* UDP: ${report.UDP}`,
    `\t* IPv4: ${report.GlobalV4 === "" ? "(no addr found)" : `yes, ${report.GlobalV4}`}`,
    `\t* IPv6: ${ipv6Line(report)}`,
    `\t* MappingVariesByDestIP: ${varies}`,
    `\t* PortMapping: ${portMapping(report)}`,
  ];
  if (typeof report.CaptivePortal === "boolean") lines.push(`\t* CaptivePortal: ${report.CaptivePortal}`);
  lines.push(`\t* Nearest DERP: ${nearest(report, regions)}`);
  if (Object.keys(latencies).length > 0) lines.push("\t* DERP latency:", ...latencyLines(latencies, regions, verbose));
  return `${lines.join("\n")}\n`;
}

export const netcheck: Verb = {
  help: `Usage: {program} netcheck [flags]

Measures the network around this node: UDP, addresses seen from outside, the kind of NAT, and the way to each relay.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, given } = parseOnlyFlags(FLAGS, args);
    if (!["", "json", "json-line"].includes(values.format)) {
      throw new UsageError(`unknown output format "${values.format}": want json or json-line`);
    }
    if (values.every < 0) throw new UsageError("--every cannot be negative");
    const bound = ["bind-address", "bind-port"].find((flag) => given.has(flag));
    if (bound !== undefined) {
      throw new UsageError(`--${bound} is not offered: the daemon measures with its own sockets`);
    }
    if (values.format !== "") printError("# Warning: this JSON format is not yet considered a stable interface\n");
    for (;;) {
      const report = await client.json<NetcheckReport>("POST", "agent/netcheck");
      if (values.format === "json") print(`${JSON.stringify(report, null, "\t")}\n`);
      else if (values.format === "json-line") print(`${JSON.stringify(report)}\n`);
      else print(formatNetcheck(report, await client.json<DerpRegions | null>("GET", "derpmap"), values.verbose));
      if (values.every === 0) return EXIT_OK;
      await new Promise((resolve) => setTimeout(resolve, values.every));
    }
  },
};
