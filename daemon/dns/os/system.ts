/** The machine behind the ways to tell it: looks at it once, and runs its programs and its bus. */
import { findProgram, needProgram } from "../../../base/programs.ts";
import type { ProgramName } from "../../../base/programs.ts";
import type { Scheduler } from "../../../base/clock.ts";
import { Netlink } from "../../../ffi/netlink.ts";
import { linkByName } from "../../../ffi/rt_link.ts";
import type { DnsSystem } from "../dns.ts";
import { noConfigurator } from "./configurator.ts";
import { directConfigurator, putBack } from "./direct.ts";
import { chooseMode } from "./mode.ts";
import { asksResolved } from "./nsswitch.ts";
import { parseResolvConf, writersOf } from "./resolv_conf.ts";
import { callManager, findNetworkManager, pingBus, watchResolved } from "./resolved_bus.ts";
import { resolvedConfigurator } from "./resolved.ts";
import { removeRecord, resolvconfConfigurator, resolvconfKind } from "./resolvconf.ts";

/** What it needs to know. */
export interface SystemDnsOptions {
  /** Of the TUN device. */
  readonly device: string;
  /** "agent", or "agent-NAME" of an instance. */
  readonly owner: string;
  /** The machine's host decides about its files. */
  readonly container: boolean;
  /** "/etc", or what stands for it in a test: then nothing else of this machine is looked at. */
  readonly etc: string;
  readonly scheduler: Scheduler;
  readonly log: (line: string) => void;
}

/** Where resolved writes down the servers of all links (systemd-resolved(8)). */
const RESOLVED_SERVERS = "/run/systemd/resolve/resolv.conf";
/** Longest a program may take: resolvconf runs the hooks of others. */
const PROGRAM_MS = 20_000;

/** What it writes for the machine is everybody's to read, as closed as our own umask may be. */
const OPENLY = 'umask 022; exec "$0" "$@"';

async function run(program: ProgramName, args: readonly string[], input?: string): Promise<string> {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", OPENLY, needProgram(program), ...args],
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(PROGRAM_MS),
  }).spawn();
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input)).catch(() => {});
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  if (code === 0) return text.decode(stdout);
  throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${text.decode(stderr).trim().slice(0, 300)}`);
}

/**
 * True where process 1 has another network, but the same files: what is written there would be for a network in which
 * our address means nothing.
 */
function inForeignNetwork(): boolean {
  const same = (kind: string) => {
    try {
      return Deno.readLinkSync(`/proc/1/ns/${kind}`) === Deno.readLinkSync(`/proc/self/ns/${kind}`);
    } catch {
      return undefined;
    }
  };
  return same("net") === false && same("mnt") === true;
}

function readOrNothing(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw cause;
  }
}

/** The machine. */
export function systemDns(options: SystemDnsOptions): DnsSystem {
  const { device, owner, container, etc, scheduler, log } = options;
  const real = etc === "/etc";
  return {
    async open(events) {
      const foreignNetwork = real && inForeignNetwork();
      // Asking resolved first has it started and write its file.
      const resolvedUp = !foreignNetwork && await resolvedAnswers(real);
      if (!foreignNetwork) {
        const done = putBack({ etc, owner });
        if (done !== undefined) log(`after an earlier run: ${done}`);
      }
      const resolvConf = readOrNothing(`${etc}/resolv.conf`);
      const byResolvconf = writersOf(resolvConf ?? "").includes("resolvconf");
      const kind = real && byResolvconf && findProgram("resolvconf") !== undefined
        ? await resolvconfKind((args) => run("resolvconf", args))
        : "";
      const chosen = chooseMode({
        resolvConf,
        resolvedUp,
        nssResolve: asksResolved(readOrNothing(`${etc}/nsswitch.conf`) ?? ""),
        networkManager: resolvedUp ? await findNetworkManager() : undefined,
        resolvconf: kind,
        container: real && container,
        foreignNetwork,
        owner,
      });
      events.notIdeal(chosen.warning ?? "");
      switch (chosen.mode) {
        case "none":
          return noConfigurator(chosen, () => Promise.resolve(parseResolvConf(resolvConf ?? "")));
        case "direct":
          return directConfigurator({ etc, owner, chosen, scheduler, ...events });
        case "openresolv":
        case "debian-resolvconf": {
          const configurator = resolvconfConfigurator(chosen, owner, (args, input) => run("resolvconf", args, input));
          // Our record of an earlier run would stand alone until there is a netmap, and nobody answers for it yet.
          await configurator.close();
          return configurator;
        }
        case "systemd-resolved": {
          return resolvedConfigurator(chosen, {
            device,
            index: indexOf(device),
            call: callManager,
            resolvectl: findProgram("resolvectl") === undefined ? undefined : resolvectl,
            uplink: () => parseResolvConf(readOrNothing(RESOLVED_SERVERS) ?? ""),
            watch: (forgotten) => watchResolved(scheduler, forgotten),
            forgotten: events.forgotten,
            log,
          });
        }
      }
    },
  };
}

const resolvectl = async (args: readonly string[]) => void await run("resolvectl", args);

/** Asked by the bus, or where our client cannot use that by its own program. */
async function resolvedAnswers(real: boolean): Promise<boolean> {
  try {
    await pingBus(real);
    return true;
  } catch {
    if (!real || findProgram("resolvectl") === undefined) return false;
    return await resolvectl(["--no-pager", "status"]).then(() => true, () => false);
  }
}

function indexOf(device: string): number {
  using netlink = new Netlink();
  const link = linkByName(netlink, device);
  if (link === undefined) throw new Error(`Cannot tell systemd-resolved of ${device}: there is no such interface`);
  return link.index;
}

/** What a killed daemon left in the machine's DNS settings is undone (`--cleanup`). Returns what was done, line by line. */
export async function cleanUpDns(etc: string, owner: string): Promise<string[]> {
  const done: string[] = [];
  try {
    if (etc === "/etc" && inForeignNetwork()) return done;
    const line = putBack({ etc, owner });
    if (line !== undefined) done.push(line);
    const resolvConf = readOrNothing(`${etc}/resolv.conf`);
    if (etc === "/etc" && resolvConf !== undefined && writersOf(resolvConf).includes("resolvconf")) {
      const kind = await resolvconfKind((args) => run("resolvconf", args));
      if (kind === "") return done;
      const was = await removeRecord(kind, owner, (args, input) => run("resolvconf", args, input));
      if (was) done.push("removed our record of resolvconf");
    }
  } catch (cause) {
    done.push(`dns: ${cause instanceof Error ? cause.message : cause}`);
  }
  return done;
}
