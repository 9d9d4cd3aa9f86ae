/** `status`: the table people know. Source: cmd/tailscale/cli/status.go. */
import { EXIT_FAILED, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { formatAgo } from "./duration.ts";
import type { PeerStatus, Status } from "./local_types.ts";
import { baseName } from "./peer_names.ts";
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

/** What a peer's path and traffic look like in one column. */
export function peerWords(peer: PeerStatus, now: number): string {
  if (peer.ShareeNode) return "shared-to node";
  const words: string[] = [];
  const seen = Date.parse(peer.LastSeen);
  const ago = seen > 0 ? `, last seen ${formatAgo(now - seen)}` : "";
  const exit = peer.ExitNode ? "exit node" : peer.ExitNodeOption ? "offers exit node" : "";
  if (!peer.Active) {
    if (peer.ExitNode) words.push("idle; exit node");
    else if (exit !== "") words.push(`idle; ${exit}`);
    else if (peer.RxBytes + peer.TxBytes > 0 && peer.Online) words.push("idle");
    else if (peer.Online) words.push("-");
    if (!peer.Online) words.push(`offline${ago}`);
  } else {
    words.push("active");
    if (exit !== "") words.push(exit);
    if (peer.PeerRelay) words.push(`peer-relay ${peer.PeerRelay}`);
    else if (peer.CurAddr !== "") words.push(`direct ${peer.CurAddr}`);
    else if (peer.Relay !== "") words.push(`relay "${peer.Relay}"`);
    if (!peer.Online) words.push(`offline${ago}`);
  }
  if (peer.Expired) words.push("expired");
  const traffic = peer.RxBytes + peer.TxBytes > 0 ? `, tx ${peer.TxBytes} rx ${peer.RxBytes}` : "";
  return words.join("; ") + traffic;
}

function owner(status: Status, peer: PeerStatus): string {
  if (peer.Tags !== undefined && peer.Tags !== null && peer.Tags.length > 0) return "tagged-devices";
  const login = status.User?.[String(peer.UserID)]?.LoginName ?? "";
  return login === "" ? "-" : login.includes("@") ? `${login.split("@")[0]}@` : login;
}

function rows(status: Status, flags: { active: boolean; self: boolean; peers: boolean }): PeerStatus[] {
  const peers = Object.values(status.Peer ?? {}).filter((peer) => !flags.active || peer.Active);
  peers.sort((a, b) => baseName(a) < baseName(b) ? -1 : baseName(a) > baseName(b) ? 1 : 0);
  return [...(flags.self && status.Self !== null ? [status.Self] : []), ...(flags.peers ? peers : [])];
}

/** The table, the header when asked for, and the health lines. */
export function formatStatus(
  status: Status,
  flags: { active: boolean; self: boolean; peers: boolean; header: boolean },
  now: number,
  colour: boolean,
): string {
  const cells = rows(status, flags).map((peer) => [
    peer.TailscaleIPs?.[0] ?? "",
    baseName(peer),
    owner(status, peer),
    peer.OS,
    peer === status.Self ? "-" : peerWords(peer, now),
  ]);
  if (flags.header) cells.unshift(["IP", "Hostname", "Owner", "OS", "Status"]);
  const lines = cells.length === 0 ? [] : columns(cells).split("\n").map((line) => tint(line, colour));
  const health = status.Health ?? [];
  if (health.length > 0) {
    lines.push("", "# Health check:", ...health.map((text) => paint(`#     - ${text}`, "yellow", colour)));
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function tint(line: string, colour: boolean): string {
  if (/ active; .*direct /.test(line)) return paint(line, "green", colour);
  if (/ offline/.test(line)) return paint(line, "dim", colour);
  return line;
}

/** What is printed instead of a table when the node is not running, or undefined. */
export function notRunningText(status: Status, program: string): string | undefined {
  switch (status.BackendState) {
    case "Running":
    case "Starting":
      return undefined;
    case "Stopped":
      return "Tailscale is stopped.";
    case "NeedsLogin": {
      const url = status.AuthURL === "" ? `Log in with: ${program} up` : `Log in at: ${status.AuthURL}`;
      return `Logged out.\n${url}`;
    }
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
  async run(args, { client, program }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (values.web) throw new UsageError("--web is not offered: use --json");
    if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
    const text = await client.text("GET", values.peers ? "status" : "status?peers=false");
    const current = JSON.parse(text) as Status;
    if (values.json) {
      const peers = values.active
        ? Object.fromEntries(Object.entries(current.Peer ?? {}).filter(([, peer]) => peer.Active))
        : current.Peer;
      const shown = { ...current, Peer: values.peers ? peers : null, Self: values.self ? current.Self : null };
      print(`${JSON.stringify(shown, null, 2)}\n`);
      return EXIT_OK;
    }
    const stopped = notRunningText(current, program);
    if (stopped !== undefined) {
      const health = (current.Health ?? []).map((line) => `#     - ${line}\n`).join("");
      print(`${health === "" ? "" : `# Health check:\n${health}\n`}${stopped}\n`);
      return EXIT_FAILED;
    }
    print(formatStatus(current, values, Date.now(), colourWanted()));
    return EXIT_OK;
  },
};
