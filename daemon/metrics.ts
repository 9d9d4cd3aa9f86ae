/**
 * Metrics in Prometheus' text format. `tailscaled_*` are Tailscale's user metrics by name, type and label, so that
 * existing dashboards work; `agent_*` are ours. Source: util/usermetric, magicsock.registerMetrics.
 */
import type { Drop } from "../base/drops.ts";
import type { EngineStatus } from "../engine/config.ts";
import type { RelayStatus } from "../engine/peer_relay/records.ts";

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
  readonly lock: LockMetrics;
  /** Seconds until the node key expires, 0 once it has; absent where it does not. */
  readonly keyExpirySeconds?: number;
  /** Absent while no peer relay server runs here. */
  readonly peerRelay?: RelayStatus;
}

/** How it stands with Tailnet Lock. */
export interface LockMetrics {
  /** Name of the condition, as `lock doctor` shows it. */
  readonly condition: string;
  /** There is an authority that judges peers. */
  readonly enforced: boolean;
  readonly rejected: number;
  /** Keys that signed peers, and that the chain never trusted. */
  readonly unknownSigners: number;
  /** Seconds since the head changed, and since control confirmed it; undefined when never. */
  readonly headAge: number | undefined;
  readonly confirmedAge: number | undefined;
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
    ...(input.peerRelay === undefined ? [] : peerRelayMetrics(input.peerRelay)),
  ].join("");
}

/** Source: tailscale.com/net/udprelay `registerMetrics`. */
function peerRelayMetrics({ connecting, open, forwarded }: RelayStatus): string[] {
  const samples = (field: "packets" | "bytes"): Sample[] =>
    forwarded.map((each) => [{ transport_in: `udp${each.in}`, transport_out: `udp${each.out}` }, each[field]]);
  return [
    metric("tailscaled_peer_relay_endpoints", "gauge", "Number of allocated Peer Relay endpoints", [
      [{ state: "connecting" }, connecting],
      [{ state: "open" }, open],
    ]),
    metric(
      "tailscaled_peer_relay_forwarded_bytes_total",
      "counter",
      "Number of bytes forwarded via Peer Relay",
      samples("bytes"),
    ),
    metric(
      "tailscaled_peer_relay_forwarded_packets_total",
      "counter",
      "Number of packets forwarded via Peer Relay",
      samples("packets"),
    ),
  ];
}

function lockMetrics(lock: LockMetrics): string[] {
  const { condition, enforced, rejected, unknownSigners, headAge, confirmedAge } = lock;
  const ages = [
    ["agent_lock_head_age_seconds", "Since the head of Tailnet Lock changed", headAge],
    ["agent_lock_confirmed_age_seconds", "Since control confirmed the head of Tailnet Lock", confirmedAge],
  ] as const;
  return [
    metric("agent_lock_condition", "gauge", "How it stands with Tailnet Lock, by name", [[{ condition }, 1]]),
    metric("agent_lock_enforced", "gauge", "Peers are judged by Tailnet Lock", [[{}, enforced ? 1 : 0]]),
    metric("agent_lock_rejected_peers", "gauge", "Peers that Tailnet Lock keeps out", [[{}, rejected]]),
    metric("agent_lock_unknown_signers", "gauge", "Keys that signed peers and were never trusted here", [
      [{}, unknownSigners],
    ]),
    ...ages.flatMap(([name, help, age]) => age === undefined ? [] : [metric(name, "gauge", help, [[{}, age]])]),
  ];
}

function engineMetrics({ offloads, turns }: EngineStatus): string[] {
  const seconds = (ms: number) => ms / 1000;
  return [
    metric(
      "agent_offload",
      "gauge",
      "What the kernel and the kernels in WebAssembly do for the data plane",
      Object.entries(offloads).map(([offload, used]) => [{ offload }, used ? 1 : 0]),
    ),
    metric("agent_worker_turns_total", "counter", "Turns of the data plane's worker", [[{}, turns.turns]]),
    metric("agent_worker_long_turns_total", "counter", "Turns of more than 5 ms, by CPU time and by the clock", [
      [{ by: "cpu" }, turns.longByCpu],
      [{ by: "wall" }, turns.longByWall],
    ]),
    metric("agent_worker_longest_turn_seconds", "gauge", "The longest turn so far, by CPU time and by the clock", [
      [{ by: "cpu" }, seconds(turns.longestCpuMs)],
      [{ by: "wall" }, seconds(turns.longestWallMs)],
    ]),
  ];
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
    ...(input.engine === undefined ? [] : engineMetrics(input.engine)),
    ...lockMetrics(input.lock),
    ...(input.keyExpirySeconds === undefined ? [] : [
      metric("agent_key_expiry_seconds", "gauge", "Until the node key expires, 0 once it has", [
        [{}, input.keyExpirySeconds],
      ]),
    ]),
    metric("agent_bus_watchers", "gauge", "Watchers of the notification bus", [[{}, input.watchers]]),
    metric(
      "agent_dropped_packets_total",
      "counter",
      "Packets dropped by reason",
      Object.entries(input.engine?.drops ?? {}).map(([reason, count]) => [{ reason }, count]),
    ),
  ].join("");
}
