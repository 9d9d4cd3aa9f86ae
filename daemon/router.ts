/**
 * Netmap to engine configuration: pure, and the only place where `control` and `engine` meet.
 *
 * ```
 *   netmap ──▶ lock filter ──▶ expired? ──▶ allowed IPs by policy ──▶ PeerConfig ──┐
 *      └─────▶ packet filter rules ──▶ prefixes, protocols ────────────────────────┴─▶ EngineConfig
 * ```
 *
 * A netmap shares with the one before it every node that did not change; so does the configuration: the same node gives
 * the same PeerConfig object, and a delta of one peer among 10,000 costs one conversion.
 * Source: wgengine/wgcfg/nmcfg (WGCfg), ipn/ipnlocal/expiry.go.
 */
import { formatPrefix, isTailscaleIp, parsePrefix } from "../base/ip.ts";
import { toHex } from "../base/bytes.ts";
import type { NodePrivate } from "../base/keys.ts";
import { DiscoPublic, NodePublic } from "../base/keys.ts";
import type { Netmap } from "../control/client/netmap.ts";
import { fromGoTime } from "../control/wire/tailcfg.ts";
import type { FilterRule, Node } from "../control/wire/tailcfg.ts";
import type { EngineConfig, PeerConfig, PeerRelayGrants } from "../engine/config.ts";
import { chooseExitNode, isExitRoute } from "./exit_node.ts";
import type { RegionLatency, WantedExitNode } from "./exit_node.ts";
import { compileRules } from "./filter_rules.ts";
import type { LockFilter } from "./lock_filter.ts";
import { hasCapability } from "./node_view.ts";
import { RelayGrants } from "./relay_grants.ts";
import { mergeRoutes, systemRoutes } from "./system_routes.ts";
import type { SystemRoutes } from "./system_routes.ts";

/** What the configuration depends on besides the netmap. */
export interface RouterPolicy {
  readonly privateKey: NodePrivate;
  /** Accept subnet routes of peers (`--accept-routes`). */
  readonly routeAll: boolean;
  readonly shieldsUp: boolean;
  /** Own home DERP region, 0 until known. */
  readonly homeDerp: number;
  /** Exit node asked for; undefined for none. */
  readonly exitNode?: WantedExitNode;
  /** Addresses behind this node that peers may send to. */
  readonly offered?: readonly string[];
  /** Of relay regions, to choose an exit node by. */
  readonly latency?: RegionLatency;
  /** A peer relay server runs here. */
  readonly relayServer?: boolean;
  /** Unix milliseconds by control's clock. */
  readonly controlNow: number;
}

/** A configuration, and what the daemon has to know about how it came to be. */
export interface Routed {
  readonly config: EngineConfig;
  /** Prefixes the system must route to the TUN device. */
  readonly routes: readonly string[];
  /** Unix milliseconds by control's clock when the next key expires, undefined for never. */
  readonly nextExpiry: number | undefined;
  /** Peers the lock accepts, those whose key has expired too: what `status` and `whois` show. */
  readonly visible: readonly Node[];
  /** Peers the lock keeps out. */
  readonly rejected: readonly Node[];
  /** For health. */
  readonly lockProblem: string | undefined;
  /** Stable ID of the exit node in use, "" when the one asked for is not there, undefined when none is. */
  readonly exitNode: string | undefined;
  /** Some peer offers subnet routes that were not asked for. */
  readonly routesOffered: boolean;
  /** What could not be used, for the log. */
  readonly problems: readonly string[];
}

/** An engine with nothing to do: no addresses, no peers, everything blocked. */
export const DOWN: EngineConfig = {
  privateKey: "0".repeat(64),
  addresses: [],
  peers: [],
  filter: { rules: [], local: [], shieldsUp: true },
  homeDerp: 0,
};

/** A peer and what the system must route for it. */
interface RoutedPeer {
  readonly peer: PeerConfig;
  readonly routes: SystemRoutes;
}

interface Converted {
  readonly withRoutes: RoutedPeer;
  readonly withoutRoutes: RoutedPeer;
  readonly offersRoutes: boolean;
  /** Default routes it may carry; taken of the chosen exit node alone, whatever control says. */
  readonly exitRoutes: readonly string[];
  /** Unix milliseconds, Infinity for never. */
  readonly expiry: number;
}

/** tailcfg.NodeAttrDisableRelayClient, NodeAttrOnlyTCP443: peer relays are not used. */
const NO_RELAY_CLIENT = ["disable-relay-client", "only-tcp-443"];

/** A route to something behind the peer, not to the peer (nmcfg.cidrIsSubnet). */
function isSubnet(route: string, addresses: ReadonlySet<string>): boolean {
  if (addresses.has(route)) return false;
  const prefix = parsePrefix(route)!;
  return prefix.bits !== prefix.ip.length * 8 || !isTailscaleIp(prefix.ip);
}

function singleAddress(prefix: string): string | undefined {
  const slash = prefix.indexOf("/");
  return /\/(32|128)$/.test(prefix) ? prefix.slice(0, slash) : undefined;
}

/** Undefined for a node that cannot be spoken to. */
function convert(node: Node): Converted | string {
  const key = NodePublic.parse(node.Key);
  if (key === undefined || key.isZero) return `peer ${node.ID} has no node key that can be read`;
  const disco = node.DiscoKey === undefined ? undefined : DiscoPublic.parse(node.DiscoKey);
  const canonical = (list: readonly string[] | undefined) =>
    (list ?? []).flatMap((text) => {
      const prefix = parsePrefix(text);
      return prefix === undefined ? [] : [formatPrefix(prefix)];
    });
  const addresses = canonical(node.Addresses);
  const own = new Set(addresses);
  const all = canonical(node.AllowedIPs);
  const allowed = all.filter((route) => !isExitRoute(route));
  const direct = allowed.filter((route) => !isSubnet(route, own));
  const peer: PeerConfig = {
    key: key.hex,
    disco: disco === undefined || disco.isZero || node.IsWireGuardOnly === true ? "" : disco.hex,
    allowedIps: direct,
    endpoints: node.Endpoints ?? [],
    derp: node.HomeDERP ?? 0,
    jailed: node.IsJailed === true,
    addresses: addresses.flatMap((prefix) => singleAddress(prefix) ?? []),
    cap: node.Cap ?? 0,
  };
  const withoutRoutes = { peer, routes: systemRoutes(direct) };
  const offersRoutes = direct.length !== allowed.length;
  return {
    withoutRoutes,
    withRoutes: offersRoutes
      ? { peer: { ...peer, allowedIps: allowed }, routes: systemRoutes(allowed) }
      : withoutRoutes,
    offersRoutes,
    exitRoutes: all.filter(isExitRoute),
    expiry: fromGoTime(node.KeyExpiry) ?? Infinity,
  };
}

/** Whether a node's key has expired by control's clock. */
export function isExpired(node: Node, controlNow: number): boolean {
  return node.Expired === true || (fromGoTime(node.KeyExpiry) ?? Infinity) <= controlNow;
}

/** Converts netmaps one after another, remembering what a node became. */
export class Router {
  readonly #lock: LockFilter;
  readonly #converted = new WeakMap<Node, Converted | string>();
  /** Peers with what they are granted of relays, so that the same stays the same object. */
  readonly #granted = new WeakMap<PeerConfig, PeerConfig>();
  /** Peers with their default routes, for the same reason. */
  readonly #exits = new WeakMap<RoutedPeer, RoutedPeer>();
  #exitNode = "";
  #relayGrants:
    | { readonly rules: readonly FilterRule[]; readonly self: Node; readonly grants: RelayGrants }
    | undefined;

  constructor(lock: LockFilter) {
    this.#lock = lock;
  }

  /** The engine's configuration for a netmap. Never throws; what cannot be used is left out and named. */
  route(netmap: Netmap, policy: RouterPolicy): Routed {
    const verdict = this.#lock.filter(netmap);
    const grants = this.#grantsOf(netmap);
    const visible: Node[] = [];
    const usable: Node[] = [];
    const found = new Map<Node, Converted>();
    const problems: string[] = [];
    let routesOffered = false;
    let nextExpiry = fromGoTime(netmap.self.KeyExpiry) ?? Infinity;
    if (nextExpiry <= policy.controlNow) nextExpiry = Infinity;
    for (const node of verdict.accepted) {
      visible.push(node);
      const converted = this.#convert(node);
      if (typeof converted === "string") {
        problems.push(converted);
        continue;
      }
      if (node.Expired === true || converted.expiry <= policy.controlNow) continue;
      // Such a node is outside the lock and may reach the peerapi only; this version has no peerapi (L4).
      if (node.UnsignedPeerAPIOnly === true) continue;
      nextExpiry = Math.min(nextExpiry, converted.expiry);
      routesOffered ||= converted.offersRoutes;
      usable.push(node);
      found.set(node, converted);
    }
    const exitNode = this.#chooseExit(usable, policy);
    const routed = usable.map((node): RoutedPeer => {
      const converted = found.get(node)!;
      const plain = policy.routeAll ? converted.withRoutes : converted.withoutRoutes;
      const { peer, routes } = exitNode && node.StableID === exitNode
        ? this.#withExit(plain, converted.exitRoutes)
        : plain;
      return { peer: this.#withGrants(peer, grants.of(node)), routes };
    });
    const compiled = compileRules(netmap.packetFilter, usable);
    const { offered = [] } = policy;
    const local = [...netmap.self.Addresses ?? [], ...offered];
    return {
      config: {
        privateKey: toHex(policy.privateKey.reveal()),
        // Not those of routes offered to single hosts: they are elsewhere.
        addresses: (netmap.self.Addresses ?? []).flatMap((prefix) => singleAddress(prefix) ?? []),
        peers: routed.map(({ peer }) => peer),
        filter: { rules: compiled.rules, local, shieldsUp: policy.shieldsUp },
        homeDerp: policy.homeDerp,
        relay: {
          client: NO_RELAY_CLIENT.every((capability) => !hasCapability(netmap.self, capability)),
          self: policy.relayServer === true && grants.of(netmap.self)?.serves === true,
        },
        knobs: {
          silentDisco: hasCapability(netmap.self, "silent-disco"),
          randomizePort: hasCapability(netmap.self, "randomize-client-port"),
        },
      },
      // What this node offers it reaches itself, whoever else offers it too.
      routes: mergeRoutes(routed.map(({ routes }) => routes)).filter((route) => !offered.includes(route)),
      nextExpiry: nextExpiry === Infinity ? undefined : nextExpiry,
      visible,
      rejected: verdict.rejected,
      lockProblem: verdict.problem,
      exitNode,
      routesOffered,
      problems: [...problems, ...compiled.problems],
    };
  }

  #chooseExit(peers: readonly Node[], { exitNode, latency = () => undefined }: RouterPolicy): string | undefined {
    if (exitNode === undefined) return undefined;
    const chosen = chooseExitNode(exitNode, peers, latency, this.#exitNode);
    this.#exitNode = chosen;
    return chosen;
  }

  #withExit(plain: RoutedPeer, exitRoutes: readonly string[]): RoutedPeer {
    let exit = this.#exits.get(plain);
    if (exit === undefined) {
      const { peer, routes } = plain;
      exit = {
        peer: { ...peer, allowedIps: [...peer.allowedIps, ...exitRoutes] },
        routes: { ...routes, others: [...routes.others, ...exitRoutes] },
      };
      this.#exits.set(plain, exit);
    }
    return exit;
  }

  #grantsOf({ packetFilter: rules, self }: Netmap): RelayGrants {
    if (this.#relayGrants?.rules !== rules || this.#relayGrants.self !== self) {
      this.#relayGrants = { rules, self, grants: new RelayGrants(rules, self) };
    }
    return this.#relayGrants.grants;
  }

  #withGrants(peer: PeerConfig, relay: PeerRelayGrants | undefined): PeerConfig {
    if (relay === undefined) return peer;
    const known = this.#granted.get(peer);
    if (known?.relay?.serves === relay.serves && known.relay.mayAsk === relay.mayAsk) return known;
    const granted = { ...peer, relay };
    this.#granted.set(peer, granted);
    return granted;
  }

  #convert(node: Node): Converted | string {
    let converted = this.#converted.get(node);
    if (converted === undefined) {
      converted = convert(node);
      this.#converted.set(node, converted);
    }
    return converted;
  }
}
