/**
 * Whether this machine forwards what a subnet router or exit node has to. Nothing is changed: forwarding concerns every
 * interface, so it is the operator's to allow. Source: net/netutil/ip_forward.go (CheckIPForwarding).
 */

/** Reads a file below /proc/sys; undefined where there is none. */
export type ReadSysctl = (path: string) => string | undefined;

function isOn(read: ReadSysctl, path: string): boolean {
  return ["1", "2"].includes(read(path)?.trim() ?? "");
}

/** What keeps the routes from working, for health and `check-ip-forwarding`; "" for nothing. @param own addresses here */
export function forwardingProblem(routes: readonly string[], own: readonly string[], read: ReadSysctl): string {
  const forwarded = routes.filter((route) =>
    !own.some((address) => [`${address}/32`, `${address}/128`].includes(route))
  );
  const off = [
    ...(forwarded.some((route) => !route.includes(":")) && !isOn(read, "net/ipv4/ip_forward")
      ? ["net.ipv4.ip_forward"]
      : []),
    ...(forwarded.some((route) => route.includes(":")) && !isOn(read, "net/ipv6/conf/all/forwarding")
      ? ["net.ipv6.conf.all.forwarding"]
      : []),
  ];
  if (off.length === 0) return "";
  return `IP forwarding is disabled, subnet routing/exit nodes will not work. Allow it with: sysctl -w ${
    off.map((key) => `${key}=1`).join(" ")
  } and keep it in /etc/sysctl.d/99-agent.conf`;
}

/** From the kernel. Never throws. */
export const readSysctl: ReadSysctl = (path) => {
  try {
    return Deno.readTextFileSync(`/proc/sys/${path}`);
  } catch {
    return undefined;
  }
};

/** What the kernel counts of connections, when there is no room for a new one; "" otherwise. */
export function conntrackProblem(read: ReadSysctl): string {
  const count = Number(read("net/netfilter/nf_conntrack_count"));
  const max = Number(read("net/netfilter/nf_conntrack_max"));
  if (!(max > 0) || count < max) return "";
  return `the connection tracking table is full (${count} of ${max}): the kernel drops new connections; raise ` +
    "net.netfilter.nf_conntrack_max";
}
