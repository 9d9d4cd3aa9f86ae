/** `exit-node`: the peers that offer to be one, and which to take. Source: cmd/tailscale/cli/exitnode.go. */
import { formatAgo } from "./duration.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { PeerStatus, Status } from "./local_types.ts";
import { columns, print } from "./terminal.ts";
import { commandsOf } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

const LIST_FLAGS = {
  filter: { type: "string", value: "COUNTRY", help: "only exit nodes in this country" },
} as const;

interface Suggestion {
  readonly ID: string;
  readonly Name: string;
}

function stateOf(peer: PeerStatus, now: number): string {
  const seen = Date.parse(peer.LastSeen);
  const ago = seen > 0 ? `, last seen ${formatAgo(Math.max(60_000, now - seen))}` : "";
  if (!peer.Active && peer.ExitNode && !peer.Online) return `selected but offline${ago}`;
  if (!peer.Active && !peer.Online) return `offline${ago}`;
  return peer.ExitNode ? "selected" : "-";
}

/** By country, city, then name. */
function order(peer: PeerStatus): string {
  return [peer.Location?.Country ?? "", peer.Location?.City ?? "", peer.DNSName].join("\0");
}

async function list(args: readonly string[], { client, program }: VerbContext): Promise<number> {
  const { values, rest } = parseFlags(LIST_FLAGS, args);
  if (rest.length > 0) throw new UsageError("unexpected non-flag arguments to 'exit-node list'");
  const { Peer } = await client.json<Status>("GET", "status");
  const all = Object.values(Peer ?? {}).filter((peer) => peer.ExitNodeOption);
  if (all.length === 0) throw new CliError("no exit nodes found");
  const wanted = values.filter.toLowerCase();
  const shown = all.filter((peer) => wanted === "" || peer.Location?.Country?.toLowerCase() === wanted);
  if (shown.length === 0) throw new CliError(`no exit nodes found for ${JSON.stringify(values.filter)}`);
  const rows = shown.sort((a, b) => order(a) < order(b) ? -1 : 1).map((peer) => [
    peer.TailscaleIPs?.[0] ?? "",
    peer.DNSName.replace(/\.$/, "") || peer.HostName,
    peer.Location?.Country || "-",
    peer.Location?.City || "-",
    stateOf(peer, Date.now()),
  ]);
  print(`${columns([["IP", "HOSTNAME", "COUNTRY", "CITY", "STATUS"], ...rows])}\n\n`);
  print(`# To use an exit node, use \`${program} set --exit-node=\` followed by the IP or hostname.\n`);
  return EXIT_OK;
}

async function suggest(args: readonly string[], { client, program }: VerbContext): Promise<number> {
  if (args.length > 0) throw new UsageError("unexpected non-flag arguments to 'exit-node suggest'");
  const { ID, Name } = await client.json<Suggestion>("GET", "suggest-exit-node");
  if (ID === "") {
    print("No exit node suggestion is available.\n");
    return EXIT_OK;
  }
  const name = Name.replace(/\.$/, "");
  print(`Suggested exit node: ${name}\nTo accept this suggestion, use \`${program} set --exit-node=${name}\`.\n`);
  return EXIT_OK;
}

export const exitNode: Verb = {
  help: `Usage: {program} exit-node list [flags]
       {program} exit-node suggest

Shows the nodes that offer to carry internet traffic, or the best of those that the tailnet suggests.

${flagHelp(LIST_FLAGS)}
`,
  commands: commandsOf({ list, suggest }),
  async run(args, context) {
    const [name, ...rest] = args;
    if (name === "list") return await list(rest, context);
    if (name === "suggest") return await suggest(rest, context);
    throw new UsageError(
      name === undefined ? "exit-node needs list or suggest" : `unknown command "exit-node ${name}"`,
    );
  },
};
