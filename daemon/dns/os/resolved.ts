/**
 * systemd-resolved, told for our device alone: it asks us for our suffixes and keeps its own servers for the rest. What it
 * was told goes away with the device, so that nothing is left after a crash.
 *
 * ```
 *   D-Bus org.freedesktop.resolve1.Manager ─▶ cannot be reached ─▶ resolvectl
 *                   │ resolved was restarted ─▶ told again
 *                   └ resolved does not run  ─▶ told when it does
 * ```
 * Nobody is started by being told: a call that starts resolved would cancel the stop somebody has just asked for.
 * Source: net/dns/resolved.go; org.freedesktop.resolve1(5).
 */
import { parseIp } from "../../../base/ip.ts";
import type { SystemDns } from "../plan.ts";
import { isNothing } from "./configurator.ts";
import type { DnsConfigurator } from "./configurator.ts";
import type { ChosenMode } from "./mode.ts";
import type { ResolvConf } from "./resolv_conf.ts";

/** Resolved does not run, or ended in the middle. */
export class NotRunning extends Error {
  override name = "NotRunning";
}

/** One call of resolved's manager; rejects with what it says, or with `NotRunning`. */
export type CallResolved = (member: string, signature: string, body: readonly unknown[]) => Promise<void>;
/** Runs `resolvectl`. @throws Error */
export type RunResolvectl = (args: readonly string[]) => Promise<void>;

/** How resolved is spoken to. */
export interface ResolvedPorts {
  readonly device: string;
  /** Index of the device. */
  readonly index: number;
  readonly call: CallResolved;
  /** Undefined where there is no such program. */
  readonly resolvectl: RunResolvectl | undefined;
  /** What it writes down of the servers of all links, /run/systemd/resolve/resolv.conf. */
  readonly uplink: () => ResolvConf;
  /** Watches whether resolved may have forgotten what it was told. */
  readonly watch: (forgotten: () => void) => { close(): void };
  /** It may have. */
  readonly forgotten: () => void;
  readonly log: (line: string) => void;
}

const AF_INET = 2;
const AF_INET6 = 10;

/** Domains of a link: the name, and whether it only routes. Nothing to match means that all names are ours. */
export function linkDomains(
  { nameservers, searchDomains, matchDomains }: SystemDns,
): [name: string, routes: boolean][] {
  const domains = new Map<string, boolean>(searchDomains.map((name) => [`${name}.`, false]));
  for (const name of matchDomains) if (!domains.has(`${name}.`)) domains.set(`${name}.`, true);
  if (matchDomains.length === 0 && nameservers.length > 0) domains.set(".", true);
  return [...domains];
}

/** The way. */
export function resolvedConfigurator(chosen: ChosenMode, ports: ResolvedPorts): DnsConfigurator {
  const { index, device, call, resolvectl, log } = ports;
  let told: ResolvConf = { nameservers: [], searchDomains: [] };

  /** For what can be missed. */
  const unlessGone = (what: string) => (cause: Error) => {
    if (cause instanceof NotRunning) throw cause;
    log(`resolved: ${what}: ${cause.message}`);
  };

  const byBus = async (config: SystemDns) => {
    const servers = config.nameservers.map((address) => {
      const ip = parseIp(address)!;
      return [ip.length === 4 ? AF_INET : AF_INET6, [...ip]];
    });
    const domains = linkDomains(config);
    await call("SetLinkDNS", "ia(iay)", [index, servers]);
    await call("SetLinkDomains", "ia(sb)", [index, domains]).catch((error) => {
      // Before systemd 246 it took few: the reverse zones are what can be missed.
      if (error instanceof NotRunning || domains.length < 64) throw error;
      return call("SetLinkDomains", "ia(sb)", [index, domains.filter(([name]) => !name.endsWith(".arpa."))]);
    });
    const settings: [string, string, unknown][] = [
      ["SetLinkDefaultRoute", "ib", config.matchDomains.length === 0],
      ["SetLinkLLMNR", "is", "no"],
      ["SetLinkMulticastDNS", "is", "no"],
      // The answers of a tailnet are not signed.
      ["SetLinkDNSSEC", "is", "no"],
      ["SetLinkDNSOverTLS", "is", "no"],
    ];
    for (const [member, signature, value] of settings) {
      await call(member, signature, [index, value]).catch(unlessGone(member));
    }
    await call("FlushCaches", "", []).catch(unlessGone("FlushCaches"));
  };

  const byProgram = async (run: RunResolvectl, config: SystemDns) => {
    await run(["dns", device, ...config.nameservers]);
    await run(["domain", "--", device, ...linkDomains(config).map(([name, routes]) => routes ? `~${name}` : name)]);
    await run(["default-route", device, config.matchDomains.length === 0 ? "yes" : "no"]);
    for (const setting of ["llmnr", "mdns", "dnssec", "dnsovertls"]) {
      await run([setting, device, "no"]).catch((error) => log(`resolvectl ${setting}: ${error.message}`));
    }
    await run(["flush-caches"]).catch((error) => log(`resolvectl flush-caches: ${error.message}`));
  };

  const either = async (bus: () => Promise<void>, program: (run: RunResolvectl) => Promise<void>) => {
    try {
      await bus();
    } catch (cause) {
      if (resolvectl === undefined || cause instanceof NotRunning) throw cause;
      log(`resolved by D-Bus: ${cause instanceof Error ? cause.message : cause}; using resolvectl`);
      await program(resolvectl);
    }
  };
  const watch = ports.watch(() => {
    log("systemd-resolved was started again: it is told again");
    ports.forgotten();
  });
  const revert = async () => {
    try {
      await either(() => call("RevertLink", "i", [index]), (run) => run(["revert", device]));
    } catch (cause) {
      // What it knew of the device it has forgotten.
      if (!(cause instanceof NotRunning)) throw cause;
    }
  };

  return {
    chosen,
    splits: true,
    // It keeps its own servers itself; but with an exit node its questions go into the tunnel too.
    base: (): Promise<ResolvConf> => {
      const { nameservers, searchDomains } = ports.uplink();
      return Promise.resolve({
        nameservers: nameservers.filter((address) => !told.nameservers.includes(address)),
        searchDomains: searchDomains.filter((name) => !told.searchDomains.includes(name)),
      });
    },
    set: (config) => {
      told = config;
      return isNothing(config) ? revert() : either(() => byBus(config), (run) => byProgram(run, config));
    },
    close() {
      watch.close();
      return revert();
    },
  };
}
