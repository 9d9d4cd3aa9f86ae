/** Who else uses 100.64.0.0/10, by what the kernel and resolv.conf say. */
import { Netlink } from "../../ffi/netlink.ts";
import { linkByName, listLinks } from "../../ffi/rt_link.ts";
import { listRoutes, TABLE_MAIN } from "../../ffi/rt_route.ts";
import type { LocalNetwork } from "../local_networks.ts";
import { localUseOf, resolversOf } from "./local_use.ts";
import type { LocalUse } from "./local_use.ts";

/** systemd-resolved's own list is beside the stub that resolv.conf then names. */
const RESOLV_CONF = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/** @param tun our device @param service where we answer DNS @throws FfiError */
export function systemLocalUse(
  tun: string,
  networks: readonly LocalNetwork[],
  service: readonly string[],
): LocalUse {
  using netlink = new Netlink();
  const own = linkByName(netlink, tun)?.index;
  const tunnels = new Set(listLinks(netlink).filter(({ kind }) => kind === "tun").map(({ index }) => index));
  const routes = listRoutes(netlink, 4, TABLE_MAIN)
    .filter(({ device, type }) =>
      type === "unicast" && device !== own && !(device !== undefined && tunnels.has(device))
    )
    .map(({ destination, via }) => ({ destination, ...(via !== undefined && { gateway: via }) }));
  const resolvers = RESOLV_CONF.flatMap((path) => {
    try {
      return resolversOf(Deno.readTextFileSync(path));
    } catch {
      return [];
    }
  });
  return localUseOf({ tun, service, networks, routes, resolvers });
}
