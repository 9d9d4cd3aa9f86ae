/** Who is behind an address: node, user, and the capabilities the packet filter grants them. Source: apitype.WhoIsResponse. */
import { formatIp, parseAddrPort, parseIp, parsePrefix, prefixContains } from "../base/ip.ts";
import type { IpBytes } from "../base/ip.ts";
import type { FilterRule, Node, UserProfile } from "../control/wire/tailcfg.ts";
import { addressSet } from "./filter_rules.ts";
import { addressesOf } from "./node_view.ts";
import type { NodeView } from "./node_view.ts";

/** Go's `apitype.WhoIsResponse`. */
export interface WhoIsResponse {
  readonly Node: Node;
  readonly UserProfile: UserProfile;
  readonly CapMap: Readonly<Record<string, readonly unknown[] | null>> | null;
}

/** What was asked for. */
export type WhoIsQuery = { readonly kind: "address"; readonly address: string } | {
  readonly kind: "key";
  readonly key: string;
};

/** Reads `addr`: an address, `address:port` or `nodekey:…`. A string is Tailscale's text of what is wrong. */
export function parseWhoIsQuery(addr: string): WhoIsQuery | string {
  if (addr === "") return "missing 'addr' parameter";
  if (addr.startsWith("nodekey:")) {
    return /^nodekey:[0-9a-f]{64}$/.test(addr) ? { kind: "key", key: addr } : "invalid nodekey in 'addr' parameter";
  }
  const ip = parseIp(addr) ?? parseAddrPort(addr)?.ip;
  return ip === undefined ? "invalid 'addr' parameter" : { kind: "address", address: formatIp(ip) };
}

function covers(set: string, ip: IpBytes): boolean {
  return (addressSet(set) ?? []).some((prefix) => prefixContains(parsePrefix(prefix)!, ip));
}

/** Capabilities that rules grant `source` towards `destination` (Filter.CapsWithValues). */
export function grantedCaps(
  rules: readonly FilterRule[],
  sourceNode: Node,
  source: IpBytes,
  destination: IpBytes,
): Record<string, readonly unknown[] | null> {
  const caps: Record<string, readonly unknown[] | null> = {};
  const add = (cap: string, values: readonly unknown[] | null) => {
    caps[cap] = [...caps[cap] ?? [], ...values ?? []];
  };
  for (const rule of rules) {
    if (rule.CapGrant === undefined) continue;
    const admits = (rule.SrcIPs ?? []).some((text) =>
      text.startsWith("cap:") ? Object.hasOwn(sourceNode.CapMap ?? {}, text.slice(4)) : covers(text, source)
    );
    if (!admits) continue;
    for (const grant of rule.CapGrant) {
      if (!(grant.Dsts ?? []).some((set) => covers(set, destination))) continue;
      for (const cap of grant.Caps ?? []) add(cap, null);
      for (const [cap, values] of Object.entries(grant.CapMap ?? {})) add(cap, values);
    }
  }
  return Object.fromEntries(Object.entries(caps).map(([cap, values]) => [cap, values?.length ? values : null]));
}

/** The answer, or undefined when nobody the lock accepts is there. `towards` is the address spoken to, else our own. */
export function whoIs(view: NodeView, query: WhoIsQuery, towards?: string): WhoIsResponse | undefined {
  const node = query.kind === "key" ? view.byKey(query.key) : view.byAddress(query.address);
  if (node === undefined) return undefined;
  const source = parseIp(addressesOf(node)[0] ?? "");
  const family = (address: string) => parseIp(address)?.length === source?.length;
  const destination = parseIp(towards ?? addressesOf(view.netmap.self).find(family) ?? "");
  const caps = source && destination ? grantedCaps(view.netmap.packetFilter, node, source, destination) : {};
  return {
    Node: node,
    UserProfile: view.user(node.User) ?? { ID: 0, LoginName: "", DisplayName: "" },
    CapMap: Object.keys(caps).length === 0 ? null : caps,
  };
}
