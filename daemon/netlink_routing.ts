/** The routing port over netlink, and the clean-up of what a killed daemon left behind. */
import { formatPrefix, parsePrefix } from "../base/ip.ts";
import { FfiError } from "../ffi/libc.ts";
import { Netlink } from "../ffi/netlink.ts";
import { addAddress, deleteAddress } from "../ffi/rt_addr.ts";
import { linkByName, setLink } from "../ffi/rt_link.ts";
import { deleteRoute, listRoutes, replaceRoute } from "../ffi/rt_route.ts";
import type { Route } from "../ffi/rt_route.ts";
import { addRule, deleteRule } from "../ffi/rt_rule.ts";
import type { Rule } from "../ffi/rt_rule.ts";
import { BYPASS_MARK, MARK_MASK, ROUTE_TABLE, RULES } from "./os_router.ts";
import type { PolicyRule, RoutingPort } from "./os_router.ts";

function prefixOf(text: string) {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new RangeError(`Cannot route ${JSON.stringify(text)}: it is not a prefix`);
  return prefix;
}

function toRule(family: 4 | 6, rule: PolicyRule): Rule {
  return {
    family,
    priority: rule.priority,
    ...(rule.table === "unreachable" ? { action: "unreachable" as const } : { table: rule.table }),
    ...(rule.marked && { mark: BYPASS_MARK, mask: MARK_MASK }),
  };
}

/** Whether this machine has the family, and IPv6 is not switched off for the device. */
function hasFamily(family: 4 | 6, device: string): boolean {
  if (family === 4) return true;
  try {
    return Deno.readTextFileSync(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`).trim() === "0";
  } catch {
    return false;
  }
}

/** The port of one device. @throws Error when the device is not there; FfiError from its calls. */
export function netlinkRouting(device: string): RoutingPort & Disposable {
  const netlink = new Netlink();
  const link = linkByName(netlink, device);
  if (link === undefined) {
    netlink.close();
    throw new Error(`Cannot configure ${device}: there is no such network interface`);
  }
  const { index } = link;
  const ipv6 = hasFamily(6, device);
  return {
    linkUp: (mtu) => setLink(netlink, index, { mtu, up: true }),
    addAddress: (prefix) => void addAddress(netlink, index, prefixOf(prefix), { noPrefixRoute: true }),
    deleteAddress: (prefix) => void deleteAddress(netlink, index, prefixOf(prefix)),
    addRoute: (prefix) => replaceRoute(netlink, { destination: prefixOf(prefix), table: ROUTE_TABLE, device: index }),
    deleteRoute: (prefix) =>
      void deleteRoute(netlink, { destination: prefixOf(prefix), table: ROUTE_TABLE, device: index }),
    hasFamily: (family) => family === 4 || ipv6,
    addRule: (family, rule) => void addRule(netlink, toRule(family, rule)),
    deleteRule: (family, rule) => void deleteRule(netlink, toRule(family, rule)),
    presentRoutes: () => {
      const ours = tableRoutes(netlink, ipv6).filter((route) => route.device === index);
      return new Set(ours.map((route) => formatPrefix(route.destination)));
    },
    foreignRoutes: () =>
      tableRoutes(netlink, ipv6).filter((route) => route.device !== undefined && route.device !== index).length,
    [Symbol.dispose]: () => netlink.close(),
  };
}

/** All routes of our table. */
function tableRoutes(netlink: Netlink, ipv6: boolean): Route[] {
  const families: (4 | 6)[] = ipv6 ? [4, 6] : [4];
  return families.flatMap((family) => listRoutes(netlink, family, ROUTE_TABLE));
}

/**
 * Removes rules, and routes of our table, that a daemon left which could not stop by itself (`--cleanup`). A device that
 * still stands belongs to a running daemon, and then nothing is removed. Returns what was done, one line each.
 */
export function cleanUp(device: string): string[] {
  using netlink = new Netlink();
  if (linkByName(netlink, device) !== undefined) {
    return [`${device} is in use by a running daemon; nothing was removed`];
  }
  const done: string[] = [];
  for (const family of [4, 6] as const) {
    try {
      const routes = listRoutes(netlink, family, ROUTE_TABLE);
      if (routes.some((route) => route.device !== undefined)) {
        done.push(`IPv${family}: table ${ROUTE_TABLE} is in use by another program; its rules were left`);
        continue;
      }
      for (const route of routes) deleteRoute(netlink, route);
      const rules = RULES.filter((rule) => deleteRule(netlink, toRule(family, rule)));
      if (rules.length > 0) done.push(`IPv${family}: removed ${rules.length} rules`);
    } catch (cause) {
      if (!(cause instanceof FfiError)) throw cause;
      done.push(`IPv${family}: ${cause.message}`);
    }
  }
  return done;
}
