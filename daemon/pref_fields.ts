/**
 * The fields of the preferences, in the order Go writes them: kind, default and whether the zero value is left out.
 *
 * One table drives reading, writing, merging and comparing, so that a field cannot be in one and missing in another.
 * Source: ipn/prefs.go (Prefs, NewPrefs). `Config` (the Persist) is not here; it holds keys and has its own file.
 */
import { formatPrefix, parseAddrPort, parseIp, parsePrefix } from "../base/ip.ts";

/** How the JSON of a field looks. `optBool` is Go's opt.Bool: true, false, or null for not set. */
export type PrefKind =
  | "bool"
  | "optBool"
  | "string"
  | "integer"
  | "port"
  | "address"
  | "prefixes"
  | "addrPorts"
  | "strings"
  | "autoUpdate"
  | "appConnector"
  | "any";

/** `AutoUpdate`: check for updates, apply them. Kept, not acted upon. */
export interface AutoUpdatePrefs {
  readonly Check: boolean;
  readonly Apply: boolean | null;
}

/** The preferences a user sets, Go's names: they are the state file's and the LocalAPI's JSON. */
export interface PrefValues {
  /** URL of the control server, "" until one was used: then Tailscale's own. */
  readonly ControlURL: string;
  /** Accept subnet routes of peers. */
  readonly RouteAll: boolean;
  readonly ExitNodeID: string;
  /** An address, or "". */
  readonly ExitNodeIP: string;
  readonly AutoExitNode: string;
  readonly InternalExitNodePrior: string;
  readonly ExitNodeAllowLANAccess: boolean;
  /** Accept DNS settings of the tailnet. */
  readonly CorpDNS: boolean;
  readonly RunSSH: boolean;
  readonly RunWebClient: boolean;
  /** The user wants to be connected. */
  readonly WantRunning: boolean;
  readonly LoggedOut: boolean;
  /** Refuse everything new that comes in. */
  readonly ShieldsUp: boolean;
  readonly AdvertiseTags: readonly string[] | null;
  /** "" means the host's own name. */
  readonly Hostname: string;
  readonly NotepadURLs: boolean;
  readonly ForceDaemon: boolean;
  readonly Egg: boolean;
  readonly AdvertiseRoutes: readonly string[] | null;
  readonly AdvertiseServices: readonly string[] | null;
  readonly Sync: boolean | null;
  readonly NoSNAT: boolean;
  readonly NoStatefulFiltering: boolean | null;
  /** 0 off, 1 nodivert, 2 on. */
  readonly NetfilterMode: number;
  /** User who may write besides root. */
  readonly OperatorUser: string;
  readonly ProfileName: string;
  readonly AutoUpdate: AutoUpdatePrefs;
  readonly AppConnector: { readonly Advertise: boolean };
  readonly PostureChecking: boolean;
  readonly NetfilterKind: string;
  readonly RemoteConfig: boolean;
  readonly DriveShares: readonly unknown[] | null;
  readonly RelayServerPort: number | null;
  readonly RelayServerStaticEndpoints: readonly string[] | null;
}

/** Name of a preference. */
export type PrefName = keyof PrefValues;

/** One row of the table. */
export interface PrefField {
  readonly kind: PrefKind;
  /** What an empty Go struct has. */
  readonly zero: unknown;
  /** What a new profile has (ipn.NewPrefs); `zero` when absent. */
  readonly initial?: unknown;
  /** Not written while zero (`json:",omitempty"`). */
  readonly omitZero?: boolean;
}

/** All fields, in Go's order. */
export const PREF_FIELDS: Readonly<Record<PrefName, PrefField>> = {
  ControlURL: { kind: "string", zero: "" },
  RouteAll: { kind: "bool", zero: false },
  ExitNodeID: { kind: "string", zero: "" },
  ExitNodeIP: { kind: "address", zero: "" },
  AutoExitNode: { kind: "string", zero: "", omitZero: true },
  InternalExitNodePrior: { kind: "string", zero: "" },
  ExitNodeAllowLANAccess: { kind: "bool", zero: false },
  CorpDNS: { kind: "bool", zero: false, initial: true },
  RunSSH: { kind: "bool", zero: false },
  RunWebClient: { kind: "bool", zero: false },
  WantRunning: { kind: "bool", zero: false },
  LoggedOut: { kind: "bool", zero: false },
  ShieldsUp: { kind: "bool", zero: false },
  AdvertiseTags: { kind: "strings", zero: null },
  Hostname: { kind: "string", zero: "" },
  NotepadURLs: { kind: "bool", zero: false },
  ForceDaemon: { kind: "bool", zero: false, omitZero: true },
  Egg: { kind: "bool", zero: false, omitZero: true },
  AdvertiseRoutes: { kind: "prefixes", zero: null },
  AdvertiseServices: { kind: "strings", zero: null },
  Sync: { kind: "optBool", zero: null },
  NoSNAT: { kind: "bool", zero: false },
  // Null is written: left out, it would be read back as the initial value.
  // Tailscale's initial value is true. Nothing said is a third thing here: see netfilter/ruleset.ts, ForwardFiltering.
  NoStatefulFiltering: { kind: "optBool", zero: null },
  NetfilterMode: { kind: "integer", zero: 0, initial: 2 },
  OperatorUser: { kind: "string", zero: "", omitZero: true },
  ProfileName: { kind: "string", zero: "", omitZero: true },
  AutoUpdate: { kind: "autoUpdate", zero: { Check: false, Apply: null }, initial: { Check: true, Apply: null } },
  AppConnector: { kind: "appConnector", zero: { Advertise: false } },
  PostureChecking: { kind: "bool", zero: false },
  NetfilterKind: { kind: "string", zero: "" },
  RemoteConfig: { kind: "bool", zero: false },
  DriveShares: { kind: "any", zero: null },
  RelayServerPort: { kind: "port", zero: null, omitZero: true },
  RelayServerStaticEndpoints: { kind: "addrPorts", zero: null, omitZero: true },
};

/** All names, in Go's order. */
export const PREF_NAMES = Object.keys(PREF_FIELDS) as readonly PrefName[];

function isList(value: unknown, test: (text: string) => boolean): boolean {
  return value === null || (Array.isArray(value) && value.every((item) => typeof item === "string" && test(item)));
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : undefined;
}

function isPrefix(text: string): boolean {
  return text.includes("/") && parsePrefix(text) !== undefined;
}

/** The value in its one spelling, or undefined when its type is wrong. Null means zero, as for Go's decoder. */
export function readPref(name: PrefName, value: unknown): unknown {
  const { kind, zero } = PREF_FIELDS[name];
  if (value === null) return zero;
  switch (kind) {
    case "bool":
    case "optBool":
      return typeof value === "boolean" ? value : undefined;
    case "string":
      return typeof value === "string" ? value : undefined;
    case "integer":
      return Number.isSafeInteger(value) ? value : undefined;
    case "port":
      return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65535 ? value : undefined;
    case "address":
      return typeof value === "string" && (value === "" || parseIp(value) !== undefined) ? value : undefined;
    case "strings":
      return isList(value, () => true) ? value : undefined;
    case "prefixes":
      return isList(value, isPrefix) ? (value as string[]).map((text) => formatPrefix(parsePrefix(text)!)) : undefined;
    case "addrPorts":
      return isList(value, (text) => parseAddrPort(text) !== undefined) ? value : undefined;
    case "autoUpdate": {
      const fields = record(value);
      if (fields === undefined) return undefined;
      const check = fields.Check ?? false;
      const apply = fields.Apply ?? null;
      return typeof check === "boolean" && (apply === null || typeof apply === "boolean")
        ? { Check: check, Apply: apply }
        : undefined;
    }
    case "appConnector": {
      const advertise = record(value)?.Advertise ?? false;
      return record(value) !== undefined && typeof advertise === "boolean" ? { Advertise: advertise } : undefined;
    }
    case "any":
      return Array.isArray(value) ? value : undefined;
  }
}

/** Equality of two values of the table's kinds; an empty list equals none. */
export function samePref(a: unknown, b: unknown): boolean {
  const normal = (value: unknown) => Array.isArray(value) && value.length === 0 ? null : value;
  return a === b || JSON.stringify(normal(a)) === JSON.stringify(normal(b));
}
