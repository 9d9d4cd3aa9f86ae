/**
 * How this machine is told of DNS: decided once, from what is found. Pure.
 *
 * ```
 *   /etc is another network's? ─▶ none
 *   resolv.conf by systemd-resolved, or NetworkManager, and programs ask resolved ─▶ systemd-resolved
 *               by resolvconf ─▶ openresolv, resolvconf
 *               by tailscaled, or another of ours ─▶ none
 *               else ─▶ container? ─▶ none
 *                                 └─▶ direct
 * ```
 * Programs ask resolved where nsswitch.conf says so, or resolv.conf has its address and no other.
 *
 * `none` leaves the machine as it is; names are then found by who asks our address itself. Source:
 * net/dns/manager_linux.go (dnsMode), which has no `none`, and besides
 *   - goes through NetworkManager where that is 1.26.0 to 1.26.5, which put its own servers before those of others; here
 *     resolved is told, and a warning says why that may not be enough;
 *   - tells resolved where it does not answer; here resolv.conf is written, which works;
 *   - takes every file of Debian 12's resolvconf for resolved's, and writes it directly.
 */
import { ownerOf, parseResolvConf, writersOf } from "./resolv_conf.ts";

/** The ways. */
export type DnsMode = "systemd-resolved" | "openresolv" | "debian-resolvconf" | "direct" | "none";

/** What was found. */
export interface DnsProbes {
  /** resolv.conf, undefined when there is none. */
  readonly resolvConf: string | undefined;
  /** systemd-resolved answers. */
  readonly resolvedUp: boolean;
  /** nsswitch.conf sends programs to resolved (`asksResolved`). */
  readonly nssResolve: boolean;
  /** The NetworkManager that runs. */
  readonly networkManager: NetworkManager | undefined;
  /** What the program resolvconf is, "" where there is none. */
  readonly resolvconf: "" | "debian" | "openresolv";
  readonly container: boolean;
  /** We run in a network namespace of our own, but share the files with the rest of the machine. */
  readonly foreignNetwork: boolean;
  /** "agent" or "agent-NAME": what our own files are marked with. */
  readonly owner: string;
}

/** What NetworkManager says of itself. */
export interface NetworkManager {
  /** "1.42.4". */
  readonly version: string;
  /** Its DNS goes to systemd-resolved (`DnsManager.Mode`). */
  readonly usesResolved: boolean;
}

/** A way, and why it was chosen. */
export interface ChosenMode {
  readonly mode: DnsMode;
  readonly why: string;
  /** What may keep it from working, for the operator. */
  readonly warning?: string;
}

/** resolved's own addresses for programs (systemd-resolved(8)). */
const STUBS = ["127.0.0.53", "127.0.0.54"];

/** The way for what was found. */
export function chooseMode(probes: DnsProbes): ChosenMode {
  const { resolvConf, resolvconf, container, foreignNetwork, owner } = probes;
  if (foreignNetwork) {
    return {
      mode: "none",
      why: "this network namespace is not the machine's, but its files are: they stay as they are",
    };
  }
  const direct = (why: string): ChosenMode =>
    container
      ? { mode: "none", why: `${why}, but this is a container, whose resolv.conf belongs to its host` }
      : { mode: "direct", why };
  if (resolvConf === undefined) return direct("there is no resolv.conf");
  const writer = ownerOf(resolvConf);
  switch (writer) {
    case "systemd-resolved":
    case "NetworkManager": {
      const chosen = resolvedMode(writer, resolvConf, probes);
      if (typeof chosen !== "string") return chosen;
      // Debian's resolvconf explains 127.0.0.53 in every file it writes, be it in there or not.
      if (writersOf(resolvConf).includes("resolvconf") && resolvconf !== "") return resolvconfMode(resolvconf);
      return direct(`resolv.conf is ${writer}'s, but ${chosen}`);
    }
    case "resolvconf":
      if (resolvconf !== "") return resolvconfMode(resolvconf);
      return direct("resolv.conf is resolvconf's, which is not installed");
    case "":
      return direct("resolv.conf is nobody's");
  }
  if (writer === owner) return direct("resolv.conf is still ours from an earlier run");
  return { mode: "none", why: `resolv.conf is ${writer}'s, which answers DNS on this machine` };
}

function resolvconfMode(kind: "debian" | "openresolv"): ChosenMode {
  return kind === "openresolv"
    ? { mode: "openresolv", why: "resolv.conf is openresolv's" }
    : { mode: "debian-resolvconf", why: "resolv.conf is Debian's resolvconf's" };
}

/** systemd-resolved, or why not. */
function resolvedMode(
  writer: "systemd-resolved" | "NetworkManager",
  resolvConf: string,
  { resolvedUp, nssResolve, networkManager }: DnsProbes,
): ChosenMode | string {
  const { nameservers } = parseResolvConf(resolvConf);
  const onlyStub = nameservers.length > 0 && nameservers.every((address) => STUBS.includes(address));
  if (!nssResolve && !onlyStub) return "it does not lead to systemd-resolved";
  if (!resolvedUp) return "systemd-resolved does not answer";
  const leads = `${nssResolve ? "nsswitch.conf" : "resolv.conf"} leads to systemd-resolved`;
  const chosen: ChosenMode = { mode: "systemd-resolved", why: leads };
  if (networkManager === undefined) return chosen;
  const { version, usesResolved } = networkManager;
  if (preempts(version) && (writer === "NetworkManager" || usesResolved)) {
    const warning =
      `NetworkManager ${version} puts its own DNS servers before those of others; 1.26.6 and later do not`;
    return { ...chosen, warning };
  }
  if (writer === "systemd-resolved") return chosen;
  if (!usesResolved) return "NetworkManager does not use it";
  return {
    ...chosen,
    warning: "systemd-resolved and NetworkManager are wired together incorrectly, MagicDNS will probably not work: " +
      "resolv.conf is to be a link to systemd-resolved's (https://tailscale.com/s/resolved-nm)",
  };
}

/** 1.26.0 to 1.26.5. */
function preempts(version: string): boolean {
  const [, patch] = /^1\.26\.(\d+)/.exec(version) ?? [];
  return patch !== undefined && Number(patch) <= 5;
}
