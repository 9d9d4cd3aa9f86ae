/**
 * The DERP map: which relays exist and how to reach them, in the JSON control sends it.
 *
 * Field names are Go's, because these objects cross the wire unchanged. Source: tailcfg.DERPMap, DERPRegion, DERPNode.
 */

/** One relay host of a region. Only what tailcfg marks required is required. */
export interface DERPNode {
  /** Unique over all regions, such as "1a"; not a host name. */
  readonly Name: string;
  readonly RegionID: number;
  /** Host dialled and named in TLS, or an IP literal. */
  readonly HostName: string;
  /** Name the certificate must have instead of `HostName`, or `sha256-raw:<hex>`, the hash of one self-signed leaf. */
  readonly CertName?: string;
  /** Address to dial instead of looking `HostName` up; "none" (or any text that is no IPv4) disables the family. */
  readonly IPv4?: string;
  /** As `IPv4`, for IPv6. */
  readonly IPv6?: string;
  /** UDP port of STUN; absent or 0 means 3478, -1 disables. */
  readonly STUNPort?: number;
  /** Answers STUN but relays nothing. */
  readonly STUNOnly?: boolean;
  /** TLS port; absent or 0 means 443. */
  readonly DERPPort?: number;
  /** Skips certificate checks; for tests only. */
  readonly InsecureForTests?: boolean;
  /** Address STUN requests go to, instead of the node's own; for tests. */
  readonly STUNTestIP?: string;
  /** Answers `/generate_204` on port 80. */
  readonly CanPort80?: boolean;
}

/** A region: relays that are near to each other and know each other's clients. */
export interface DERPRegion {
  readonly RegionID: number;
  /** Short, such as "fra". */
  readonly RegionCode: string;
  readonly RegionName: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  /** Deprecated by tailcfg: not to be picked as a new home. */
  readonly Avoid?: boolean;
  /** Never measured and never home, but used to reach peers whose home it is. */
  readonly NoMeasureNoHome?: boolean;
  /** In the order they are to be tried. */
  readonly Nodes: readonly DERPNode[];
}

/** How control wants the home region chosen. */
export interface DERPHomeParams {
  /** Factor on a region's latency, by decimal region ID; a region without one has 1, zero and less are ignored. */
  readonly RegionScore?: Readonly<Record<string, number>>;
}

/** All regions, by decimal region ID. */
export interface DERPMap {
  readonly HomeParams?: DERPHomeParams;
  readonly Regions: Readonly<Record<string, DERPRegion>>;
  readonly omitDefaultRegions?: boolean;
}

/** A map with nothing in it. */
export const EMPTY_DERP_MAP: DERPMap = { Regions: {} };

/** STUN's port where a node names none (RFC 5389 9). */
export const DEFAULT_STUN_PORT = 3478;
/** TLS port where a node names none. */
export const DEFAULT_DERP_PORT = 443;
/** Prefix of a `CertName` that pins one certificate. */
export const CERT_HASH_PREFIX = "sha256-raw:";

/** What `parseDerpMap` made of a document. */
export interface ParsedDerpMap {
  readonly map: DERPMap;
  /** What was left out, one line each, for the log. */
  readonly rejected: readonly string[];
}

type Fields = Record<string, unknown>;

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Copies the named fields that have the wanted type; a wrong type is an error, an absent or null field is not. */
function pick(fields: Fields, type: "string" | "number" | "boolean", names: readonly string[]): Fields | string {
  const out: Fields = {};
  for (const name of names) {
    const value = fields[name];
    if (value === undefined || value === null) continue;
    const seen: string = typeof value;
    if (seen !== type) return `${name} is ${JSON.stringify(value)}, want a ${type}`;
    out[name] = value;
  }
  return out;
}

function isPort(value: unknown, least: number): boolean {
  return value === undefined || (Number.isInteger(value) && (value as number) >= least && (value as number) <= 65535);
}

/** Positive and exact as a JavaScript number. Source: tailcfg.DERPRegionID.IsValid. */
export function isRegionId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function parseNode(value: unknown): DERPNode | string {
  if (!isFields(value)) return "a node is not an object";
  const texts = pick(value, "string", ["Name", "HostName", "CertName", "IPv4", "IPv6", "STUNTestIP"]);
  if (typeof texts === "string") return texts;
  const numbers = pick(value, "number", ["RegionID", "STUNPort", "DERPPort"]);
  if (typeof numbers === "string") return numbers;
  const flags = pick(value, "boolean", ["STUNOnly", "InsecureForTests", "CanPort80"]);
  if (typeof flags === "string") return flags;
  const node = { ...texts, ...numbers, ...flags } as unknown as DERPNode;
  if (node.Name === undefined || node.Name === "") return "a node has no Name";
  if (node.HostName === undefined || node.HostName === "") return `node ${node.Name} has no HostName`;
  if (!isRegionId(node.RegionID)) return `node ${node.Name} has RegionID ${node.RegionID}, want a positive integer`;
  if (!isPort(node.STUNPort, -1)) return `node ${node.Name} has STUNPort ${node.STUNPort}, want -1 to 65535`;
  if (!isPort(node.DERPPort, 0)) return `node ${node.Name} has DERPPort ${node.DERPPort}, want 0 to 65535`;
  return node;
}

function parseRegion(id: string, value: unknown, rejected: string[]): DERPRegion | string {
  if (!isFields(value)) return "it is not an object";
  const texts = pick(value, "string", ["RegionCode", "RegionName"]);
  if (typeof texts === "string") return texts;
  const numbers = pick(value, "number", ["RegionID", "Latitude", "Longitude"]);
  if (typeof numbers === "string") return numbers;
  const flags = pick(value, "boolean", ["Avoid", "NoMeasureNoHome"]);
  if (typeof flags === "string") return flags;
  if (!isRegionId(numbers.RegionID) || String(numbers.RegionID) !== id) {
    return `RegionID is ${numbers.RegionID}, want the positive integer it is filed under`;
  }
  const list = value.Nodes ?? [];
  if (!Array.isArray(list)) return "Nodes is not a list";
  const nodes: DERPNode[] = [];
  for (const entry of list) {
    const node = parseNode(entry);
    if (typeof node === "string") rejected.push(`DERP region ${id}: ${node}`);
    else if (node.RegionID !== numbers.RegionID) {
      rejected.push(`DERP region ${id}: node ${node.Name} has RegionID ${node.RegionID}`);
    } else nodes.push(node);
  }
  return { RegionCode: "", RegionName: "", ...texts, ...numbers, ...flags, Nodes: nodes } as unknown as DERPRegion;
}

function parseHomeParams(value: unknown): DERPHomeParams | undefined {
  if (!isFields(value)) return undefined;
  if (!isFields(value.RegionScore)) return {};
  const scores: Record<string, number> = {};
  for (const [id, score] of Object.entries(value.RegionScore)) {
    if (typeof score === "number" && Number.isFinite(score)) scores[id] = score;
  }
  return { RegionScore: scores };
}

/**
 * Checks a decoded JSON document. A malformed region or node is left out and named, so that one mistake of an
 * operator's map does not cost a node all its relays; unknown fields are dropped.
 */
export function parseDerpMap(value: unknown): ParsedDerpMap {
  if (!isFields(value)) return { map: EMPTY_DERP_MAP, rejected: ["the DERP map is not an object"] };
  const rejected: string[] = [];
  const regions: Record<string, DERPRegion> = {};
  for (const [id, entry] of Object.entries(isFields(value.Regions) ? value.Regions : {})) {
    const region = parseRegion(id, entry, rejected);
    if (typeof region === "string") rejected.push(`DERP region ${id}: ${region}`);
    else regions[id] = region;
  }
  const homeParams = parseHomeParams(value.HomeParams);
  return {
    map: {
      ...(homeParams && { HomeParams: homeParams }),
      Regions: regions,
      ...(value.omitDefaultRegions === true && { omitDefaultRegions: true }),
    },
    rejected,
  };
}

/** The map's region IDs, ascending. Source: tailcfg.DERPMap.RegionIDs. */
export function regionIds(map: DERPMap): number[] {
  return Object.keys(map.Regions).map(Number).sort((a, b) => a - b);
}

/** The region, or undefined when the map has none of that ID. */
export function regionOf(map: DERPMap, id: number): DERPRegion | undefined {
  return Object.hasOwn(map.Regions, id) ? map.Regions[id] : undefined;
}
