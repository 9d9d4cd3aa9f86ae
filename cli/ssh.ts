/**
 * `ssh`: the machine's ssh, told of the keys that nodes announce, and of a way to them through the daemon.
 *
 * ```
 *   status ─▶ host keys of all nodes ─▶ ~/.config/agent/ssh_known_hosts ─┐
 *      └────▶ the node's whole name ─────────────────────────────────────┴▶ ssh -o ProxyCommand='agent nc %h %p' …
 * ```
 * Source: cmd/tailscale/cli/ssh.go.
 */
import { parseIp } from "../base/ip.ts";
import { needProgram, ProgramMissing } from "../base/programs.ts";
import { reasonOf } from "../base/reason.ts";
import { CliError, UsageError } from "./exit_codes.ts";
import type { LocalClient } from "./local_client.ts";
import type { PeerStatus, Prefs, Status } from "./local_types.ts";
import { ownCommand } from "./own_command.ts";
import { baseName, findNode, nodesNamed } from "./peer_names.ts";
import { notRunningText } from "./status.ts";
import { printError } from "./terminal.ts";
import type { Verb } from "./verb.ts";

/** A word of a shell's command line in which ssh expands percent signs. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`).replaceAll("%", "%%")}'`;
}

/** The file's text: each key by the node's name and by its addresses. */
export function knownHosts(status: Status): string {
  const peers = Object.entries(status.Peer ?? {}).sort(([a], [b]) => a < b ? -1 : 1).map(([, peer]) => peer);
  const lines = peers.flatMap(({ DNSName, TailscaleIPs, sshHostKeys }) => {
    const keys = (sshHostKeys ?? []).map((key) => key.trim()).filter((key) => /^[\x20-\x7e]+$/.test(key));
    const names = [DNSName, ...TailscaleIPs ?? []].filter((name) => /^[\w.:-]+$/.test(name));
    return keys.flatMap((key) => names.map((name) => `${name} ${key}\n`));
  });
  return lines.join("");
}

/** Writes the file, unless it is as it should be. @returns its path. @throws CliError */
function writeKnownHosts(status: Status): string {
  const home = Deno.env.get("HOME");
  const config = Deno.env.get("XDG_CONFIG_HOME") || (home ? `${home}/.config` : undefined);
  if (config === undefined) {
    throw new CliError("Cannot keep the nodes' host keys: neither XDG_CONFIG_HOME nor HOME is set");
  }
  const folder = `${config}/agent`;
  const path = `${folder}/ssh_known_hosts`;
  const text = knownHosts(status);
  try {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (textOf(path) === text) return path;
    // Renamed into place: another ssh may read it just now.
    const fresh = `${path}.${Deno.pid}`;
    Deno.writeTextFileSync(fresh, text, { mode: 0o644 });
    Deno.renameSync(fresh, path);
    return path;
  } catch (cause) {
    throw new CliError(`Cannot write ${path}: ${reasonOf(cause)}`);
  }
}

function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

/** ssh's own arguments, all but its name. @param own this program's command line */
export function sshArguments(
  { user, host, more, known, socket, own }: {
    readonly user: string | undefined;
    readonly host: string;
    readonly more: readonly string[];
    readonly known: string;
    readonly socket: string;
    readonly own: readonly string[];
  },
): string[] {
  const proxy = [...own, `--socket=${socket}`, "nc"].map(quoted).join(" ");
  return [
    ...["-o", `UserKnownHostsFile "${known.replaceAll("%", "%%")}"`],
    // Only the keys that nodes announce by control.
    ...["-o", "GlobalKnownHostsFile /dev/null", "-o", "VerifyHostKeyDNS no"],
    ...["-o", "UpdateHostKeys no", "-o", "StrictHostKeyChecking yes"],
    ...["-o", "CanonicalizeHostname no"],
    ...["-o", `ProxyCommand ${proxy} %h %p`],
    user === undefined ? host : `${user}@${host}`,
    ...more,
  ];
}

/**
 * What ssh is to call the node: by its whole name, so that few entries are known; by address without MagicDNS. Names and
 * addresses are control's word: one that ssh would take for an option, or its ProxyCommand's shell for a command, is
 * never given to it (TS-2026-009, CVE-2023-51385). @throws CliError when the node has neither.
 */
export function hostFor(node: PeerStatus, acceptDns: boolean): string {
  const addresses = (node.TailscaleIPs ?? []).filter((address) => parseIp(address) !== undefined);
  const address = addresses.find((one) => !one.includes(":")) ?? addresses[0];
  const name = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(node.DNSName) ? node.DNSName : undefined;
  const host = acceptDns ? name ?? address : address ?? name;
  if (host === undefined) throw new CliError(`${node.ID} has no name and no address that ssh could be given`);
  return host;
}

async function findHost(client: LocalClient, status: Status, host: string): Promise<string> {
  if (nodesNamed(status, host).length === 0) return host;
  const { node, isSelf } = findNode(status, host);
  if (!isSelf && (node.sshHostKeys ?? []).length === 0) {
    printError(
      `${
        baseName(node)
      } announces no SSH host keys, as nodes that run Tailscale SSH do: it cannot be told from another. ` +
        "Use your ssh by itself.\n",
    );
  }
  return hostFor(node, (await client.json<Prefs>("GET", "prefs")).CorpDNS);
}

export const ssh: Verb = {
  passesOn: true,
  help: `Usage: {program} ssh [user@]HOST [args…]

Runs the machine's ssh to a node. It adds to that:

  - names are MagicDNS's, whole or short, with --accept-dns=false too
  - the node's host key is checked against what the node announced to the tailnet, and nothing else is trusted
  - the connection is made by the daemon, and works where this machine's programs have no way into the tailnet

What follows HOST is given to ssh as it is.
`,
  async run(args, { client }) {
    if (args.length === 0) throw new UsageError("ssh needs a host");
    const [target, ...more] = args;
    const at = target.lastIndexOf("@");
    const [user, name] = at < 0 ? [undefined, target] : [target.slice(0, at), target.slice(at + 1)];
    if (name === "" || target.startsWith("-")) throw new UsageError(`"${target}" is no host`);
    const status = await client.json<Status>("GET", "status");
    const problem = notRunningText(status);
    if (problem !== undefined) throw new CliError(problem);
    const host = await findHost(client, status, name);
    const known = writeKnownHosts(status);
    let program: string;
    try {
      program = needProgram("ssh");
    } catch (cause) {
      if (cause instanceof ProgramMissing) throw new CliError(cause.message);
      throw cause;
    }
    const own = ownCommand();
    const child = new Deno.Command(program, {
      args: sshArguments({ user, host, more, known, socket: client.socket, own }),
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    // A terminal's signals reach ssh by themselves; what to make of them is its business.
    const forward = (signal: Deno.Signal) => () => {
      try {
        child.kill(signal);
      } catch {
        // It has ended.
      }
    };
    for (const signal of ["SIGINT", "SIGQUIT"] as const) Deno.addSignalListener(signal, () => {});
    for (const signal of ["SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, forward(signal));
    return (await child.status).code;
  },
};
