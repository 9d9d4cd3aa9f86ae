/**
 * Metrics in Prometheus' text format. `tailscaled_*` are Tailscale's user metrics by name, type and label, so that
 * existing dashboards work; `agent_*` are ours. Source: util/usermetric, magicsock.registerMetrics.
 */
import type { Drop } from "../base/drops.ts";
import type { EngineStatus } from "../engine/config.ts";

/** What the metrics are made of. */
export interface MetricsInput {
  readonly version: string;
  readonly engine: EngineStatus | undefined;
  readonly healthMessages: number;
  readonly homeDerp: number;
  readonly advertisedRoutes: number;
  readonly approvedRoutes: number;
  readonly peers: number;
  readonly watchers: number;
}

/** Drops on the way in that have a reason of their own in Tailscale's metric; all others count as `error`. */
const INBOUND: Partial<Record<Drop, string>> = {
  "filter-acl": "acl",
  "filter-shields": "acl",
  "filter-destination": "acl",
  jailed: "acl",
  "filter-multicast": "multicast",
  "filter-link-local": "link_local_unicast",
  "filter-fragment": "fragment",
  "too-short": "too_short",
  "unknown-type": "unknown_protocol",
};

const OUTBOUND: ReadonlySet<string> = new Set<Drop>([
  "no-route",
  "no-keypair",
  "queue-full",
  "derp-queue",
  "derp-too-large",
  "no-path",
  "send-failed",
]);

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

function metric(name: string, type: "counter" | "gauge", help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => {
    const inner = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`).join(",");
    return `${name}${inner === "" ? "" : `{${inner}}`} ${value}\n`;
  });
  return `# TYPE ${name} ${type}\n# HELP ${name} ${help}\n${lines.join("")}`;
}

function byReason(drops: Readonly<Record<string, number>>, outbound: boolean): Sample[] {
  const sums = new Map<string, number>(outbound ? [["error", 0]] : [["acl", 0], ["error", 0]]);
  for (const [drop, count] of Object.entries(drops)) {
    if (OUTBOUND.has(drop) !== outbound) continue;
    const reason = outbound ? "error" : INBOUND[drop as Drop] ?? "error";
    sums.set(reason, (sums.get(reason) ?? 0) + count);
  }
  return [...sums].map(([reason, count]) => [{ reason }, count]);
}

/** Metrics for everybody on the machine: counts, no names. */
export function userMetrics(input: MetricsInput): string {
  const paths = Object.entries(input.engine?.paths ?? {});
  const drops = input.engine?.drops ?? {};
  const traffic = (field: "rxPackets" | "rxBytes" | "txPackets" | "txBytes"): Sample[] =>
    paths.map(([path, counts]) => [{ path }, counts[field]]);
  const one = (value: number): Sample[] => [[{}, value]];
  return [
    metric(
      "tailscaled_advertised_routes",
      "gauge",
      "Number of advertised network routes (e.g. by a subnet router)",
      one(input.advertisedRoutes),
    ),
    metric(
      "tailscaled_approved_routes",
      "gauge",
      "Number of approved network routes (e.g. by a subnet router)",
      one(input.approvedRoutes),
    ),
    metric("tailscaled_health_messages", "gauge", "Number of health messages broken down by type.", [[{
      type: "warning",
    }, input.healthMessages]]),
    metric(
      "tailscaled_home_derp_region_id",
      "gauge",
      "DERP region ID of this node's home relay server",
      one(input.homeDerp),
    ),
    metric(
      "tailscaled_inbound_bytes_total",
      "counter",
      "Counts the number of bytes received from other peers",
      traffic("rxBytes"),
    ),
    metric(
      "tailscaled_inbound_dropped_packets_total",
      "counter",
      "Counts the number of dropped packets received by the node from other peers",
      byReason(drops, false),
    ),
    metric(
      "tailscaled_inbound_packets_total",
      "counter",
      "Counts the number of packets received from other peers",
      traffic("rxPackets"),
    ),
    metric(
      "tailscaled_outbound_bytes_total",
      "counter",
      "Counts the number of bytes sent to other peers",
      traffic("txBytes"),
    ),
    metric(
      "tailscaled_outbound_dropped_packets_total",
      "counter",
      "Counts the number of packets dropped while being sent to other peers",
      byReason(drops, true),
    ),
    metric(
      "tailscaled_outbound_packets_total",
      "counter",
      "Counts the number of packets sent to other peers",
      traffic("txPackets"),
    ),
  ].join("");
}

/** Metrics for whoever may write: the above and how the program itself fares. */
export function allMetrics(input: MetricsInput): string {
  const provider = input.engine?.cryptoProvider ?? "";
  return userMetrics(input) + [
    metric("agent_info", "gauge", "Version and crypto provider in use", [[{
      version: input.version,
      crypto_provider: provider,
    }, 1]]),
    metric("agent_peers", "gauge", "Peers the data plane knows", [[{}, input.peers]]),
    metric("agent_bus_watchers", "gauge", "Watchers of the notification bus", [[{}, input.watchers]]),
    metric(
      "agent_dropped_packets_total",
      "counter",
      "Packets dropped by reason",
      Object.entries(input.engine?.drops ?? {}).map(([reason, count]) => [{ reason }, count]),
    ),
  ].join("");
}
