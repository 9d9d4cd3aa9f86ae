/** The routing port over netlink, and the clean-up of what a killed daemon left behind. */
import { CGNAT, formatPrefix, parsePrefix, prefixContains } from "../base/ip.ts";
import type { Prefix } from "../base/ip.ts";
import { FfiError } from "../ffi/libc.ts";
import { Netlink } from "../ffi/netlink.ts";
import { addAddress, deleteAddress, listAddresses } from "../ffi/rt_addr.ts";
import { linkByName, listLinks, setLink } from "../ffi/rt_link.ts";
import { deleteRoute, listRoutes, replaceRoute } from "../ffi/rt_route.ts";
import type { Route } from "../ffi/rt_route.ts";
import { addRule, deleteRule, listRules } from "../ffi/rt_rule.ts";
import type { Rule } from "../ffi/rt_rule.ts";
import { isInstanceTable, MARK_MASK } from "./instance.ts";
import type { Instance } from "./instance.ts";
import { rulesOf } from "./os_router.ts";
import type { PolicyRule, RoutingPort } from "./os_router.ts";

/** Metric of the end of the road: any other route is preferred. */
const LAST_METRIC = 0xffffffff;
/** The kernel's own, of addresses here. */
const LOCAL_TABLE = 255;

function toPrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new RangeError(`Cannot route ${JSON.stringify(text)}: it is not a prefix`);
  return prefix;
}

function toRule(instance: Instance, family: 4 | 6, rule: PolicyRule): Rule {
  return {
    family,
    priority: rule.priority,
    ...(rule.from !== undefined && { source: toPrefix(rule.from) }),
    ...(rule.table === "unreachable" ? { action: "unreachable" as const } : { table: rule.table }),
    ...(rule.marked && { mark: instance.bypassMark, mask: MARK_MASK }),
  };
}

/** A route of `RoutingConfig` for the kernel. */
function toRoute(text: string, table: number, device: number): Route {
  const [type, prefix] = text.includes(" ") ? text.split(" ") : ["unicast", text];
  const destination = toPrefix(prefix);
  if (type === "throw") return { destination, table, type };
  if (type === "unreachable") return { destination, table, type, metric: LAST_METRIC };
  return { destination, table, device };
}

/** The route as `RoutingConfig` has it; undefined for one to another device. */
function fromRoute(route: Route, device: number): string | undefined {
  const prefix = formatPrefix(route.destination);
  if (route.type === "throw" || route.type === "unreachable") return `${route.type} ${prefix}`;
  return route.device === device ? prefix : undefined;
}

/** Leads to some device. IPv6 notes the loopback device at routes that lead nowhere. */
function hasDevice(route: Route): boolean {
  return route.device !== undefined && route.type !== "throw" && route.type !== "unreachable";
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
export function netlinkRouting(device: string, instance: Instance): RoutingPort & Disposable {
  const netlink = new Netlink();
  const link = linkByName(netlink, device);
  if (link === undefined) {
    netlink.close();
    throw new Error(`Cannot configure ${device}: there is no such network interface`);
  }
  const { index } = link;
  const { table } = instance;
  const ipv6 = hasFamily(6, device);
  return {
    linkUp: (mtu) => setLink(netlink, index, { mtu, up: true }),
    addAddress: (prefix) => {
      const neverChosen = instance.serviceAddresses.includes(prefix.split("/")[0]);
      addAddress(netlink, index, toPrefix(prefix), { noPrefixRoute: true, neverChosen });
    },
    deleteAddress: (prefix) => void deleteAddress(netlink, index, toPrefix(prefix)),
    addRoute: (route) => replaceRoute(netlink, toRoute(route, table, index)),
    deleteRoute: (route) => void deleteRoute(netlink, toRoute(route, table, index)),
    hasFamily: (family) => family === 4 || ipv6,
    addRule: (family, rule) => void addRule(netlink, toRule(instance, family, rule)),
    deleteRule: (family, rule) => void deleteRule(netlink, toRule(instance, family, rule)),
    presentRoutes: () => new Set(tableRoutes(netlink, table, ipv6).flatMap((route) => fromRoute(route, index) ?? [])),
    foreignRoutes: () =>
      tableRoutes(netlink, table, ipv6).filter((route) => hasDevice(route) && route.device !== index).length,
    [Symbol.dispose]: () => netlink.close(),
  };
}

/** All routes of our table. */
function tableRoutes(netlink: Netlink, table: number, ipv6: boolean): Route[] {
  const families: (4 | 6)[] = ipv6 ? [4, 6] : [4];
  return families.flatMap((family) => listRoutes(netlink, family, table));
}

/** Whether the rule is one of the instance's, those for its addresses included, which nobody remembers. */
function isOurs(instance: Instance, rule: Rule): boolean {
  if (rule.source !== undefined) return rule.table === instance.table;
  return rulesOf(instance).some((ours) => {
    const { priority, action = "table", table, mark, mask } = toRule(instance, rule.family, ours);
    return rule.priority === priority && (rule.action ?? "table") === action && rule.table === table &&
      rule.mark === mark && (mark === undefined || rule.mask === mask);
  });
}

/**
 * Addresses that this node's tailnet has and another's on this machine too, by the tables of all instances and the
 * addresses of their devices. The kernel asks the table of the lower rule only. @throws FfiError
 */
export function addressesInTwoTailnets(device: string, instance: Instance): string[] {
  using netlink = new Netlink();
  const own = linkByName(netlink, device)?.index;
  const tunnels = new Set(
    listLinks(netlink).filter(({ kind, index }) => kind === "tun" && index !== own).map(({ index }) => index),
  );
  const single = ({ ip, bits }: Prefix) => bits === 32 && prefixContains(CGNAT, ip);
  const routes = listRoutes(netlink, 4).filter((route) => hasDevice(route) && single(route.destination));
  const addresses = listAddresses(netlink).filter(({ prefix }) => single(prefix));
  const text = (list: readonly { readonly destination: Prefix }[]) =>
    list.map(({ destination }) => formatPrefix(destination));
  const ours = new Set([
    ...text(routes.filter(({ table, device }) => table === instance.table && device === own)),
    ...addresses.filter(({ index }) => index === own).map(({ prefix }) => formatPrefix(prefix)),
  ]);
  const theirs = [
    ...text(routes.filter(({ device, table }) => tunnels.has(device!) && table !== LOCAL_TABLE)),
    ...addresses.filter(({ index }) => tunnels.has(index)).map(({ prefix }) => formatPrefix(prefix)),
  ];
  return [...new Set(theirs)].filter((prefix) => ours.has(prefix)).map((prefix) => prefix.split("/")[0]).sort();
}

/** Tables of other instances for which an exit node is set: there is the end of the road in them. @throws FfiError */
export function exitTables(instance: Instance): number[] {
  using netlink = new Netlink();
  const tables = listRoutes(netlink, 4)
    .filter(({ destination, type, metric }) =>
      destination.bits === 0 && type === "unreachable" && metric === LAST_METRIC
    )
    .map(({ table }) => table!);
  return tables.filter((table) => table !== instance.table && isInstanceTable(table)).sort((a, b) => a - b);
}

/** A daemon holds the device. */
export function isInUse(device: string): boolean {
  using netlink = new Netlink();
  return linkByName(netlink, device) !== undefined;
}

/**
 * Removes rules, and routes of our table, that a daemon left which could not stop by itself (`--cleanup`). A device that
 * still stands belongs to a running daemon, and then nothing is removed. Returns what was done, one line each.
 */
export function cleanUp(device: string, instance: Instance): string[] {
  using netlink = new Netlink();
  if (linkByName(netlink, device) !== undefined) {
    return [`${device} is in use by a running daemon; nothing was removed`];
  }
  const done: string[] = [];
  for (const family of [4, 6] as const) {
    try {
      const routes = listRoutes(netlink, family, instance.table);
      if (routes.some(hasDevice)) {
        done.push(`IPv${family}: table ${instance.table} is in use by another program; its rules were left`);
        continue;
      }
      const rules = listRules(netlink, family).filter((rule) => isOurs(instance, rule) && deleteRule(netlink, rule));
      for (const route of routes) deleteRoute(netlink, route);
      if (routes.length > 0) done.push(`IPv${family}: removed ${routes.length} routes`);
      if (rules.length > 0) done.push(`IPv${family}: removed ${rules.length} rules`);
    } catch (cause) {
      if (!(cause instanceof FfiError)) throw cause;
      done.push(`IPv${family}: ${cause.message}`);
    }
  }
  return done;
}
