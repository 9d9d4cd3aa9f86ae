/** `dns query`: asks the node's own resolver. Source: cmd/tailscale/cli/dns-query.go. */
import { parseResponse, TYPE } from "../../base/dns_message.ts";
import type { ShownRecord } from "../../base/dns_message.ts";
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const FLAGS = { json: { type: "boolean", help: "print as JSON" } } as const;

/** Names as golang.org/x/net/dns/dnsmessage prints them. */
const RCODES = [
  "RCodeSuccess",
  "RCodeFormatError",
  "RCodeServerFailure",
  "RCodeNameError",
  "RCodeNotImplemented",
  "RCodeRefused",
];
const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, type]) => [type, `Type${name}`]));

interface QueryReply {
  readonly Bytes: string;
  readonly Resolvers: readonly { readonly Addr: string }[] | null;
}

/** What is shown; the fields of `jsonoutput.DNSQueryResult`. */
export interface QueryResult {
  readonly Name: string;
  readonly QueryType: string;
  readonly Resolvers: readonly { readonly Addr: string }[];
  readonly ResponseCode: string;
  /** Null when the code is no success. */
  readonly Answers: readonly Record<string, string | number>[] | null;
}

function row({ name, ttl, class: cls, type, body }: ShownRecord): Record<string, string | number> {
  return {
    Name: `${name}.`,
    TTL: ttl,
    Class: cls === 1 ? "ClassINET" : String(cls),
    Type: TYPE_NAMES.get(type) ?? String(type),
    Body: body,
  };
}

/** The text of `dns query`. */
export function formatQuery({ Name, QueryType, Resolvers, ResponseCode, Answers }: QueryResult): string {
  const lines = [`DNS query for ${JSON.stringify(Name)} (${QueryType}) using internal resolver:`, ""];
  if (Resolvers.length === 0) lines.push("Answered by this node.");
  else if (Resolvers.length === 1) lines.push(`Forwarding to resolver: ${Resolvers[0].Addr}`);
  else lines.push("Multiple resolvers available:", ...Resolvers.map(({ Addr }) => `  - ${Addr}`));
  lines.push("", `Response code: ${ResponseCode}`, "");
  if (Answers === null) return `${[...lines, "No answers were returned."].join("\n")}\n`;
  if (Answers.length === 0) lines.push("  (no answers found)");
  const columns = ["Name", "TTL", "Class", "Type", "Body"];
  const rows = [
    columns,
    columns.map((name) => "-".repeat(name.length)),
    ...Answers.map((answer) => columns.map((name) => String(answer[name]))),
  ];
  const widths = columns.map((_, i) => Math.max(...rows.map((cells) => cells[i].length)) + 2);
  lines.push(
    ...rows.map((cells) => cells.map((cell, i) => i === cells.length - 1 ? cell : cell.padEnd(widths[i])).join("")),
  );
  return `${lines.join("\n")}\n\n`;
}

export const query: Verb & { readonly summary: string } = {
  summary: "Ask this node's resolver for a name",
  help: `Usage: {program} dns query [flags] NAME [TYPE]

Asks this node's resolver, as programs do by 100.100.100.100, and says who answered. TYPE is A unless given. For root
and the operator.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    const [name, type = "A", ...more] = rest;
    if (name === undefined) throw new UsageError("missing required argument: name");
    if (more.length > 0) throw new UsageError(`unexpected extra arguments: ${more.join(" ")}`);
    const QueryType = type.toUpperCase();
    const search = new URLSearchParams({ name, type: QueryType });
    const reply = await client.json<QueryReply>("GET", `dns-query?${search}`);
    const response = parseResponse(Uint8Array.fromBase64(reply.Bytes));
    if (response === undefined) throw new CliError("failed to parse DNS response");
    const result: QueryResult = {
      Name: name,
      QueryType,
      Resolvers: reply.Resolvers ?? [],
      ResponseCode: RCODES[response.rcode] ?? String(response.rcode),
      Answers: response.rcode === 0 ? response.answers.map(row) : null,
    };
    print(values.json ? `${JSON.stringify(result, null, 2)}\n` : formatQuery(result));
    return EXIT_OK;
  },
};
