/** `ping`: is a peer there, and by which path. Source: ipnstate.PingResult; wgengine.userspaceEngine.Ping. */
import { NodePublic } from "../base/keys.ts";
import { regionOf } from "../derp/derp_map.ts";
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

/** Pings once. Never rejects: what goes wrong is in `Err`. */
export async function ping(
  engine: Engine,
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
  const named = { ...result, NodeIP: addressesOf(node)[0] ?? "", NodeName: node.Name.split(".")[0] };
  if (isExpired(node, controlNow)) return { ...named, Err: "peer's node key has expired" };
  if (type !== "disco") return { ...named, Err: `${type} pings are not implemented in this version; use a disco ping` };
  const outcome = await engine.ping(NodePublic.parse(node.Key)?.hex ?? "", size, TIMEOUT_MS);
  if (outcome === undefined) return { ...named, Err: "timeout waiting for a disco pong" };
  const region = view.netmap.derpMap && regionOf(view.netmap.derpMap, outcome.derp);
  return {
    ...named,
    LatencySeconds: outcome.latencyMs / 1000,
    Endpoint: outcome.endpoint,
    DERPRegionID: outcome.endpoint === "" ? outcome.derp : 0,
    DERPRegionCode: outcome.endpoint === "" ? region?.RegionCode ?? "" : "",
  };
}
