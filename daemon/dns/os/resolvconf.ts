/**
 * resolv.conf by the program resolvconf: openresolv, where ours can stand alone, and Debian's, where ours stands first.
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

/** Debian's keeps what each interface said here. */
const DEBIAN_RECORDS = "/run/resolvconf/interface";

/** The way. @param owner "agent" or "agent-NAME": the name of our record. */
export function resolvconfConfigurator(
  chosen: ChosenMode,
  owner: string,
  run: RunResolvconf,
  records = DEBIAN_RECORDS,
): DnsConfigurator {
  const openresolv = chosen.mode === "openresolv";
  // Debian's order of interfaces has those named "tun…" first.
  const record = openresolv ? owner : `tun-${owner}.inet`;
  const remove = async () => void await run(openresolv ? ["-f", "-d", record] : ["-d", record]);
  return {
    chosen,
    splits: false,
    async base(): Promise<ResolvConf> {
      if (!openresolv) return parseResolvConf(debianRecords(records, record));
      const names = (await run(["-i"])).trim().split(/\s+/).filter((name) => name !== "" && name !== record);
      return parseResolvConf(names.length === 0 ? "" : await run(["-l", ...names]));
    },
    async set(config: SystemDns): Promise<void> {
      if (isNothing(config)) return await remove();
      const text = formatResolvConf(config, owner, "resolvconf's records");
      // -x: nobody else's servers beside ours, which send on to them; -m 0: before all others.
      await run(openresolv ? ["-m", "0", "-x", "-a", record] : ["-a", record], text);
    },
    close: remove,
  };
}

function debianRecords(folder: string, own: string): string {
  try {
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name !== own).sort();
    return names.map((name) => Deno.readTextFileSync(`${folder}/${name}`)).join("\n");
  } catch {
    return "";
  }
}

/** Which of the two programs it is, by what it says of itself (dns.resolvconfStyle). */
export async function resolvconfKind(run: RunResolvconf): Promise<"debian" | "openresolv"> {
  // Debian's knows no --version and fails.
  const said = await run(["--version"]).catch(() => "");
  return said.startsWith("Debian resolvconf") || said === "" ? "debian" : "openresolv";
}
