/** What the preferences ask of the data path. Pure. */
import type { NodePrivate } from "../base/keys.ts";
import type { DatapathPolicy } from "./datapath_options.ts";
import { wantedExitNode } from "./exit_node.ts";
import type { Prefs } from "./prefs.ts";

/** Preferences the data path depends on. */
const DATAPATH_PREFS: ReadonlySet<string> = new Set([
  "RouteAll",
  "ShieldsUp",
  "ExitNodeID",
  "ExitNodeIP",
  "AutoExitNode",
  "ExitNodeAllowLANAccess",
  "AdvertiseRoutes",
  "NoSNAT",
  "NoStatefulFiltering",
  "NetfilterMode",
  "CorpDNS",
  "RelayServerPort",
  "RelayServerStaticEndpoints",
]);

/** A change of these preferences changes the data path. */
export function changesDatapath(names: readonly string[]): boolean {
  return names.some((name) => DATAPATH_PREFS.has(name));
}

/** All that the data path is to know of the preferences. @param controlNow Unix milliseconds by control's clock */
export function datapathPolicy(prefs: Prefs, privateKey: NodePrivate, controlNow: number): DatapathPolicy {
  const exitNode = wantedExitNode(prefs);
  return {
    privateKey,
    routeAll: prefs.RouteAll,
    shieldsUp: prefs.ShieldsUp,
    ...(exitNode !== undefined && { exitNode }),
    allowLan: prefs.ExitNodeAllowLANAccess,
    advertised: prefs.AdvertiseRoutes ?? [],
    netfilter: netfilterPolicy(prefs),
    ...(prefs.RelayServerPort !== null && {
      relayServer: { port: prefs.RelayServerPort, staticEndpoints: prefs.RelayServerStaticEndpoints ?? [] },
    }),
    controlNow,
  };
}

/**
 * The packet filter that stays while the data path is down: an exit node is set and the user has not disconnected, so
 * nothing may leave by another way, whatever else is wrong. Undefined when nothing is to be held.
 */
export function heldExit(prefs: Prefs): DatapathPolicy["netfilter"] | undefined {
  const { WantRunning, LoggedOut, persist } = prefs;
  const holds = wantedExitNode(prefs) !== undefined && WantRunning && !LoggedOut && persist?.nodeKey !== undefined;
  return holds ? netfilterPolicy(prefs) : undefined;
}

/** What the preferences say of the packet filter. */
function netfilterPolicy({ NetfilterMode, NoSNAT, NoStatefulFiltering }: Prefs): DatapathPolicy["netfilter"] {
  const mode = (["off", "nodivert", "on"] as const)[NetfilterMode] ?? "on";
  // Nothing said: what neither this machine nor a network it offers has begun does not enter the tailnet (TS-2024-005).
  const filtering = NoStatefulFiltering === null ? "own" : NoStatefulFiltering ? "off" : "strict";
  return { mode, snat: !NoSNAT, filtering };
}
