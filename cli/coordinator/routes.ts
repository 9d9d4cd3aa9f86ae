/** `agent coordinator routes`: which subnets and exit nodes are approved, and who carries them. */
import type { NodeSummary } from "../../control/server/admin.ts";
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import { columns, print } from "../terminal.ts";
import { ADMIN_FLAGS, administer } from "./admin_client.ts";
import { parseTags } from "./life.ts";
import { runVerb } from "./verbs.ts";
import type { Verb } from "./verbs.ts";

/** The group's help text. */
export const HELP =
  `Routes that nodes offer with 'agent set --advertise-routes' and '--advertise-exit-node'. NODE is an ID, a name or an
address; ROUTES are prefixes, comma-separated, 'exit' for an exit node, or 'all'. Of several nodes with one subnet the
first that is online carries it, and another when it goes offline.

Usage:
  agent coordinator routes list                    list routes, and who carries them
  agent coordinator routes approve NODE ROUTES     let it carry them; also before it offers them
  agent coordinator routes unapprove NODE ROUTES   take that back

Flags:
${flagHelp(ADMIN_FLAGS)}
`;

const VERBS: Readonly<Record<string, Verb>> = {
  list,
  approve: (args) => change(args, "approve"),
  unapprove: (args) => change(args, "unapprove"),
};

/** Runs with the arguments behind `routes`. */
export function run(args: readonly string[]): Promise<number> {
  return runVerb("routes", HELP, VERBS, args);
}

function rows({ id, name, online, routes }: NodeSummary): string[][] {
  if (routes === undefined) return [];
  const all = [...new Set([...routes.offered, ...routes.approved])].sort();
  return all.map((route) => {
    const approved = routes.approved.includes(route);
    const state = routes.carried.includes(route)
      ? "carried"
      : !approved
      ? "waits for approval"
      : routes.offered.includes(route)
      ? "standby"
      : "not offered";
    return [route, String(id), name, online ? "online" : "offline", approved ? "yes" : "no", state];
  });
}

async function list(args: readonly string[]): Promise<number> {
  const { values, rest } = parseFlags(ADMIN_FLAGS, args);
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" for routes list`);
  const nodes = await administer(values, (admin) => admin.listNodes());
  const routers = nodes.filter(({ routes }) => routes !== undefined);
  if (values.json) print(JSON.stringify(routers, null, 2) + "\n");
  else print(columns([["ROUTE", "ID", "NODE", "STATE", "APPROVED", "ROUTE IS"], ...routers.flatMap(rows)]) + "\n");
  return EXIT_OK;
}

async function change(args: readonly string[], verb: "approve" | "unapprove"): Promise<number> {
  const { values, rest } = parseFlags(ADMIN_FLAGS, args);
  if (rest.length !== 2) throw new UsageError(`want a node and routes: agent coordinator routes ${verb} NODE ROUTES`);
  const request = { node: rest[0], routes: parseTags(rest[1]), approve: verb === "approve" };
  if (request.routes.length === 0) throw new UsageError("want routes: prefixes, comma-separated, exit, or all");
  const node = await administer(values, (admin) => admin.setRoutes(request));
  const carried = node.routes?.carried ?? [];
  const text = `${node.name} carries ${carried.length > 0 ? carried.join(", ") : "no routes"}.\n`;
  print(values.json ? JSON.stringify(node, null, 2) + "\n" : text);
  return EXIT_OK;
}
