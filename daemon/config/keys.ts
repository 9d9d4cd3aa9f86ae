/**
 * The keys of a configuration file: Tailscale's `alpha0`, and what it lacks. One table drives reading, schema, applying,
 * showing and comparing, so that a key cannot be in one and missing in another.
 *
 * Names are those of Go's JSON and, like there, taken in any case. Source: ipn/conf.go (ConfigVAlpha, ToPrefs).
 */
import type { ConfigKey, ConfigKeyName, ConfigValues } from "./key.ts";
import { advertised, exitNode, list, offersExit, ownRoutes, pref } from "./key_prefs.ts";
import { KINDS } from "./kinds.ts";

const MODES = ["off", "nodivert", "on"] as const;
const NOT_HERE = "is kept, and not acted upon in this version";

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
