/**
 * Flags that are preferences: how `up`, `login` and `set` turn them into `ipn.MaskedPrefs`, and `get` prints them.
 * Source: cmd/tailscale/cli/up.go, set.go, get.go.
 */
import { formatPrefix, isMasked, masked, parseAddrPort, parseIp, parsePrefix } from "../base/ip.ts";
import { CliError, UsageError } from "./exit_codes.ts";
import type { FlagTable, Parsed } from "./flags.ts";
import type { Prefs, Status } from "./local_types.ts";
import { findNode } from "./peer_names.ts";

/** Of settings that do nothing yet. */
const KEPT = " (kept, without effect yet)";

/** The flags `up` and `set` share. */
export const PREF_FLAGS = {
  "accept-routes": { type: "boolean", help: "accept routes advertised by other nodes" },
  "accept-dns": { type: "boolean", help: "accept the DNS configuration of the tailnet", fallback: true },
  "exit-node": { type: "string", help: "exit node for internet traffic: address, name or auto:any; empty for none" },
  "exit-node-allow-lan-access": { type: "boolean", help: "reach the local network while an exit node is used" },
  "shields-up": { type: "boolean", help: "allow no incoming connections" },
  "ssh": { type: "boolean", help: `run an SSH server, access by the tailnet's policy${KEPT}` },
  "hostname": { type: "string", help: "name to use instead of the system's" },
  "advertise-tags": { type: "string", help: "tags to ask for, comma-separated; 'tag:' may be left out" },
  "advertise-routes": { type: "string", help: "routes to offer, comma-separated prefixes; empty for none" },
  "advertise-exit-node": { type: "boolean", help: "offer to be an exit node" },
  "advertise-connector": { type: "boolean", help: `offer to be an app connector${KEPT}` },
  "report-posture": { type: "boolean", help: `let management read the device's posture${KEPT}` },
  "operator": { type: "string", value: "user", help: "user who may operate the daemon without sudo" },
  "snat-subnet-routes": { type: "boolean", help: "source NAT traffic to advertised routes", fallback: true },
  "stateful-filtering": { type: "boolean", help: "filter forwarded packets by state" },
  "netfilter-mode": { type: "string", value: "on|nodivert|off", help: "how to use netfilter", fallback: "on" },
  "relay-server-port": {
    type: "string",
    value: "port",
    help: "UDP port of a peer relay server; 0 for any, empty for none",
  },
  "relay-server-static-endpoints": { type: "string", help: "addresses of the peer relay server, comma-separated" },
} as const satisfies FlagTable;

/** `set` has these on top. */
export const SET_ONLY_FLAGS = {
  "nickname": { type: "string", help: "short name of this login" },
  "update-check": { type: "boolean", help: "tell about new versions", fallback: true },
  "auto-update": { type: "boolean", help: "install new versions; not by this program: your package manager does" },
  "webclient": { type: "boolean", help: `serve the web interface to the tailnet${KEPT}` },
  "remote-config": { type: "boolean", help: "", hidden: true },
  "sync": { type: "boolean", help: "", hidden: true },
} as const satisfies FlagTable;

type PrefFlagTable = typeof PREF_FLAGS & typeof SET_ONLY_FLAGS;
/** Parsed values of whichever of these flags a verb has. */
export type PrefValues = Partial<Parsed<PrefFlagTable>["values"]>;
/** `ipn.MaskedPrefs`: fields and, for each, `<Field>Set`. */
export type MaskedPrefs = Record<string, unknown>;

const NETFILTER_MODES: Readonly<Record<string, number>> = { off: 0, nodivert: 1, on: 2 };
const EXIT_ROUTES = ["0.0.0.0/0", "::/0"];

function routes(text: string): string[] {
  if (text === "") return [];
  const list = text.split(",").map((part) => part.trim());
  for (const route of list) {
    const prefix = route.includes("/") ? parsePrefix(route) : undefined;
    if (prefix === undefined) throw new UsageError(`"${route}" is not a valid IP address or CIDR prefix`);
    if (!isMasked(prefix)) {
      throw new UsageError(`${route} has non-address bits set; expected ${formatPrefix(masked(prefix))}`);
    }
    if (prefix.bits === 0) {
      throw new UsageError(`to advertise ${route} use --advertise-exit-node`);
    }
  }
  return [...new Set(list)].sort();
}

function tags(text: string): string[] {
  if (text === "") return [];
  return text.split(",").map((part) => {
    const tag = part.includes(":") ? part : `tag:${part}`;
    if (!/^tag:[A-Za-z][A-Za-z0-9-]*$/.test(tag)) {
      throw new UsageError(
        `tag: "${tag}": tag names must start with a letter and have only letters, digits and dashes`,
      );
    }
    return tag;
  });
}

function hostname(text: string): string {
  const label = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
  if (text !== "" && (text.length > 253 || !text.split(".").every((part) => label.test(part)))) {
    throw new UsageError(
      `"${text}" is not a valid host name: want labels of up to 63 letters, digits and inner dashes`,
    );
  }
  return text;
}

/** The exit node's fields: by ID when the name is known, by address otherwise. @throws CliError, UsageError */
function exitNode(word: string, status: Status): Pick<MaskedPrefs, string> {
  if (word === "") return { ExitNodeID: "", ExitNodeIP: "", AutoExitNode: "" };
  if (word.startsWith("auto:") && word !== "auto:any") {
    throw new UsageError(`invalid value "${word}" for flag --exit-node: want an address, a name or auto:any`);
  }
  if (word.startsWith("auto:")) return { AutoExitNode: word.slice(5), ExitNodeID: "", ExitNodeIP: "" };
  if (parseIp(word) !== undefined) {
    if (status.TailscaleIPs?.includes(word)) {
      throw new CliError(`cannot use ${word} as an exit node: it is this node; did you mean --advertise-exit-node?`);
    }
    const peer = Object.values(status.Peer ?? {}).find((node) => node.TailscaleIPs?.includes(word));
    if (peer === undefined && status.BackendState === "Running") {
      throw new CliError(`no node found in netmap with IP ${word}`);
    }
    if (peer !== undefined && !peer.ExitNodeOption) {
      throw new CliError(`node ${word} is not advertising an exit node`);
    }
    return { ExitNodeID: "", ExitNodeIP: word, AutoExitNode: "" };
  }
  const { node, isSelf } = findNode(status, word);
  if (isSelf) {
    throw new CliError(`cannot use ${word} as an exit node: it is this node; did you mean --advertise-exit-node?`);
  }
  if (!node.ExitNodeOption) throw new CliError(`${word} does not offer to be an exit node`);
  return { ExitNodeID: node.ID, ExitNodeIP: "", AutoExitNode: "" };
}

function advertised(values: PrefValues, given: ReadonlySet<string>, prefs: Prefs): string[] {
  const current = prefs.AdvertiseRoutes ?? [];
  const offersExit = current.includes(EXIT_ROUTES[0]);
  const own = given.has("advertise-routes")
    ? routes(values["advertise-routes"]!)
    : current.filter((route) => !EXIT_ROUTES.includes(route));
  const exit = given.has("advertise-exit-node") ? values["advertise-exit-node"] : offersExit;
  return exit ? [...EXIT_ROUTES, ...own] : own;
}

/**
 * The edits that the given flags make. Only what was written counts, so nothing has to be said again.
 * @throws UsageError for a value that cannot be meant, CliError for an exit node that is none.
 */
export function maskedPrefs(
  values: PrefValues,
  given: ReadonlySet<string>,
  prefs: Prefs,
  status: Status,
): MaskedPrefs {
  const edits: MaskedPrefs = {};
  const put = (fields: MaskedPrefs) => {
    for (const [name, value] of Object.entries(fields)) {
      edits[name] = value;
      edits[`${name}Set`] = true;
    }
  };
  const on = (flag: keyof PrefFlagTable, fields: () => MaskedPrefs) => {
    if (given.has(flag)) put(fields());
  };
  on("accept-routes", () => ({ RouteAll: values["accept-routes"] }));
  on("accept-dns", () => ({ CorpDNS: values["accept-dns"] }));
  on("exit-node", () => exitNode(values["exit-node"]!, status));
  on("exit-node-allow-lan-access", () => ({ ExitNodeAllowLANAccess: values["exit-node-allow-lan-access"] }));
  on("shields-up", () => ({ ShieldsUp: values["shields-up"] }));
  on("ssh", () => ({ RunSSH: values.ssh }));
  on("hostname", () => ({ Hostname: hostname(values.hostname!) }));
  on("advertise-tags", () => ({ AdvertiseTags: tags(values["advertise-tags"]!) }));
  if (given.has("advertise-routes") || given.has("advertise-exit-node")) {
    put({ AdvertiseRoutes: advertised(values, given, prefs) });
  }
  on("advertise-connector", () => ({ AppConnector: { Advertise: values["advertise-connector"] } }));
  on("report-posture", () => ({ PostureChecking: values["report-posture"] }));
  on("operator", () => ({ OperatorUser: values.operator }));
  on("snat-subnet-routes", () => ({ NoSNAT: !values["snat-subnet-routes"] }));
  on("stateful-filtering", () => ({ NoStatefulFiltering: !values["stateful-filtering"] }));
  on("netfilter-mode", () => {
    const mode = NETFILTER_MODES[values["netfilter-mode"]!];
    if (mode === undefined) {
      throw new UsageError(`invalid value --netfilter-mode="${values["netfilter-mode"]}": want on, nodivert or off`);
    }
    return { NetfilterMode: mode };
  });
  on("nickname", () => ({ ProfileName: values.nickname }));
  on("webclient", () => ({ RunWebClient: values.webclient }));
  on("remote-config", () => ({ RemoteConfig: values["remote-config"] }));
  on("sync", () => ({ Sync: values.sync }));
  if (given.has("update-check") || given.has("auto-update")) {
    const Check = given.has("update-check") ? values["update-check"] : prefs.AutoUpdate?.Check ?? true;
    const Apply = given.has("auto-update") ? values["auto-update"] : prefs.AutoUpdate?.Apply ?? null;
    edits.AutoUpdate = { Check, Apply };
    edits.AutoUpdateSet = { CheckSet: given.has("update-check"), ApplySet: given.has("auto-update") };
  }
  on("relay-server-port", () => {
    const text = values["relay-server-port"]!;
    if (text !== "" && !(/^[0-9]{1,5}$/.test(text) && Number(text) <= 65535)) {
      throw new UsageError(`failed to set relay server port: "${text}" is not a port`);
    }
    return { RelayServerPort: text === "" ? null : Number(text) };
  });
  on("relay-server-static-endpoints", () => {
    const text = values["relay-server-static-endpoints"]!;
    const endpoints = text === "" ? [] : [...new Set(text.split(",").map((part) => part.trim()))].sort();
    const bad = endpoints.find((endpoint) => parseAddrPort(endpoint) === undefined);
    if (bad !== undefined) {
      throw new UsageError(`failed to set relay server static endpoints: "${bad}" is not a valid IP:port`);
    }
    return { RelayServerStaticEndpoints: endpoints };
  });
  if (values["exit-node-allow-lan-access"] && !given.has("exit-node") && prefs.ExitNodeID + prefs.ExitNodeIP === "") {
    throw new UsageError("--exit-node-allow-lan-access can only be used with --exit-node");
  }
  return edits;
}

/** The exit node as it would be typed: `auto:any`, an address, or the ID of a node that is not there. */
function exitNodeWord(prefs: Prefs, status: Status): string {
  if (prefs.AutoExitNode) return `auto:${prefs.AutoExitNode}`;
  if (prefs.ExitNodeIP !== "" || prefs.ExitNodeID === "") return prefs.ExitNodeIP;
  const node = Object.values(status.Peer ?? {}).find((peer) => peer.ID === prefs.ExitNodeID);
  return node?.TailscaleIPs?.[0] ?? prefs.ExitNodeID;
}

/** Each preference by the name of its flag, as `get` prints it. */
export function prefValues(prefs: Prefs, status: Status): Readonly<Record<string, string | boolean>> {
  const advertise = prefs.AdvertiseRoutes ?? [];
  const mode = Object.entries(NETFILTER_MODES).find(([, number]) => number === prefs.NetfilterMode)?.[0] ?? "on";
  return {
    "accept-dns": prefs.CorpDNS,
    "accept-routes": prefs.RouteAll,
    "advertise-connector": prefs.AppConnector?.Advertise ?? false,
    "advertise-exit-node": advertise.includes(EXIT_ROUTES[0]),
    "advertise-routes": advertise.filter((route) => !EXIT_ROUTES.includes(route)).join(","),
    "advertise-tags": (prefs.AdvertiseTags ?? []).join(","),
    "auto-update": prefs.AutoUpdate?.Apply ?? false,
    "exit-node": exitNodeWord(prefs, status),
    "exit-node-allow-lan-access": prefs.ExitNodeAllowLANAccess,
    "hostname": prefs.Hostname,
    "netfilter-mode": mode,
    "nickname": prefs.ProfileName ?? "",
    "operator": prefs.OperatorUser ?? "",
    "relay-server-port": typeof prefs.RelayServerPort === "number" ? String(prefs.RelayServerPort) : "",
    "relay-server-static-endpoints": (prefs.RelayServerStaticEndpoints ?? []).join(","),
    "remote-config": prefs.RemoteConfig ?? false,
    "report-posture": prefs.PostureChecking,
    "shields-up": prefs.ShieldsUp,
    "snat-subnet-routes": !prefs.NoSNAT,
    "ssh": prefs.RunSSH,
    "stateful-filtering": prefs.NoStatefulFiltering !== true,
    "sync": prefs.Sync === true,
    "update-check": prefs.AutoUpdate?.Check ?? true,
    "webclient": prefs.RunWebClient,
  };
}
