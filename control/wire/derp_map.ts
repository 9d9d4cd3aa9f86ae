/** The relays of the tailnet. Source: tailcfg.DERPMap. */

/** Regions by their number. */
export interface DERPMap {
  readonly HomeParams?: DERPHomeParams;
  /** Keys are decimal region numbers. Absent in a change of `HomeParams` alone. */
  readonly Regions?: Readonly<Record<string, DERPRegion>>;
  readonly omitDefaultRegions?: boolean;
}

/** Weights for choosing the home region. */
export interface DERPHomeParams {
  /** Factor on a region's latency; 1 when absent, 0 or less is ignored. */
  readonly RegionScore?: Readonly<Record<string, number>>;
}

/** A place with one or more relays that forward among themselves. */
export interface DERPRegion {
  readonly RegionID: number;
  readonly RegionCode: string;
  readonly RegionName: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  readonly Avoid?: boolean;
  readonly NoMeasureNoHome?: boolean;
  /** In order of priority; Go sends null for none. */
  readonly Nodes?: readonly DERPNode[];
}

/** One relay. */
export interface DERPNode {
  readonly Name: string;
  readonly RegionID: number;
  readonly HostName: string;
  /** Certificate name to expect, or `sha256-raw:<hex>` of the certificate itself. */
  readonly CertName?: string;
  /** "" asks DNS, "none" forbids the family. */
  readonly IPv4?: string;
  readonly IPv6?: string;
  /** 0 means 3478, -1 none. */
  readonly STUNPort?: number;
  readonly STUNOnly?: boolean;
  /** 0 means 443. */
  readonly DERPPort?: number;
  readonly InsecureForTests?: boolean;
  readonly STUNTestIP?: string;
  readonly CanPort80?: boolean;
}
