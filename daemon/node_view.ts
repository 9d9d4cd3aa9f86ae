/**
 * The nodes of a netmap as the daemon looks them up: by address, by key, by name of capability.
 *
 * Built from what the lock accepted, so that a peer kept out is unknown to `status`, `whois` and `ping` too.
 */
import { formatIp, parseIp, parsePrefix, unmap } from "../base/ip.ts";
import type { Netmap } from "../control/client/netmap.ts";
import type { Node, UserProfile } from "../control/wire/tailcfg.ts";

/** The address of a single-address prefix, in its one spelling. */
function addressOf(prefix: string): string | undefined {
  const parsed = parsePrefix(prefix);
  return parsed !== undefined && parsed.bits === parsed.ip.length * 8 ? formatIp(parsed.ip) : undefined;
}

/** Own and peers' single addresses. */
export function addressesOf(node: Node): string[] {
  return (node.Addresses ?? []).flatMap((prefix) => addressOf(prefix) ?? []);
}

/** DNS suffix of the tailnet, without dots around it, from one's own name (NetworkMap.MagicDNSSuffix). */
export function magicDnsSuffix(self: Node): string {
  const dot = self.Name.indexOf(".");
  return dot < 0 ? "" : self.Name.slice(dot + 1).replace(/\.$/, "");
}

/** A netmap after the lock. Immutable; indexes are made at first use. */
export class NodeView {
  readonly netmap: Netmap;
  /** Peers the lock accepted. */
  readonly peers: readonly Node[];
  #byAddress: Map<string, Node> | undefined;

  constructor(netmap: Netmap, peers: readonly Node[]) {
    this.netmap = netmap;
    this.peers = peers;
  }

  /** Oneself or a peer by Tailscale address; an IPv4-mapped IPv6 address is taken as IPv4. */
  byAddress(address: string): Node | undefined {
    const ip = parseIp(address);
    if (ip === undefined) return undefined;
    if (this.#byAddress === undefined) {
      this.#byAddress = new Map();
      for (const node of [...this.peers, this.netmap.self]) {
        for (const own of addressesOf(node)) this.#byAddress.set(own, node);
      }
    }
    return this.#byAddress.get(formatIp(unmap(ip)));
  }

  /** Oneself or a peer by `nodekey:<hex>`. */
  byKey(key: string): Node | undefined {
    return this.netmap.self.Key === key ? this.netmap.self : this.peers.find((peer) => peer.Key === key);
  }

  user(id: number): UserProfile | undefined {
    return this.netmap.users.get(id);
  }

  get magicDnsSuffix(): string {
    return magicDnsSuffix(this.netmap.self);
  }
}

/** Servers name what a node may in one field or the other. */
export function hasCapability(node: Node, capability: string): boolean {
  return node.CapMap?.[capability] !== undefined || node.Capabilities?.includes(capability) === true;
}
