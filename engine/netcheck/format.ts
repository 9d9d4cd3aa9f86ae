/** The text of `netcheck`. Source: cmd/tailscale/cli/netcheck.go. */
import { regionIds, regionOf } from "../../derp/derp_map.ts";
import type { DERPMap } from "../../derp/derp_map.ts";
import type { OptBool, RegionLatency, Report } from "./report.ts";

/** Go's text of a duration rounded to a tenth of a millisecond: "0s", "300µs", "12.3ms", "1.2s". */
export function formatLatency(ms: number): string {
  const tenths = Math.round(ms * 10);
  if (tenths === 0) return "0s";
  if (tenths < 10) return `${tenths * 100}µs`;
  return tenths < 10_000 ? `${tenths / 10}ms` : `${tenths / 10_000}s`;
}

/** Measured regions first, the fastest of them first. Source: netcheck.RegionLatency.Compare. */
function byLatency(latencies: RegionLatency): (a: number, b: number) => number {
  return (a, b) => (latencies.get(a) ?? Infinity) - (latencies.get(b) ?? Infinity) || a - b;
}

function optBool(value: OptBool): string {
  return value === undefined ? "" : String(value);
}

function portMapping(report: Report): string {
  const kinds: [string, OptBool][] = [["UPnP", report.upnp], ["NAT-PMP", report.pmp], ["PCP", report.pcp]];
  if (kinds.every(([, found]) => found === undefined)) return "not checked";
  return kinds.filter(([, found]) => found).map(([name]) => name).join(", ");
}

function ipv6Line(report: Report): string {
  if (report.globalV6 !== "") return `yes, ${report.globalV6}`;
  if (report.ipv6) return "(no addr found)";
  return report.osHasIpv6 ? "no, but OS has support" : "no, unavailable in OS";
}

function nearest(report: Report, map: DERPMap): string {
  if (report.regionLatency.size === 0) return "unknown (no response to latency probes)";
  if (report.preferredDerp === 0) return "[none]";
  const region = regionOf(map, report.preferredDerp);
  return region?.RegionName ?? `${report.preferredDerp} (region not found in map)`;
}

/** The report as `netcheck` prints it, times in UTC. @param verbose adds the regions' numbers. */
export function formatReport(report: Report, map: DERPMap, verbose = false): string {
  const lines = [
    "",
    "Report:",
    `\t* Time: ${new Date(report.now).toISOString().replace("T", " ").replace(".000Z", "Z")}`,
    `\t* UDP: ${report.udp}`,
    `\t* IPv4: ${report.globalV4 === "" ? "(no addr found)" : `yes, ${report.globalV4}`}`,
    `\t* IPv6: ${ipv6Line(report)}`,
    `\t* MappingVariesByDestIP: ${optBool(report.mappingVariesByDestIp)}`,
    `\t* PortMapping: ${portMapping(report)}`,
  ];
  if (report.captivePortal !== undefined) lines.push(`\t* CaptivePortal: ${report.captivePortal}`);
  lines.push(`\t* Nearest DERP: ${nearest(report, map)}`);
  if (report.regionLatency.size > 0) {
    lines.push("\t* DERP latency:");
    for (const id of regionIds(map).sort(byLatency(report.regionLatency))) {
      const { RegionCode, RegionName } = regionOf(map, id)!;
      const ms = report.regionLatency.get(id);
      const latency = ms === undefined ? "" : formatLatency(ms);
      const name = verbose ? `derp${id}, ${RegionName}` : RegionName;
      lines.push(`\t\t- ${RegionCode.padStart(3)}: ${latency.padEnd(7)} (${name})`);
    }
  }
  return lines.join("\n") + "\n";
}
