/** `agent coordinator nodes`: the nodes of the tailnet, and logins that wait for approval. */
import type { AdminOperations, LoginSummary, NodeSummary } from "../../control/server/admin.ts";
import { formatAgo } from "../duration.ts";
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import type { FlagTable } from "../flags.ts";
import { columns, print } from "../terminal.ts";
import { ADMIN_FLAGS, administer } from "./admin_client.ts";
import { parseTags } from "./life.ts";
import { runVerb } from "./verbs.ts";
import type { Verb } from "./verbs.ts";

const APPROVE_FLAGS = {
  user: { type: "string", value: "NAME", help: "whose the node is", fallback: "operator" },
  tags: { type: "string", value: "TAGS", help: "give it these tags: tag:web,tag:db" },
  ...ADMIN_FLAGS,
} as const satisfies FlagTable;

/** The group's help text. */
export const HELP = `Nodes of the tailnet. NODE is an ID, a name or an address.

Usage:
  agent coordinator nodes list            list nodes, and logins that wait
  agent coordinator nodes approve ID      let a waiting login in; ID is the end of its login URL
  agent coordinator nodes expire NODE     end the life of its key: it must log in again
  agent coordinator nodes delete NODE     remove it from the tailnet

Flags:
${flagHelp(APPROVE_FLAGS)}
`;

const VERBS: Readonly<Record<string, Verb>> = {
  list,
  approve,
  expire: (args) => one(args, "expire", "must log in again", (admin, node) => admin.expireNode(node)),
  delete: (args) => one(args, "delete", "is removed", (admin, node) => admin.deleteNode(node)),
};

/** Runs with the arguments behind `nodes`. */
export function run(args: readonly string[]): Promise<number> {
  return runVerb("nodes", HELP, VERBS, args);
}

function state({ online, expired }: NodeSummary): string {
  return expired ? "expired" : online ? "online" : "offline";
}

/** Tailnet Lock of a node in a word or two. */
function lockText({ lock }: NodeSummary): string {
  if (lock === undefined) return "-";
  const behind = lock.behind === undefined ? "" : ` ${lock.behind}`;
  return `${lock.signed ? "signed" : "unsigned"}, ${lock.sync}${behind}`;
}

/** What there is to do about nodes whose lock is not in order: a line each, by name. */
function lockRemedies(nodes: readonly NodeSummary[]): string {
  const lines = nodes.flatMap(({ name, lock }) => lock?.remedy === undefined ? [] : [`  ${name}: ${lock.remedy}\n`]);
  return lines.length === 0 ? "" : `\nTailnet Lock:\n${lines.join("")}`;
}

function row(node: NodeSummary): string[] {
  const seen = node.online
    ? "now"
    : node.lastSeen === undefined
    ? "-"
    : formatAgo(Date.now() - Date.parse(node.lastSeen));
  const kind = [...node.tags, ...(node.ephemeral ? ["ephemeral"] : [])].join(",") || "-";
  return [String(node.id), node.name, node.addresses[0], node.user, state(node), seen, node.keyExpiry ?? "never", kind];
}

function loginRow({ id, hostname, os, requestedTags, created }: LoginSummary): string[] {
  return [id, hostname || "-", os ?? "-", requestedTags.join(",") || "-", formatAgo(Date.now() - Date.parse(created))];
}

async function list(args: readonly string[]): Promise<number> {
  const { values, rest } = parseFlags(ADMIN_FLAGS, args);
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" for nodes list`);
  const { nodes, logins } = await administer(values, async (admin) => ({
    nodes: await admin.listNodes(),
    logins: await admin.listLogins(),
  }));
  if (values.json) {
    print(JSON.stringify({ nodes, logins }, null, 2) + "\n");
    return EXIT_OK;
  }
  const head = ["ID", "NAME", "ADDRESS", "USER", "STATE", "LAST SEEN", "KEY EXPIRES", "TAGS"];
  const locked = nodes.some(({ lock }) => lock !== undefined);
  const rows = nodes.map((node) => locked ? [...row(node), lockText(node)] : row(node));
  print(columns([locked ? [...head, "LOCK"] : head, ...rows]) + "\n" + lockRemedies(nodes));
  if (logins.length > 0) {
    const waiting = columns([["LOGIN", "HOST", "OS", "WANTS TAGS", "SINCE"], ...logins.map(loginRow)]);
    print(`\n${waiting}\nLet one in with: agent coordinator nodes approve LOGIN\n`);
  }
  return EXIT_OK;
}

async function approve(args: readonly string[]): Promise<number> {
  const { values, rest } = parseFlags(APPROVE_FLAGS, args);
  if (rest.length !== 1) throw new UsageError("want one login: agent coordinator nodes approve ID");
  const approval = { id: rest[0], user: values.user, tags: parseTags(values.tags) };
  const node = await administer(values, (admin) => admin.approveLogin(approval));
  const text = `${node.name} is in the tailnet with ${node.addresses.join(" and ")}.\n`;
  print(values.json ? JSON.stringify(node, null, 2) + "\n" : text);
  return EXIT_OK;
}

async function one(
  args: readonly string[],
  verb: string,
  outcome: string,
  operate: (admin: AdminOperations, node: string) => Promise<NodeSummary>,
): Promise<number> {
  const { values, rest } = parseFlags(ADMIN_FLAGS, args);
  if (rest.length !== 1) throw new UsageError(`want one node: agent coordinator nodes ${verb} NODE`);
  const node = await administer(values, (admin) => operate(admin, rest[0]));
  print(values.json ? JSON.stringify(node, null, 2) + "\n" : `${node.name} (${node.addresses[0]}) ${outcome}.\n`);
  return EXIT_OK;
}
