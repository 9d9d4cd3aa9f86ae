/** What the kernel of a namespace has of a daemon's: its device, addresses, routes and policy rules, by netlink. */

import { formatPrefix } from "../../base/ip.ts";
import { ONE_NODE } from "../../daemon/instance.ts";
import { rulesOf } from "../../daemon/os_router.ts";
import { listAddresses } from "../../ffi/rt_addr.ts";
import { linkByName } from "../../ffi/rt_link.ts";
import { listRoutes } from "../../ffi/rt_route.ts";
import { listRules } from "../../ffi/rt_rule.ts";
import type { LabNamespace } from "./lab.ts";

const FAMILIES = [4, 6] as const;

/** Addresses of a device as "address/bits", link-local ones left out; none when there is no such device. */
export function deviceAddresses({ netlink }: LabNamespace, device = "agent0"): string[] {
  const index = linkByName(netlink, device)?.index;
  return listAddresses(netlink).filter((address) => address.index === index && address.scope === "global")
    .map(({ prefix }) => formatPrefix(prefix));
}

/** Destinations the daemon's own table leads to. */
export function tunnelRoutes({ netlink }: LabNamespace): string[] {
  return FAMILIES.flatMap((family) => listRoutes(netlink, family, ONE_NODE.table))
    .map(({ destination }) => formatPrefix(destination));
}

/** How many of the daemon's policy rules there are, both families, and whether its device is there. */
export function daemonTraces(ns: LabNamespace, device = "agent0"): { rules: number; routes: number; device: boolean } {
  const priorities = new Set(rulesOf(ONE_NODE).map(({ priority }) => priority));
  const rules = FAMILIES.flatMap((family) => listRules(ns.netlink, family));
  return {
    rules: rules.filter(({ priority }) => priorities.has(priority)).length,
    routes: tunnelRoutes(ns).length,
    device: linkByName(ns.netlink, device) !== undefined,
  };
}

/** Routes of the daemon's own table as `RoutingConfig` writes them, those to a device without its name. */
export function tableRoutes({ netlink }: LabNamespace, table = ONE_NODE.table): string[] {
  return FAMILIES.flatMap((family) => listRoutes(netlink, family, table)).map(({ destination, type }) =>
    `${type === "unicast" ? "" : `${type} `}${formatPrefix(destination)}`
  );
}
