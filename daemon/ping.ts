/** `ping`: is a peer there, and by which path. Source: ipnstate.PingResult; wgengine.userspaceEngine.Ping. */
import { assertNever } from "../base/assert_never.ts";
import { parseIp } from "../base/ip.ts";
import type { IpBytes } from "../base/ip.ts";
import { NodePublic } from "../base/keys.ts";
import type { Node } from "../control/wire/tailcfg.ts";
import { regionOf } from "../derp/derp_map.ts";
import type { PingOutcome } from "../engine/config.ts";
import type { Engine } from "../engine/engine.ts";
import { isExpired } from "./router.ts";
import { addressesOf } from "./node_view.ts";
import type { NodeView } from "./node_view.ts";

/** Go's `ipnstate.PingResult`. */
export interface PingResult {
  readonly IP: string;
  readonly NodeIP: string;
  readonly NodeName: string;
  readonly Err: string;
  readonly LatencySeconds: number;
  readonly Endpoint: string;
  readonly PeerRelay: string;
  readonly DERPRegionID: number;
  readonly DERPRegionCode: string;
  readonly IsLocalIP?: boolean;
}

/** Kinds of pings Tailscale knows (tailcfg.PingType). */
export type PingType = "disco" | "TSMP" | "ICMP" | "peerapi";

export function isPingType(text: string): text is PingType {
  return ["disco", "TSMP", "ICMP", "peerapi"].includes(text);
}

/** Largest padded disco ping (magicsock.MaxDiscoPingSize): 65,535 less IPv4, UDP, disco envelope and box. */
export const MAX_PING_SIZE = 65_535 - 20 - 8 - 62 - 16;

/** How long a ping waits for its pong, ms. The caller may give up earlier. */
const TIMEOUT_MS = 5_000;

/** What pings need. */
export interface PingPorts {
  readonly engine: Pick<Engine, "ping" | "tsmpPing">;
  /** An ICMP echo through the tunnel, as any program of this machine would send it; ms, undefined when unanswered. */
  readonly icmpEcho: (ip: IpBytes, timeoutMs: number) => Promise<number | undefined>;
}

/** What came back, or why nothing did. */
async function attempt(
  ports: PingPorts,
  node: Node,
  ip: string,
  type: PingType,
  size: number,
): Promise<PingOutcome | string> {
  const late = `timeout waiting for the answer to a ${type} ping`;
  switch (type) {
    case "disco":
      return await ports.engine.ping(NodePublic.parse(node.Key)?.hex ?? "", size, TIMEOUT_MS) ?? late;
    case "TSMP":
      return await ports.engine.tsmpPing(ip, TIMEOUT_MS) ?? late;
    case "ICMP": {
      const latencyMs = await ports.icmpEcho(parseIp(ip)!, TIMEOUT_MS);
      return latencyMs === undefined ? late : { latencyMs, endpoint: "", derp: 0 };
    }
    case "peerapi":
      return "peerapi pings are not implemented in this version";
    default:
      assertNever(type);
  }
}

/** Pings once. Never rejects: what goes wrong is in `Err`. */
export async function ping(
  ports: PingPorts,
  view: NodeView | undefined,
  ip: string,
  type: PingType,
  size: number,
  controlNow: number,
): Promise<PingResult> {
  const node = view?.byAddress(ip);
  const result: PingResult = {
    IP: ip,
    NodeIP: "",
    NodeName: "",
    Err: "",
    LatencySeconds: 0,
    Endpoint: "",
    PeerRelay: "",
    DERPRegionID: 0,
    DERPRegionCode: "",
  };
  if (view === undefined || node === undefined) return { ...result, Err: "no matching peer" };
  if (node === view.netmap.self) return { ...result, Err: `${ip} is local Tailscale IP`, IsLocalIP: true };
  // A disco ping asks the node, the others ask the address.
  const nodeIp = type === "disco" ? addressesOf(node)[0] ?? "" : ip;
  const named = { ...result, NodeIP: nodeIp, NodeName: node.Name.split(".")[0] };
  if (isExpired(node, controlNow)) return { ...named, Err: "peer's node key has expired" };
  let outcome: PingOutcome | string;
  try {
    outcome = await attempt(ports, node, ip, type, size);
  } catch (cause) {
    outcome = cause instanceof Error ? cause.message : String(cause);
  }
  if (typeof outcome === "string") return { ...named, Err: outcome };
  if (type !== "disco") return { ...named, LatencySeconds: outcome.latencyMs / 1000 };
  const region = view.netmap.derpMap && regionOf(view.netmap.derpMap, outcome.derp);
  const byDerp = outcome.endpoint === "" && !outcome.relay;
  return {
    ...named,
    LatencySeconds: outcome.latencyMs / 1000,
    Endpoint: outcome.endpoint,
    PeerRelay: outcome.relay ?? "",
    DERPRegionID: byDerp ? outcome.derp : 0,
    DERPRegionCode: byDerp ? region?.RegionCode ?? "" : "",
  };
}
