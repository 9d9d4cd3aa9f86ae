/** `status`: the table people know. Source: cmd/tailscale/cli/status.go. */
import { EXIT_FAILED, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { formatAgo } from "./duration.ts";
import type { PeerStatus, Status } from "./local_types.ts";
import { colourWanted, columns, paint, print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  json: { type: "boolean", help: "print ipnstate.Status as JSON" },
  active: { type: "boolean", help: "only peers with traffic in the last minutes" },
  self: { type: "boolean", help: "show this node", fallback: true },
  peers: { type: "boolean", help: "show peers", fallback: true },
  header: { type: "boolean", help: "print the names of the columns" },
  web: { type: "boolean", help: "", hidden: true },
  listen: { type: "string", help: "", hidden: true },
  browser: { type: "boolean", help: "", hidden: true },
} as const;

/** How long ago something was seen: at least a minute, in whole minutes, hours or days; "" for never. */
function lastSeen(text: string, now: number): string {
  const seen = Date.parse(text);
  // Go's zero time is in the year 1.
  return seen > 0 ? `, last seen ${formatAgo(Math.max(60_000, now - seen))}` : "";
}

function pathWords(peer: PeerStatus): string {
  if (peer.CurAddr !== "") return `direct ${peer.CurAddr}`;
  if (peer.PeerRelay) return `peer-relay ${peer.PeerRelay}`;
  return peer.Relay === "" ? "" : `relay "${peer.Relay}"`;
}

/** What a node's path and traffic look like in one column. */
export function peerWords(peer: PeerStatus, now: number): string {
  const traffic = peer.RxBytes !== 0 || peer.TxBytes !== 0;
  const exit = peer.ExitNode ? "exit node" : peer.ExitNodeOption ? "offers exit node" : "";
  const offline = peer.Online ? "" : `offline${lastSeen(peer.LastSeen, now)}`;
  const words = peer.Active
    ? ["active", exit, pathWords(peer), offline]
    : exit !== "" || traffic
    ? ["idle", exit, offline]
    : [offline || "-"];
  const text = words.filter((word) => word !== "").join("; ");
  return traffic ? `${text}, tx ${peer.TxBytes} rx ${peer.RxBytes}` : text;
}

/** The node's name below the tailnet's suffix, all of it for a node of another tailnet, else its host name. */
function shownName(status: Status, peer: PeerStatus): string {
  const full = peer.DNSName.replace(/\.$/, "");
  const suffix = `.${status.MagicDNSSuffix.replace(/^\.|\.$/g, "")}`;
  const name = suffix.length > 1 && full.endsWith(suffix) ? full.slice(0, -suffix.length) : full;
  return name !== "" ? name : `("${hostLabel(peer.HostName)}")`;
}

/** A host name as a DNS label (dnsname.SanitizeHostname). */
function hostLabel(hostname: string): string {
  const label = hostname.replace(/\.(local|localdomain|lan)$/, "").slice(0, 63);
  return label.replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "").replace(/[ .@_]/g, "-").replace(/[^\w-]/g, "")
    .toLowerCase();
}

function owner(status: Status, peer: PeerStatus): string {
  const id = peer.AltSharerUserID || peer.UserID;
  if (id === 0) return "-";
  const login = status.User?.[String(id)]?.LoginName;
  if (login === undefined) return (peer.Tags ?? []).length > 0 ? "tagged-devices" : String(id);
  return login.includes("@") ? login.slice(0, login.indexOf("@") + 1) : login;
}

/** By DNS name, then host name, then address, as ipnstate.SortPeers. */
function byName(a: PeerStatus, b: PeerStatus): number {
  const key = (peer: PeerStatus) => [peer.DNSName, peer.HostName, peer.TailscaleIPs?.[0] ?? "", peer.PublicKey];
  const [left, right] = [key(a), key(b)];
  const at = left.findIndex((part, i) => part !== right[i]);
  return at < 0 ? 0 : left[at] < right[at] ? -1 : 1;
}

/** What the table shows. */
export interface StatusFlags {
  readonly active: boolean;
  readonly self: boolean;
  readonly peers: boolean;
  readonly header: boolean;
}

const HEADER = ["IP", "Hostname", "Owner", "OS", "Status"];
/** Tailscale's Mullvad nodes are hundreds; they are shown only when used. */
const MULLVAD = "mullvad.ts.net.";

function rows(status: Status, flags: StatusFlags): PeerStatus[] {
  const peers = Object.values(status.Peer ?? {}).filter((peer) =>
    (!flags.active || peer.Active) && !peer.ShareeNode &&
    (peer.ExitNode || !peer.ExitNodeOption || !peer.DNSName.endsWith(MULLVAD))
  );
  return [...(flags.self && status.Self !== null ? [status.Self] : []), ...(flags.peers ? peers.sort(byName) : [])];
}

function healthLines(health: readonly string[], colour: boolean): string[] {
  return ["# Health check:", ...health.map((text) => paint(`#     - ${text}`, "yellow", colour))];
}

/** The table, the header when asked for, and the health lines. */
export function formatStatus(status: Status, flags: StatusFlags, now: number, colour: boolean): string {
  const cells = rows(status, flags).map((peer) => [
    peer.TailscaleIPs?.[0] ?? "",
    shownName(status, peer),
    owner(status, peer),
    peer.OS,
    peerWords(peer, now),
  ]);
  if (flags.header) cells.unshift(HEADER, HEADER.map((title) => "-".repeat(title.length)));
  const lines = cells.length === 0 ? [] : columns(cells).split("\n").map((line) => tint(line, colour));
  const health = status.Health ?? [];
  if (health.length > 0) lines.push("", ...healthLines(health, colour));
  const exempt = status.Agent?.Netfilter?.Exempt ?? [];
  if (exempt.length > 0) {
    lines.push("", "# Of 100.64.0.0/10 let in beside the tailnet:", ...exempt.map((text) => `#     - ${text}`));
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function tint(line: string, colour: boolean): string {
  if (/ active; .*direct /.test(line)) return paint(line, "green", colour);
  if (/[ ;] offline/.test(line)) return paint(line, "dim", colour);
  return line;
}

/** What is printed instead of a table when the node is not running, or undefined. */
export function notRunningText(status: Status): string | undefined {
  switch (status.BackendState) {
    case "Running":
    case "Starting":
      return undefined;
    case "Stopped":
      return "Tailscale is stopped.";
    case "NeedsLogin":
      return status.AuthURL === "" ? "Logged out." : `Logged out.\nLog in at: ${status.AuthURL}`;
    case "NeedsMachineAuth":
      return "Machine is not yet approved by tailnet admin.";
    default:
      return `unexpected state: ${status.BackendState}`;
  }
}

export const status: Verb = {
  help: `Usage: {program} status [flags]

Shows this node and its peers: address, name, owner, system, and how packets reach it.
Exits with 1 when the node is not connected.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (values.web) throw new UsageError("--web is not offered: use --json");
    if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
    const current = await client.json<Status>("GET", values.peers ? "status" : "status?peers=false");
    if (values.json) {
      const peers = values.active
        ? Object.fromEntries(Object.entries(current.Peer ?? {}).filter(([, peer]) => peer.Active))
        : current.Peer;
      const shown = { ...current, Peer: values.peers ? peers : null, Self: values.self ? current.Self : null };
      print(`${JSON.stringify(shown, null, 2)}\n`);
      return EXIT_OK;
    }
    const stopped = notRunningText(current);
    if (stopped !== undefined) {
      // That it is stopped, or waits for a login, the state says; why it is in none of the usual states, only the health.
      const health = current.BackendState === "NoState" ? current.Health ?? [] : [];
      const lines = health.length > 0 ? [...healthLines(health, colourWanted()), ""] : [];
      print(`${[...lines, stopped].join("\n")}\n`);
      return EXIT_FAILED;
    }
    print(formatStatus(current, values, Date.now(), colourWanted()));
    return EXIT_OK;
  },
};
