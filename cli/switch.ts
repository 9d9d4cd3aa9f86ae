/** `switch`: changes between the logins of this machine. Source: cmd/tailscale/cli/switch.go. */
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { LocalClient } from "./local_client.ts";
import type { LoginProfile, Status } from "./local_types.ts";
import { print } from "./terminal.ts";
import type { Verb, VerbContext } from "./verb.ts";

const FLAGS = {
  list: { type: "boolean", help: "list the accounts" },
  json: { type: "boolean", help: "list them as JSON (with --list)" },
} as const;

/** How often the daemon is asked whether the other login is connected. */
const POLL_MS = 100;

/** The tailnet as people know it (ipn.NetworkProfile.DisplayNameOrDefault). */
function tailnet({ NetworkProfile }: LoginProfile): string {
  return NetworkProfile.DisplayName || NetworkProfile.DomainName;
}

async function profileStatus(client: LocalClient): Promise<{ current: LoginProfile; all: LoginProfile[] }> {
  const current = await client.json<LoginProfile>("GET", "profiles/current");
  const all = await client.json<LoginProfile[] | null>("GET", "profiles/");
  return { current, all: all ?? [] };
}

/** The profiles a person may mean: by ID, or else by tailnet, account or display name, in that order. None by "". */
export function matchProfiles(word: string, all: readonly LoginProfile[]): LoginProfile[] {
  if (word === "") return [];
  const ways: ((profile: LoginProfile) => string)[] = [
    (profile) => profile.ID,
    (profile) => profile.NetworkProfile.DomainName,
    (profile) => profile.Name,
    (profile) => profile.NetworkProfile.DisplayName,
  ];
  for (const name of ways) {
    const found = all.filter((profile) => name(profile) === word);
    if (found.length > 0) return found;
  }
  return [];
}

/** The table of `switch --list`: columns two blanks apart, as Go's tabwriter makes them. */
export function formatProfiles(all: readonly LoginProfile[], current: string): string {
  const rows = [
    ["ID", "Tailnet", "Account"],
    ...all.map((profile) => [profile.ID, tailnet(profile), profile.Name + (profile.ID === current ? "*" : "")]),
  ];
  const width = (column: number) => Math.max(...rows.map((row) => row[column].length)) + 2;
  return rows.map(([id, net, account]) => `${id.padEnd(width(0))}${net.padEnd(width(1))}${account}\n`).join("");
}

async function list(client: LocalClient, asJson: boolean): Promise<number> {
  const { current, all } = await profileStatus(client);
  if (!asJson) print(formatProfiles(all, current.ID));
  else {
    const rows = all.map((profile) => ({
      id: profile.ID,
      nickname: profile.Name,
      tailnet: tailnet(profile),
      account: profile.UserProfile.LoginName,
      selected: profile.ID === current.ID,
    }));
    print(`${JSON.stringify(rows, undefined, 2)}\n`);
  }
  return EXIT_OK;
}

async function settled(client: LocalClient, program: string): Promise<number> {
  for (;;) {
    const { BackendState, Health } = await client.json<Status>("GET", "status?peers=false");
    switch (BackendState) {
      case "NoState":
      case "Starting":
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        continue;
      case "NeedsLogin":
        print(`Logged out.\nTo log in, run:\n  ${program} up\n`);
        return EXIT_OK;
      case "Running":
        print("Success.\n");
        return EXIT_OK;
      case "Stopped":
        throw new CliError(`Tailscale is stopped; connect with '${program} up'`);
      default:
        throw new CliError(`unexpected state: ${BackendState}${Health?.length ? ` (${Health[0]})` : ""}`);
    }
  }
}

/** The other login a person means; undefined, and said, when it is the one in use. @param alone nobody else may be meant. @throws CliError when there is none. */
async function another(
  word: string,
  { client, program }: VerbContext,
  alone: boolean,
): Promise<LoginProfile | undefined> {
  const { current, all } = await profileStatus(client);
  const [wanted, ...more] = matchProfiles(word, all);
  if (wanted === undefined) {
    throw new CliError(`No profile named "${word}"; '${program} switch --list' lists them`);
  }
  if (alone && more.length > 0) {
    const ids = [wanted, ...more].map(({ ID }) => ID).join(", ");
    throw new CliError(`"${word}" names ${more.length + 1} logins: ${ids}; use an ID`);
  }
  if (wanted.ID !== current.ID) return wanted;
  print(`Already on account "${word}"\n`);
  return undefined;
}

async function change(word: string, context: VerbContext): Promise<number> {
  const { client, program } = context;
  const wanted = await another(word, context, false);
  if (wanted === undefined) return EXIT_OK;
  await client.text("POST", `profiles/${encodeURIComponent(wanted.ID)}`);
  print(`Switching to account "${word}"\n`);
  return await settled(client, program);
}

async function remove(word: string, context: VerbContext): Promise<number> {
  const wanted = await another(word, context, true);
  if (wanted !== undefined) await context.client.text("DELETE", `profiles/${encodeURIComponent(wanted.ID)}`);
  return EXIT_OK;
}

export const switchVerb: Verb = {
  help: `Usage: {program} switch ACCOUNT
       {program} switch --list [--json]
       {program} switch remove ACCOUNT

Changes to another login of this machine; 'login' adds one. ACCOUNT is an ID of the list, a tailnet, an account or a
nickname. 'remove' forgets a login here; the control server is not told, so log out of it first to expire its key.

${flagHelp(FLAGS)}
`,
  async run(args, context) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (values.list) {
      if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
      return await list(context.client, values.json);
    }
    if (values.json) throw new UsageError("--json goes with --list");
    const [word, other, ...more] = rest;
    if (word === "remove" && other !== undefined && more.length === 0) return await remove(other, context);
    if (word === undefined || other !== undefined) throw new UsageError("want one account");
    return await change(word, context);
  },
};
