/**
 * The stateful packet filter between the tunnel and this machine.
 *
 * ```
 * both ways:  multicast, link-local destination (but the cloud's 169.254.169.254) ─▶ drop
 * in:         destination not ours ─▶ drop
 *             later fragment, TSMP, TCP that opens nothing, ICMP answer or error ─▶ accept
 *             UDP, SCTP answering a flow that went out ─▶ accept
 *             ICMP ─▶ any rule for the two addresses; TCP SYN, UDP, SCTP ─▶ a rule with the port;
 *             any other protocol ─▶ a rule that names it and opens all ports
 * out:        accept, and remember UDP and SCTP flows
 * ```
 *
 * Source: tailscale.com/wgengine/filter `RunIn`, `RunOut`, `pre`. Two differences, both stricter or standard: a later
 * fragment must be for a local address too, and ICMPv4 "parameter problem" is type 12 (RFC 792).
 */
import type { Drop } from "../../base/drops.ts";
import type { FilterConfig } from "../config.ts";
import { type Packet, PROTO, TCP_ACK, TCP_SYN } from "../packet.ts";
import { AddressSet } from "./address_set.ts";
import { FlowCache } from "./flows.ts";
import { hasDestination, Rule } from "./rules.ts";

/** 169.254.169.254, where clouds keep DNS and metadata; the one link-local address that may be spoken to. */
const CLOUD_METADATA = 0xa9fea9fe;

/**
 * Compiles a filter. Shields up drops the rules: only answers come in, which is also the filter for jailed peers
 * (`{ rules: [], local, shieldsUp: true }`).
 *
 * @param flows carried over when a filter is replaced, so that answers to open flows still come in
 * @throws TypeError for a prefix that is none.
 */
export function compileFilter(config: FilterConfig, flows: FlowCache = new FlowCache()): Filter {
  return new Filter(config, flows);
}

/** A compiled packet filter. It looks only at what `parsePacket` filled in, and allocates nothing. */
export class Filter {
  readonly flows: FlowCache;
  readonly #rules: readonly Rule[];
  readonly #local: AddressSet;
  readonly #refusal: Drop;

  /** Use `compileFilter`. */
  constructor(config: FilterConfig, flows: FlowCache) {
    this.flows = flows;
    this.#rules = config.shieldsUp ? [] : config.rules.map((rule) => new Rule(rule));
    this.#local = new AddressSet(config.local);
    this.#refusal = config.shieldsUp ? "filter-shields" : "filter-acl";
  }

  /** Whether a packet from a peer may come in; undefined lets it. */
  checkIn(p: Packet): Drop | undefined {
    const refused = checkDestination(p);
    if (refused !== undefined) return refused;
    // A compromised peer could send to destinations nobody advertised.
    if (!hasDestination(this.#local, p)) return "filter-destination";
    // Without its first fragment, which was filtered, the kernel drops a later one.
    if (p.fragment === "later") return undefined;
    return this.#admits(p) ? undefined : this.#refusal;
  }

  /** Whether a packet may leave for a peer; remembers UDP and SCTP flows so that their answers come in. */
  checkOut(p: Packet): Drop | undefined {
    const refused = checkDestination(p);
    if (refused !== undefined) return refused;
    if (p.fragment === "later") return undefined;
    if (p.protocol === PROTO.UDP || p.protocol === PROTO.SCTP) this.flows.remember(p);
    return undefined;
  }

  #admits(p: Packet): boolean {
    switch (p.protocol) {
      case PROTO.TCP:
        // Nothing new can begin without a SYN, so the rest need not be tracked.
        return (p.tcpFlags & (TCP_SYN | TCP_ACK)) !== TCP_SYN || this.#ruleAdmits(p);
      case PROTO.UDP:
      case PROTO.SCTP:
        return this.flows.answers(p) || this.#ruleAdmits(p);
      case PROTO.TSMP:
        return true;
      case PROTO.ICMP4:
        return p.version === 4 ? isIcmp4Answer(p) || this.#ruleAdmitsAddresses(p) : this.#ruleAdmitsWithoutPorts(p);
      case PROTO.ICMP6:
        return p.version === 6 ? isIcmp6Answer(p) || this.#ruleAdmitsAddresses(p) : this.#ruleAdmitsWithoutPorts(p);
      default:
        return this.#ruleAdmitsWithoutPorts(p);
    }
  }

  #ruleAdmits(p: Packet): boolean {
    for (const rule of this.#rules) if (rule.admits(p)) return true;
    return false;
  }

  #ruleAdmitsAddresses(p: Packet): boolean {
    for (const rule of this.#rules) if (rule.admitsAddresses(p)) return true;
    return false;
  }

  #ruleAdmitsWithoutPorts(p: Packet): boolean {
    for (const rule of this.#rules) if (rule.admitsWithoutPorts(p)) return true;
    return false;
  }
}

function checkDestination(p: Packet): Drop | undefined {
  if (p.version === 4) {
    if (p.dst0 >>> 28 === 0xe) return "filter-multicast";
    if (p.dst0 >>> 16 === 0xa9fe && p.dst0 !== CLOUD_METADATA) return "filter-link-local";
  } else {
    if (p.dst0 >>> 24 === 0xff) return "filter-multicast";
    if (p.dst0 >>> 22 === 0xfe80 >> 6) return "filter-link-local";
  }
  return undefined;
}

/** Echo reply, destination unreachable, time exceeded, parameter problem (RFC 792). */
function isIcmp4Answer(p: Packet): boolean {
  const type = p.icmpType;
  return (type === 0 && p.icmpCode === 0) || type === 3 || type === 11 || type === 12;
}

/** Echo reply, destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443). */
function isIcmp6Answer(p: Packet): boolean {
  const type = p.icmpType;
  return (type === 129 && p.icmpCode === 0) || (type >= 1 && type <= 4);
}
