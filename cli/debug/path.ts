/** `debug path`, and what `ping --verbose` adds: how packets reach a peer, and why so. */
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import type { LocalClient } from "../local_client.ts";
import type { Status } from "../local_types.ts";
import { findNode } from "../peer_names.ts";
import { columns, print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const FLAGS = { json: { type: "boolean", help: "print as JSON" } } as const;

/** `PathEvent` of engine/config.ts. */
interface PathEvent {
  readonly kind: string;
  readonly path: string;
  readonly firstAgoMs: number;
  readonly lastAgoMs: number;
  readonly count: number;
  readonly latencyMs?: number;
}

/** What `agent/path` answers. */
export interface PathAnswer {
  readonly Name: string;
  readonly Endpoints: readonly { readonly addr: string; readonly type: number }[];
  readonly NetInfo: { readonly MappingVariesByDestIP?: boolean; readonly WorkingUDP?: boolean } | null;
  readonly Path: {
    readonly best: string;
    readonly trustedForMs: number;
    readonly latencyMs?: number;
    readonly derp: number;
    readonly active: boolean;
    readonly sentAgoMs?: number;
    readonly receivedAgoMs?: number;
    readonly candidates: readonly {
      readonly address: string;
      readonly sources: readonly string[];
      readonly latencyMs?: number;
      readonly pingedAgoMs?: number;
      readonly best: boolean;
      readonly points?: { readonly own: number; readonly best: number };
    }[];
    readonly events: readonly PathEvent[];
  };
}

/** `tailcfg.EndpointType`. */
const ENDPOINT_KINDS = ["", "local", "STUN", "port-mapped", "STUN with local port", "explicit"];

const EVENTS: Readonly<Record<string, string>> = {
  "ping": "pinged",
  "pong": "answered",
  "lost": "no answer",
  "heard": "pinged us from",
  "call-me-maybe-sent": "told it by DERP to ping us",
  "call-me-maybe-received": "it told us by DERP to ping it",
  "relay-asked": "asked for a session at the peer relay of",
  "relay-granted": "was given the session",
  "relay-unanswered": "no session from the peer relay of",
  "relay-told": "told it by DERP of the session",
  "relay-heard": "it told us by DERP of the session",
  "relay-bind": "asked the peer relay to be let in at",
  "relay-challenge": "the peer relay answered at",
  "relay-lost": "nothing came through the session",
  "path": "packets now go by",
};

function ago(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s ago` : `${Math.round(ms / 1000)} s ago`;
}

function ms(latency: number): string {
  return `${latency < 10 ? latency.toFixed(1) : Math.round(latency)} ms`;
}

function inUse({ best, trustedForMs, latencyMs, derp, active }: PathAnswer["Path"]): string {
  const relay = derp === 0 ? "no relay" : `DERP region ${derp}`;
  if (best === "") return `${relay}: no address has answered${active ? "" : ", and nothing is being sent"}`;
  const kind = best.includes(":vni:") ? "peer relay " : "direct, ";
  const answered = latencyMs === undefined ? "" : `, answers in ${ms(latencyMs)}`;
  if (trustedForMs === 0) return `${best} and ${relay} both: ${best} has not answered lately`;
  return `${kind}${best}${answered}; trusted for another ${(trustedForMs / 1000).toFixed(1)} s`;
}

function nat(info: PathAnswer["NetInfo"]): string {
  if (info === null) return "not measured yet";
  if (info.WorkingUDP === false) return "UDP does not pass";
  if (info.MappingVariesByDestIP === undefined) return "UDP passes";
  return info.MappingVariesByDestIP
    ? "UDP passes; the NAT takes another port for each destination (hard)"
    : "UDP passes; the NAT keeps its port (easy), or there is none";
}

function candidateRows(path: PathAnswer["Path"]): string[][] {
  return path.candidates.map(({ address, sources, latencyMs, pingedAgoMs, best, points }) => [
    `  ${best ? "*" : " "} ${address}`,
    sources.join(", "),
    latencyMs === undefined ? "never answered" : ms(latencyMs),
    pingedAgoMs !== undefined ? `pinged ${ago(pingedAgoMs)}` : latencyMs === undefined ? "not pinged" : "",
    points === undefined ? "" : `${points.own} points against ${points.best} of the best`,
  ]);
}

function eventRows(events: readonly PathEvent[]): string[][] {
  return events.map(({ kind, path, firstAgoMs, lastAgoMs, count, latencyMs }) => [
    `    ${count === 1 ? ago(lastAgoMs) : `${ago(firstAgoMs)} to ${ago(lastAgoMs)}`}`,
    `${EVENTS[kind] ?? kind} ${path}`.trim() + (latencyMs === undefined ? "" : ` in ${ms(latencyMs)}`) +
    (count === 1 ? "" : `, ${count} times`),
  ]);
}

/** The whole story as text. */
export function formatPath({ Name, Endpoints, NetInfo, Path }: PathAnswer): string {
  const traffic = [
    Path.sentAgoMs === undefined ? "nothing sent" : `sent ${ago(Path.sentAgoMs)}`,
    Path.receivedAgoMs === undefined ? "nothing received" : `received ${ago(Path.receivedAgoMs)}`,
  ].join(", ");
  const head = columns([
    ["peer", Name],
    ["in use", inUse(Path)],
    ["traffic", traffic],
    ["network", nat(NetInfo)],
    ["own", Endpoints.map(({ addr, type }) => `${addr} (${ENDPOINT_KINDS[type] ?? type})`).join(", ") || "none known"],
  ]);
  const candidates = Path.candidates.length === 0 ? "    none" : columns(candidateRows(Path));
  const events = Path.events.length === 0 ? "    none" : columns(eventRows(Path.events));
  return `${head}\ncandidates, * the best\n${candidates}\nwhat happened, oldest first\n${events}\n`;
}

/** Asks the daemon. @throws CliError when it does not know the peer. */
export function askPath(client: LocalClient, ip: string): Promise<PathAnswer> {
  return client.json<PathAnswer>("GET", `agent/path?ip=${encodeURIComponent(ip)}`);
}

export const path: Verb & { readonly summary: string } = {
  summary: "How packets reach a peer, and why so",
  help: `Usage: {program} debug path [flags] PEER

Shows the addresses a peer may have and who named them, which of them answered and how fast, which is used and why, and
what was tried lately. Who names an address: control (configured), the peer by DERP (announced), a ping that came from
it (heard). Points are percent faster, and more for near addresses and IPv6; the most win.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length !== 1) throw new UsageError("want one peer: a name or an address");
    const { ip, isSelf } = findNode(await client.json<Status>("GET", "status"), rest[0]);
    if (isSelf) throw new CliError(`${rest[0]} is this node: no path leads there`);
    const answer = await askPath(client, ip);
    print(values.json ? `${JSON.stringify(answer, null, "\t")}\n` : formatPath(answer));
    return EXIT_OK;
  },
};
