/** Rules of the packet filter. Source: tailcfg.FilterRule. */

/** Any of the sources may reach any of the destinations, or has the capabilities granted. */
export interface FilterRule {
  /** Addresses, prefixes, ranges "a-b", "*", or `cap:<node capability>`; Go sends null for none. */
  readonly SrcIPs?: readonly string[];
  readonly SrcBits?: readonly number[];
  readonly DstPorts?: readonly NetPortRange[];
  /** IP protocol numbers; absent or empty means TCP, UDP and ICMP. */
  readonly IPProto?: readonly number[];
  readonly CapGrant?: readonly CapGrant[];
}

/** A destination and its ports. */
export interface NetPortRange {
  /** As in `FilterRule.SrcIPs`, without `cap:`. */
  readonly IP: string;
  readonly Bits?: number;
  readonly Ports: PortRange;
}

/** Both ends included. */
export interface PortRange {
  readonly First: number;
  readonly Last: number;
}

/** Application capabilities a source has towards these destinations. */
export interface CapGrant {
  readonly Dsts?: readonly string[];
  readonly Caps?: readonly string[];
  readonly CapMap?: Readonly<Record<string, readonly unknown[] | null>>;
}
