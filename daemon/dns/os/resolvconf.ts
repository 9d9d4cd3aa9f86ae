/**
 * resolv.conf by the program resolvconf: openresolv, which lets a record stand alone, and Debian's, which does not.
 *
 * ```
 *   resolvconf -a RECORD ─▶ resolv.conf of all records ─▶ hooks ─┬─ those of others
 *                                                                └─ ours, Debian only: our record alone, hooks once more
 * ```
 * Of several servers the C library asks the first that is there; only where ours are alone are names of the tailnet found
 * beside a resolver of this machine, and do names not leave by others' servers.
 * Source: net/dns/openresolv.go, debian_resolvconf.go; resolvconf(8) of both.
 */
import type { SystemDns } from "../plan.ts";
import { isNothing } from "./configurator.ts";
import type { DnsConfigurator } from "./configurator.ts";
import type { ChosenMode } from "./mode.ts";
import { formatResolvConf, parseResolvConf } from "./resolv_conf.ts";
import type { ResolvConf } from "./resolv_conf.ts";

/** Runs the program; text goes to its standard input. Returns what it printed. @throws Error unless it ends with 0. */
export type RunResolvconf = (args: readonly string[], input?: string) => Promise<string>;

/** Debian's: what each interface said, what came of all, and who is told. */
const DEBIAN = {
  records: "/run/resolvconf/interface",
  result: "/run/resolvconf/resolv.conf",
  hooks: "/etc/resolvconf/update-libc.d",
};

/** The way. @param owner "agent" or "agent-NAME": the name of our record, and of our hook. */
export function resolvconfConfigurator(chosen: ChosenMode, owner: string, run: RunResolvconf): DnsConfigurator {
  return chosen.mode === "openresolv" ? openresolv(chosen, owner, run) : debian(chosen, owner, run);
}

/** Removes what a killed daemon left. Resolves to whether there was anything. @throws Error */
export async function removeRecord(
  kind: "debian" | "openresolv",
  owner: string,
  run: RunResolvconf,
): Promise<boolean> {
  const record = kind === "debian" ? debianRecord(owner) : owner;
  const was = words(await run(["-i"])).includes(record);
  const mode = kind === "debian" ? "debian-resolvconf" : "openresolv";
  // The hook may be there without the record.
  await resolvconfConfigurator({ mode, why: "" }, owner, run).close();
  return was;
}

function openresolv(chosen: ChosenMode, record: string, run: RunResolvconf): DnsConfigurator {
  const remove = async () => void await run(["-f", "-d", record]);
  return {
    chosen,
    splits: false,
    async base(): Promise<ResolvConf> {
      const names = words(await run(["-i"])).filter((name) => name !== record);
      return parseResolvConf(names.length === 0 ? "" : await run(["-l", ...names]));
    },
    async set(config: SystemDns): Promise<void> {
      if (isNothing(config)) return await remove();
      // -x: nobody else's servers beside ours, which send on to them; -m 0: before all others.
      await run(["-m", "0", "-x", "-a", record], recordText(config, record));
    },
    close: remove,
  };
}

/** Its order of interfaces has those named "tun…" first, but for this machine's own. */
function debianRecord(owner: string): string {
  return `tun-${owner}.inet`;
}

function debian(chosen: ChosenMode, owner: string, run: RunResolvconf): DnsConfigurator {
  const record = debianRecord(owner);
  const hook = `${DEBIAN.hooks}/${owner}`;
  const remove = async () => {
    try {
      await run(["-d", record]);
    } finally {
      removeFile(hook);
    }
  };
  return {
    chosen,
    splits: false,
    async base(): Promise<ResolvConf> {
      const names = words(await run(["-i"])).filter((name) => name !== record);
      return parseResolvConf(names.map((name) => readOrNothing(`${DEBIAN.records}/${name}`)).join("\n"));
    },
    async set(config: SystemDns): Promise<void> {
      if (isNothing(config)) return await remove();
      Deno.mkdirSync(DEBIAN.hooks, { recursive: true });
      Deno.writeTextFileSync(hook, hookText(owner, record));
      Deno.chmodSync(hook, 0o755);
      await run(["-a", record], recordText(config, owner));
    },
    close: remove,
  };
}

/** Puts our record alone into what resolvconf made of all; comments and options stay. */
function hookText(owner: string, record: string): string {
  return `#!/bin/sh
# Made by ${owner}, and removed when it stops: its servers stand alone in resolv.conf, and send on to those of the others.
set -e
record=${DEBIAN.records}/${record} all=${DEBIAN.result}
[ -s "$record" ] && [ -z "\${AGENT_ALONE-}" ] || exit 0
server='^[[:space:]]*\\(nameserver\\|search\\|domain\\)[[:space:]]'
{
  sed -n '/^#/p' "$all"
  sed -n "/$server/p" "$record"
  sed "/^#/d; /$server/d" "$all"
} >"$all.${owner}"
mv -f "$all.${owner}" "$all"
AGENT_ALONE=1 exec run-parts ${DEBIAN.hooks}
`;
}

function recordText(config: SystemDns, owner: string): string {
  return formatResolvConf(config, owner, "resolvconf's records");
}

function words(text: string): string[] {
  return text.trim().split(/\s+/).filter((name) => name !== "");
}

function readOrNothing(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    // Removed since it was listed.
    return "";
  }
}

function removeFile(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
  }
}

/** Which of the two programs it is, by what it says of itself (dns.resolvconfStyle); "" for neither. */
export async function resolvconfKind(run: RunResolvconf): Promise<"debian" | "openresolv" | ""> {
  // Old ones of Debian's know no --version and fail.
  const said = await run(["--version"]).catch(() => "");
  // systemd's own of that name is resolvectl, and keeps no records but those of devices.
  if (said.startsWith("systemd ")) return "";
  return said.startsWith("Debian resolvconf") || said === "" ? "debian" : "openresolv";
}
