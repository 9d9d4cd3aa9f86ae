/** One rule of the filter in the form it is asked in. */
import type { FilterRuleConfig } from "../config.ts";
import { type Packet, PROTO } from "../packet.ts";
import { AddressSet } from "./address_set.ts";

/** What a rule that names no protocol admits (`tailcfg.FilterRule.IPProto`). */
const DEFAULT_PROTOCOLS = [PROTO.TCP, PROTO.UDP, PROTO.ICMP4, PROTO.ICMP6];

/** Destinations that share a port range. */
interface PortGroup {
  readonly first: number;
  readonly last: number;
  readonly addresses: AddressSet;
}

/** True when the packet's source is in the set. */
export function hasSource(set: AddressSet, p: Packet): boolean {
  return p.version === 4 ? set.has4(p.src0) : set.has6(p.src0, p.src1, p.src2, p.src3);
}

/** True when the packet's destination is in the set. */
export function hasDestination(set: AddressSet, p: Packet): boolean {
  return p.version === 4 ? set.has4(p.dst0) : set.has6(p.dst0, p.dst1, p.dst2, p.dst3);
}

/** A compiled rule. Its three questions are those of `tailscale.com/wgengine/filter/match.go`. */
export class Rule {
  readonly #protocols = new Uint8Array(256);
  readonly #sources: AddressSet;
  readonly #destinations: AddressSet;
  readonly #groups: readonly PortGroup[];
  /** Destinations open on every port: the only ones a protocol without ports may reach. */
  readonly #allPorts: AddressSet;

  /** @throws TypeError for a prefix that is none. */
  constructor(config: FilterRuleConfig) {
    const protocols = config.protocols.length === 0 ? DEFAULT_PROTOCOLS : config.protocols;
    for (const protocol of protocols) if (protocol >= 0 && protocol <= 255) this.#protocols[protocol] = 1;
    this.#sources = new AddressSet(config.sources);
    this.#destinations = new AddressSet(config.destinations.map((destination) => destination.prefix));
    const byPorts = Map.groupBy(config.destinations, ({ first, last }) => `${first}-${last}`);
    this.#groups = [...byPorts.values()].map((same) => ({
      first: same[0].first,
      last: same[0].last,
      addresses: new AddressSet(same.map((destination) => destination.prefix)),
    }));
    this.#allPorts = new AddressSet(
      config.destinations.filter(({ first, last }) => first === 0 && last === 65535).map(({ prefix }) => prefix),
    );
  }

  /** Protocol, source, destination and port. */
  admits(p: Packet): boolean {
    if (this.#protocols[p.protocol] === 0 || !hasSource(this.#sources, p)) return false;
    for (const group of this.#groups) {
      if (p.dstPort >= group.first && p.dstPort <= group.last && hasDestination(group.addresses, p)) return true;
    }
    return false;
  }

  /** Source and destination only: where any port is open, ICMP may come. */
  admitsAddresses(p: Packet): boolean {
    return hasSource(this.#sources, p) && hasDestination(this.#destinations, p);
  }

  /** Protocol, source and destination, for protocols whose ports nobody can check. */
  admitsWithoutPorts(p: Packet): boolean {
    return this.#protocols[p.protocol] === 1 && hasSource(this.#sources, p) && hasDestination(this.#allPorts, p);
  }
}
