/** What this node tells control of its host. Source: hostinfo/hostinfo.go, hostinfo_linux.go; tailcfg.Hostinfo. */
import type { Hostinfo, NetInfo } from "../control/wire/tailcfg.ts";
import { isVia } from "./local_networks.ts";
import type { PrefValues } from "./pref_fields.ts";

/** Facts of the machine, read once. */
export interface HostFacts {
  readonly hostname: string;
  /** Kernel release, `uname -r`. */
  readonly kernel: string;
  /** `uname -m`. */
  readonly machine: string;
  readonly distro: string;
  readonly distroVersion: string;
  readonly distroCodeName: string;
  readonly container: boolean;
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** The fields of an os-release file (os-release(5)). */
export function parseOsRelease(text: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const match = /^([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|(.*))$/.exec(line.trim());
    if (match !== null) fields[match[1]] = match[2] ?? match[3] ?? match[4] ?? "";
  }
  return fields;
}

/** Reads the facts from the system. Never throws: what cannot be read is "". */
export function readHostFacts(): HostFacts {
  const release = parseOsRelease(readText("/etc/os-release"));
  return {
    hostname: Deno.hostname(),
    kernel: Deno.osRelease(),
    machine: Deno.build.arch,
    distro: release.ID ?? "",
    distroVersion: release.VERSION_ID ?? "",
    distroCodeName: release.VERSION_CODENAME ?? "",
    container: readText("/proc/1/cgroup").includes("/docker/") || readText("/proc/1/environ").includes("container="),
  };
}

/** Names for Go's architectures, which control knows. */
const GO_ARCH: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** What the description depends on besides the machine. */
export interface HostinfoInput {
  readonly version: string;
  /** Identifies this run in the server's records; control refuses an empty one. Random, and sent nowhere else. */
  readonly backendLogId: string;
  readonly prefs: PrefValues;
  readonly netInfo: NetInfo | undefined;
}

/** The description of the host. */
export function buildHostinfo(facts: HostFacts, input: HostinfoInput): Hostinfo {
  const { prefs, netInfo } = input;
  const tags = [...new Set(prefs.AdvertiseTags ?? [])].sort();
  // What this node cannot carry is left to others.
  const routes = (prefs.AdvertiseRoutes ?? []).filter((route) => !isVia(route));
  return {
    IPNVersion: input.version,
    BackendLogID: input.backendLogId,
    OS: "linux",
    OSVersion: facts.kernel,
    ...(facts.container && { Container: true }),
    Distro: facts.distro,
    DistroVersion: facts.distroVersion,
    DistroCodeName: facts.distroCodeName,
    Hostname: prefs.Hostname || facts.hostname,
    Machine: facts.machine,
    GoArch: GO_ARCH[facts.machine] ?? facts.machine,
    // Our coordinator sends a lock of any length to nodes that say so; a stock node's store has a limit.
    App: "agent",
    ...(routes.length > 0 && { RoutableIPs: routes }),
    ...(tags.length > 0 && { RequestTags: tags }),
    ...(prefs.ShieldsUp && { ShieldsUp: true }),
    ...(prefs.RelayServerPort !== null && { PeerRelay: true }),
    NoLogsNoSupport: true,
    // Our state file is not encrypted (capability version 118 promises to say so).
    StateEncrypted: false,
    Userspace: false,
    UserspaceRouter: false,
    ...(netInfo && { NetInfo: netInfo }),
  };
}
