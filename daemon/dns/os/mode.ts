/**
 * How this machine is told of DNS: decided once, from what is found. Pure.
 *
 * ```
 *   /etc is another network's? ─▶ none
 *   resolv.conf by systemd-resolved, or NetworkManager, and it leads to resolved ─▶ systemd-resolved
 *               by resolvconf ─▶ openresolv, resolvconf
 *               by tailscaled, or another of ours ─▶ none
 *               else ─▶ container? ─▶ none
 *                                 └─▶ direct
 * ```
 * `none` leaves the machine as it is; names are then found by who asks our address itself. Source:
 * net/dns/manager_linux.go (dnsMode), which has no `none`.
 */
import { ownerOf, parseResolvConf } from "./resolv_conf.ts";

/** The ways. */
export type DnsMode = "systemd-resolved" | "openresolv" | "debian-resolvconf" | "direct" | "none";

/** What was found. */
export interface DnsProbes {
  /** resolv.conf, undefined when there is none. */
  readonly resolvConf: string | undefined;
  /** systemd-resolved answers. */
  readonly resolvedUp: boolean;
  /** What the program resolvconf is, "" where there is none. */
  readonly resolvconf: "" | "debian" | "openresolv";
  readonly container: boolean;
  /** We run in a network namespace of our own, but share the files with the rest of the machine. */
  readonly foreignNetwork: boolean;
  /** "agent" or "agent-NAME": what our own files are marked with. */
  readonly owner: string;
}

/** A way, why it was chosen, and whether it can send some names to us and others elsewhere. */
export interface ChosenMode {
  readonly mode: DnsMode;
  readonly why: string;
}

/** resolved's own address for programs (systemd-resolved(8)). */
const STUB = ["127.0.0.53", "127.0.0.54"];

/** The way for what was found. */
export function chooseMode(probes: DnsProbes): ChosenMode {
  const { resolvConf, resolvedUp, resolvconf, container, foreignNetwork, owner } = probes;
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
      const stub = parseResolvConf(resolvConf).nameservers.some((address) => STUB.includes(address));
      if (stub && resolvedUp) return { mode: "systemd-resolved", why: `resolv.conf leads to systemd-resolved` };
      const lack = stub ? "systemd-resolved does not answer" : "it does not lead to systemd-resolved";
      return direct(`resolv.conf is ${writer}'s, but ${lack}`);
    }
    case "resolvconf":
      if (resolvconf === "openresolv") return { mode: "openresolv", why: "resolv.conf is openresolv's" };
      if (resolvconf === "debian") return { mode: "debian-resolvconf", why: "resolv.conf is Debian's resolvconf's" };
      return direct("resolv.conf is resolvconf's, which is not installed");
    case "":
      return direct("resolv.conf is nobody's");
  }
  if (writer === owner) return direct("resolv.conf is still ours from an earlier run");
  return { mode: "none", why: `resolv.conf is ${writer}'s, which answers DNS on this machine` };
}
