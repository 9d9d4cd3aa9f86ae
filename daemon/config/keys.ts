/**
 * The keys of a configuration file: Tailscale's `alpha0`, and what it lacks. One table drives reading, schema, applying,
 * showing and comparing, so that a key cannot be in one and missing in another.
 *
 * Names are those of Go's JSON and, like there, taken in any case. Source: ipn/conf.go (ConfigVAlpha, ToPrefs).
 */
import { Secret } from "../../base/secret.ts";
import { parseIp } from "../../base/ip.ts";
import { EXIT_ROUTES, isExitRoute } from "../exit_node.ts";
import type { LogLevel } from "../log_level.ts";
import type { LockPolicy } from "../lock/policy.ts";
import type { AutoUpdatePrefs, PrefValues } from "../pref_fields.ts";
import { KINDS } from "./kinds.ts";
import type { Kind } from "./kinds.ts";

/** A configuration's values, each in its one spelling. */
export interface ConfigValues {
  readonly version: "alpha0";
  readonly Locked: boolean;
  readonly ServerURL: string;
  readonly AuthKey: Secret;
  readonly Enabled: boolean;
  readonly OperatorUser: string;
  readonly Hostname: string;
  readonly acceptDNS: boolean;
  readonly acceptRoutes: boolean;
  readonly exitNode: string;
  readonly allowLANWhileUsingExitNode: boolean;
  readonly AdvertiseRoutes: readonly string[];
  readonly AdvertiseExitNode: boolean;
  readonly DisableSNAT: boolean;
  readonly AdvertiseServices: readonly string[];
  readonly AppConnector: boolean;
  readonly NetfilterMode: "on" | "nodivert" | "off";
  readonly NoStatefulFiltering: boolean;
  readonly PostureChecking: boolean;
  readonly RunSSHServer: boolean;
  readonly RunWebClient: boolean;
  readonly ShieldsUp: boolean;
  readonly RemoteConfig: boolean;
  readonly AutoUpdate: AutoUpdatePrefs;
  readonly ServeConfigTemp: true;
  readonly StaticEndpoints: readonly string[];
  readonly RelayServerPort: number;
  readonly RelayServerStaticEndpoints: readonly string[];
  readonly AdvertiseTags: readonly string[];
  readonly Nickname: string;
  readonly Sync: boolean;
  readonly LockRequired: boolean;
  readonly LockPins: readonly string[];
  readonly LogLevel: LogLevel;
  readonly Instance: string;
  readonly Port: number;
  readonly CAFile: string;
  readonly LogFormat: "text" | "json";
  readonly ExpiryWarning: string;
  readonly ExpiryHook: string;
}

/** Name of a key. */
export type ConfigKeyName = keyof ConfigValues;

/** What a node runs with, as far as a configuration can say it. */
export interface Running {
  readonly prefs: PrefValues;
  readonly policy: LockPolicy;
  readonly staticEndpoints: readonly string[];
  readonly logLevel: ConfigValues["LogLevel"];
  readonly instance: string;
}

/** One key. */
export interface ConfigKey<T> {
  readonly kind: Kind<T>;
  /** For the schema and the manual: a sentence without a full stop. */
  readonly help: string;
  /** What it is called at `up`, `set` or `daemon`. */
  readonly flag?: string;
  /** What a new node has; undefined when that is not a value. */
  readonly initial?: T;
  /** Written back as this when the key is left out, so that each load has a say (as Tailscale's has). */
  readonly always?: true;
  /** Stays as it is when the key is taken out of the file. */
  readonly sticky?: true;
  /** Counts from the next start of the daemon on. */
  readonly restart?: true;
  /** What it has no effect for, in this version. */
  readonly without?: string;
  /** The preferences that it makes of those there are. */
  readonly put?: (value: T, prefs: PrefValues) => Partial<PrefValues>;
  /** What a node runs with; undefined for nothing that a file would say. */
  readonly get?: (running: Running) => T | undefined;
}

const MODES = ["off", "nodivert", "on"] as const;
const NOT_HERE = "is kept, and not acted upon in this version";

/** A preference of the same type under another name. */
function pref<K extends keyof PrefValues>(name: K): {
  readonly put: (value: PrefValues[K]) => Partial<PrefValues>;
  readonly get: (running: Running) => PrefValues[K];
} {
  return { put: (value) => ({ [name]: value } as Partial<PrefValues>), get: ({ prefs }) => prefs[name] };
}

/** A list of preferences, null for none. */
function list(name: "AdvertiseTags" | "AdvertiseServices" | "RelayServerStaticEndpoints"): {
  readonly put: (value: readonly string[]) => Partial<PrefValues>;
  readonly get: (running: Running) => readonly string[];
} {
  return {
    put: (value) => ({ [name]: value.length === 0 ? null : value }),
    get: ({ prefs }) => prefs[name] ?? [],
  };
}

const ownRoutes = (prefs: PrefValues) => (prefs.AdvertiseRoutes ?? []).filter((route) => !isExitRoute(route));
const offersExit = (prefs: PrefValues) => (prefs.AdvertiseRoutes ?? []).some(isExitRoute);

function advertised(exit: boolean, routes: readonly string[]): Partial<PrefValues> {
  const all = [...exit ? EXIT_ROUTES : [], ...routes];
  return { AdvertiseRoutes: all.length === 0 ? null : all };
}

function exitNode(word: string): Partial<PrefValues> {
  const none = { ExitNodeID: "", ExitNodeIP: "", AutoExitNode: "" };
  if (word.startsWith("auto:")) return { ...none, AutoExitNode: word.slice(5) };
  return parseIp(word) === undefined ? { ...none, ExitNodeID: word } : { ...none, ExitNodeIP: word };
}

/** All keys, in the order of the schema. */
export const CONFIG_KEYS: { readonly [K in ConfigKeyName]: ConfigKey<ConfigValues[K]> } = {
  version: { kind: KINDS.version, help: "Version of this format" },
  Locked: {
    kind: KINDS.bool,
    help: "Whether this file alone may change the node: 'up', 'set' and the like are refused then",
    initial: true,
  },
  ServerURL: {
    kind: KINDS.url,
    help: "Control server; left out: the one the node has, for a new node Tailscale's",
    flag: "login-server",
    initial: "",
    sticky: true,
    ...pref("ControlURL"),
  },
  AuthKey: {
    kind: KINDS.secret,
    help: "Auth key for when the node has to log in; file:PATH keeps it out of this file",
    flag: "auth-key",
  },
  Enabled: {
    kind: KINDS.bool,
    help: "Whether the node is to be connected",
    initial: true,
    always: true,
    ...pref("WantRunning"),
  },
  OperatorUser: {
    kind: KINDS.text,
    help: "User who may operate the daemon without sudo",
    flag: "operator",
    initial: "",
    ...pref("OperatorUser"),
  },
  Hostname: { kind: KINDS.hostname, help: "Name to use instead of the system's", initial: "", ...pref("Hostname") },
  acceptDNS: {
    kind: KINDS.bool,
    help: "Accept the DNS configuration of the tailnet",
    initial: true,
    ...pref("CorpDNS"),
  },
  acceptRoutes: {
    kind: KINDS.bool,
    help: "Accept routes advertised by other nodes",
    initial: false,
    ...pref("RouteAll"),
  },
  exitNode: {
    kind: KINDS.exitNode,
    help: "Exit node: its address, stable ID or name, auto:any, or empty for none",
    initial: "",
    put: exitNode,
    get: ({ prefs }) => prefs.AutoExitNode !== "" ? `auto:${prefs.AutoExitNode}` : prefs.ExitNodeIP || prefs.ExitNodeID,
  },
  allowLANWhileUsingExitNode: {
    kind: KINDS.bool,
    help: "Reach the local network while an exit node is used",
    flag: "exit-node-allow-lan-access",
    initial: false,
    ...pref("ExitNodeAllowLANAccess"),
  },
  AdvertiseRoutes: {
    kind: KINDS.routes,
    help: "Routes to offer; those of an exit node here mean AdvertiseExitNode",
    initial: [],
    put: (routes, prefs) => advertised(offersExit(prefs), routes),
    get: ({ prefs }) => ownRoutes(prefs),
  },
  AdvertiseExitNode: {
    kind: KINDS.bool,
    help: "Offer to be an exit node",
    initial: false,
    put: (exit, prefs) => advertised(exit, ownRoutes(prefs)),
    get: ({ prefs }) => offersExit(prefs),
  },
  DisableSNAT: {
    kind: KINDS.bool,
    help: "Leave out source NAT for traffic to advertised routes",
    flag: "snat-subnet-routes",
    initial: false,
    ...pref("NoSNAT"),
  },
  AdvertiseServices: {
    kind: KINDS.services,
    help: "Services to offer",
    initial: [],
    always: true,
    without: NOT_HERE,
    ...list("AdvertiseServices"),
  },
  AppConnector: {
    kind: KINDS.appConnector,
    help: "Offer to be an app connector",
    flag: "advertise-connector",
    initial: false,
    without: NOT_HERE,
    put: (Advertise) => ({ AppConnector: { Advertise } }),
    get: ({ prefs }) => prefs.AppConnector.Advertise,
  },
  NetfilterMode: {
    kind: KINDS.netfilterMode,
    help: "How to use netfilter",
    initial: "on",
    put: (mode) => ({ NetfilterMode: MODES.indexOf(mode) }),
    get: ({ prefs }) => MODES[prefs.NetfilterMode],
  },
  NoStatefulFiltering: {
    kind: KINDS.bool,
    help: "Forward new packets into the tailnet from anywhere, as Tailscale does; false: from nowhere; " +
      "left out: from this machine's guests and networks it offers",
    flag: "stateful-filtering",
    put: (value) => ({ NoStatefulFiltering: value }),
    get: ({ prefs }) => prefs.NoStatefulFiltering ?? undefined,
  },
  PostureChecking: {
    kind: KINDS.bool,
    help: "Let management read the device's posture",
    flag: "report-posture",
    initial: false,
    without: NOT_HERE,
    ...pref("PostureChecking"),
  },
  RunSSHServer: {
    kind: KINDS.bool,
    help: "Run an SSH server, access by the tailnet's policy",
    flag: "ssh",
    initial: false,
    without: NOT_HERE,
    ...pref("RunSSH"),
  },
  RunWebClient: {
    kind: KINDS.bool,
    help: "Serve the web interface to the tailnet",
    flag: "webclient",
    initial: false,
    without: NOT_HERE,
    ...pref("RunWebClient"),
  },
  ShieldsUp: { kind: KINDS.bool, help: "Allow no incoming connections", initial: false, ...pref("ShieldsUp") },
  RemoteConfig: {
    kind: KINDS.bool,
    help: "Let the tailnet's administrators change these settings",
    initial: false,
    without: NOT_HERE,
    ...pref("RemoteConfig"),
  },
  AutoUpdate: {
    kind: KINDS.autoUpdate,
    help: "Tell about new versions",
    flag: "update-check",
    initial: { Check: true, Apply: null },
    ...pref("AutoUpdate"),
  },
  ServeConfigTemp: {
    kind: KINDS.anyObject,
    help: "Tailscale's serve configuration",
    without: "is passed over: this version serves nothing",
  },
  StaticEndpoints: {
    kind: KINDS.addrPorts,
    help: "IP:port where peers reach this node besides what it finds out",
    initial: [],
    always: true,
    get: ({ staticEndpoints }) => staticEndpoints,
  },
  RelayServerPort: {
    kind: KINDS.port,
    help: "UDP port of a peer relay server, 0 for any; left out: none",
    always: true,
    put: (port) => ({ RelayServerPort: port }),
    get: ({ prefs }) => prefs.RelayServerPort ?? undefined,
  },
  RelayServerStaticEndpoints: {
    kind: KINDS.addrPorts,
    help: "IP:port where peers reach the peer relay server",
    initial: [],
    always: true,
    ...list("RelayServerStaticEndpoints"),
  },
  AdvertiseTags: { kind: KINDS.tags, help: "Tags to ask for", initial: [], ...list("AdvertiseTags") },
  Nickname: { kind: KINDS.text, help: "Short name of this login", initial: "", ...pref("ProfileName") },
  Sync: {
    kind: KINDS.bool,
    help: "Keep in step with the control server",
    put: (value) => ({ Sync: value }),
    get: ({ prefs }) => prefs.Sync ?? undefined,
  },
  LockRequired: {
    kind: KINDS.bool,
    help: "Speak to no peer before Tailnet Lock is known to be on",
    initial: false,
    get: ({ policy }) => policy.required,
  },
  LockPins: {
    kind: KINDS.lockPins,
    help: "The lock must be this one: genesis hash, tlpub:… of who made it, or state ID",
    flag: "lock-pin",
    initial: [],
    get: ({ policy }) => policy.pins,
  },
  LogLevel: {
    kind: KINDS.logLevel,
    help: "The least that is logged; --verbose counts for more",
    flag: "verbose",
    initial: "info",
    get: ({ logLevel }) => logLevel,
  },
  Instance: {
    kind: KINDS.instance,
    help: "Run beside other nodes on this machine under this name",
    initial: "",
    restart: true,
    get: ({ instance }) => instance,
  },
  Port: { kind: KINDS.port, help: "UDP port for peers, 0 picks one; --port counts for more", restart: true },
  CAFile: {
    kind: KINDS.path,
    help: "PEM file of more certificate authorities to trust",
    flag: "ca-file",
    restart: true,
  },
  LogFormat: { kind: KINDS.logFormat, help: "How the log is written", flag: "log-format", restart: true },
  ExpiryWarning: {
    kind: KINDS.span,
    help: "How long before its end the node key is warned of",
    flag: "expiry-warning",
    restart: true,
  },
  ExpiryHook: {
    kind: KINDS.path,
    help: "Program to run when the node key nears its end",
    flag: "expiry-hook",
    restart: true,
  },
};

/** All names, in the table's order. */
export const CONFIG_NAMES = Object.keys(CONFIG_KEYS) as readonly ConfigKeyName[];

/** Every name with what else it is called, for those who meant it. */
export const CONFIG_SPELLINGS: ReadonlyMap<ConfigKeyName, readonly string[]> = new Map(
  CONFIG_NAMES.map((name) => [name, [name, ...[CONFIG_KEYS[name].flag ?? []].flat()]]),
);
