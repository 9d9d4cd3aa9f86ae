/**
 * What a person who looks for a fault needs to see of this node, as files by name. They stay on this machine: nothing
 * sends them anywhere, and whatever has a secret's form is struck out of each.
 *
 * Tailscale's report is a marker in logs that its servers have. Here the marker is in our own log, and the report has the
 * end of that log beside what the marker cannot say. Source: localapi.serveBugReport, doctor/.
 */
import { toHex } from "../base/bytes.ts";
import { EMPTY_DERP_MAP } from "../derp/derp_map.ts";
import { formatReport } from "../engine/netcheck/format.ts";
import { reportToJson } from "../engine/netcheck/report.ts";
import type { Backend } from "./backend.ts";
import { backendStatus, metricsInput } from "./backend_status.ts";
import type { HostFacts } from "./hostinfo.ts";
import { redact } from "./log.ts";
import type { ProcessLog } from "./log.ts";
import { allMetrics } from "./metrics.ts";
import { publicPrefs } from "./prefs.ts";

/** What it is made from besides the node itself. */
export interface BugReportSources {
  readonly backend: Backend;
  readonly log: ProcessLog;
  readonly host: HostFacts;
  readonly random: (length: number) => Uint8Array;
  /** Unix milliseconds when the daemon began. */
  readonly startedAt: number;
  readonly readSysctl: (path: string) => string | undefined;
}

/** Peers whose paths an in-depth report names. */
const MOST_PATHS = 100;

/** What decides over packets that leave the tunnel, or never come to it. */
const SYSCTLS = [
  ...["net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter"],
  ...["net/ipv4/conf/all/src_valid_mark", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/disable_ipv6"],
  ...["net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max", "net/core/rmem_max", "net/core/wmem_max"],
];

/** `BUG-<log ID>-<time>Z-<16 hex digits>`: a name to find this moment by. @param now Unix milliseconds */
export function bugMarker(logId: string, now: number, random: (length: number) => Uint8Array): string {
  const time = new Date(now).toISOString().replace(/\..*$/, "").replaceAll(/[-:T]/g, "");
  return `BUG-${logId}-${time}Z-${toHex(random(8))}`;
}

/** Writes a marker into the log and, under it, what a person would ask first. @returns the marker */
export function markBug({ backend, log: { log }, host, random }: BugReportSources, note: string): string {
  const marker = bugMarker(backend.logId, backend.now, random);
  const say = (text: string) => log.info(`user bugreport${text}`);
  say(`: ${marker}`);
  if (note !== "") say(` note: ${note}`);
  say(` hostinfo: ${JSON.stringify(host)}`);
  say(` health: ${backend.healthStrings().join("; ") || "ok"}`);
  const self = backend.view?.netmap.self;
  if (self === undefined) say(" netmap: no active netmap");
  else {
    say(` node info: nodeid="${self.ID}" stableid="${self.StableID}" expiry="${self.KeyExpiry ?? ""}"`);
    say(` public keys: node="${self.Key}"`);
  }
  return marker;
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** One part of the report; one that cannot be had says why and spoils no other. */
async function part(make: () => unknown): Promise<string> {
  try {
    const made = await make();
    return redact(typeof made === "string" ? made : jsonText(made));
  } catch (cause) {
    return redact(`could not be had: ${cause instanceof Error ? cause.stack ?? cause.message : cause}\n`);
  }
}

function summary(sources: BugReportSources, marker: string, note: string): string {
  const { backend, host, startedAt } = sources;
  const lines: [string, unknown][] = [
    ["marker", marker],
    ["note", note],
    ["time", new Date(backend.now).toISOString()],
    ["up since", new Date(startedAt).toISOString()],
    ["version", backend.version],
    ["runtime", `deno ${Deno.version.deno}, v8 ${Deno.version.v8}`],
    ["kernel", host.kernel],
    ["distribution", `${host.distro} ${host.distroVersion}${host.container ? ", in a container" : ""}`],
    ["machine", host.machine],
    ["state", backend.state],
    ["tailnet lock", backend.lock.condition.name],
    ["memory", JSON.stringify(Deno.memoryUsage())],
  ];
  return lines.map(([name, value]) => `${`${name}:`.padEnd(17)}${value}\n`).join("");
}

async function paths(backend: Backend): Promise<unknown> {
  const peers = (backend.view?.peers ?? []).slice(0, MOST_PATHS);
  const reports = peers.map(async (peer) => [
    peer.Name,
    await backend.datapath.engine.pathReport(peer.Key.replace(/^nodekey:/, "")) ?? "not known to the data plane (yet)",
  ]);
  return Object.fromEntries(await Promise.all(reports));
}

/** All files of a report. @param diagnose with what takes longer: the network measured anew, paths, kernel settings */
export async function bugReport(
  sources: BugReportSources,
  marker: string,
  note: string,
  diagnose: boolean,
): Promise<Readonly<Record<string, string>>> {
  const { backend, log, readSysctl } = sources;
  const makers: Record<string, () => unknown> = {
    "summary.txt": () => summary(sources, marker, note),
    "status.json": () => backendStatus(backend, true),
    "prefs.json": () => publicPrefs(backend.prefs),
    "health.json": () => backend.health.state(backend.now),
    "dns.json": () => backend.dns.status(),
    "metrics.txt": async () => allMetrics(await metricsInput(backend)),
    "netinfo.json": () => ({ netInfo: backend.datapath.netInfo ?? null, endpoints: backend.endpoints }),
    ...(diagnose && {
      "netcheck.txt": async () => {
        const map = backend.view?.netmap.derpMap ?? EMPTY_DERP_MAP;
        const report = await backend.datapath.netcheck(map);
        return `${formatReport(report, map, true)}\n${jsonText(reportToJson(report))}`;
      },
      "paths.json": () => paths(backend),
      "dataplane.json": () => backend.datapath.engine.status(),
      "kernel.json": () => Object.fromEntries(SYSCTLS.map((path) => [path, readSysctl(path)?.trim() ?? null])),
      "networks.json": () => sources.backend.datapath.netfilter.state ?? null,
    }),
    // The last, so that what the others wrote to it is in it.
    "log.txt": () => log.tail.text(),
  };
  const files: Record<string, string> = {};
  for (const [name, make] of Object.entries(makers)) files[name] = await part(make);
  return files;
}
