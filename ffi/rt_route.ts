/**
 * Routes by rtnetlink.
 *
 *   struct rtmsg (12 bytes)  0 u8 family  1 u8 dst bits  2 u8 src bits  3 u8 tos  4 u8 table  5 u8 protocol  6 u8 scope
 *                            7 u8 type  8 u32 flags
 *
 * Source: rtnetlink(7), include/uapi/linux/rtnetlink.h.
 */

import { formatPrefix, type IpBytes, type Prefix } from "../base/ip.ts";
import { EEXIST, ESRCH } from "./libc.ts";
import type { Netlink } from "./netlink.ts";
import {
  attribute,
  attributeU32,
  type Bytes,
  decodeAttributes,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  readU32,
} from "./netlink_codec.ts";
import { unless } from "./rt_link.ts";
import { AF_INET, AF_INET6 } from "./sockaddr.ts";

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;

export const TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const SCOPE_UNIVERSE = 0;
const SCOPE_LINK = 253;
const SCOPE_NOWHERE = 255;

const TYPES = { unicast: 1, local: 2, broadcast: 3, multicast: 5, blackhole: 6, unreachable: 7, prohibit: 8, throw: 9 };
export type RouteType = keyof typeof TYPES;

export interface Route {
  /** 0.0.0.0/0 or ::/0 for a default route. */
  readonly destination: Prefix;
  /** Main by default. */
  readonly table?: number;
  /** Interface index; needed for "unicast" without `via`. */
  readonly device?: number;
  readonly via?: IpBytes;
  readonly metric?: number;
  /** Preferred source address. */
  readonly source?: IpBytes;
  /** "unicast" by default; "throw" goes on with the next rule. */
  readonly type?: RouteType;
}

/** All routes of a family; of one table where given. The kernel's "local" table is 255. */
export function listRoutes(netlink: Netlink, family: 4 | 6, table?: number): Route[] {
  const header = new Uint8Array(12);
  header[0] = family === 4 ? AF_INET : AF_INET6;
  const routes = netlink.dump(RTM_GETROUTE, [header], `list IPv${family} routes`).map(decodeRoute);
  return routes.filter((route) => route !== undefined).filter((route) => table === undefined || route.table === table);
}

/** Adds a route. @returns false when the same is there already. @throws FfiError */
export function addRoute(netlink: Netlink, route: Route): boolean {
  const action = `add route ${describe(route)}`;
  return unless(EEXIST, () => netlink.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, encode(route), action));
}

/** Adds a route, or makes the one to the same destination with the same table and metric this. @throws FfiError */
export function replaceRoute(netlink: Netlink, route: Route): void {
  netlink.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, encode(route), `replace route ${describe(route)}`);
}

/** @returns false when it was not there. @throws FfiError */
export function deleteRoute(netlink: Netlink, route: Route): boolean {
  const parts = encode(route);
  parts[0][5] = 0; // whoever added it
  parts[0][6] = SCOPE_NOWHERE; // whatever its scope
  return unless(ESRCH, () => netlink.request(RTM_DELROUTE, 0, parts, `delete route ${describe(route)}`));
}

/** A route of an RTM_NEWROUTE or RTM_DELROUTE message, or undefined for another message or an unknown type. */
export function decodeRoute({ type, body }: NetlinkMessage): Route | undefined {
  if ((type !== RTM_NEWROUTE && type !== RTM_DELROUTE) || body.length < 12) return undefined;
  const length = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 16 : 0;
  const name = (Object.keys(TYPES) as RouteType[]).find((key) => TYPES[key] === body[7]);
  if (length === 0 || name === undefined) return undefined;
  const attributes = decodeAttributes(body.subarray(12));
  const ip = (attribute: number): IpBytes | undefined => {
    const value = attributes.get(attribute);
    return value?.length === length ? value.slice() as IpBytes : undefined;
  };
  return {
    destination: { ip: ip(RTA_DST) ?? new Uint8Array(length), bits: body[1] },
    table: readU32(attributes, RTA_TABLE) ?? body[4],
    device: readU32(attributes, RTA_OIF),
    via: ip(RTA_GATEWAY),
    metric: readU32(attributes, RTA_PRIORITY),
    source: ip(RTA_PREFSRC),
    type: name,
  };
}

function encode(route: Route): Bytes[] {
  const { destination: { ip, bits }, table = TABLE_MAIN, device, via, metric, source, type = "unicast" } = route;
  const header = new Uint8Array(12);
  header[0] = ip.length === 4 ? AF_INET : AF_INET6;
  header[1] = bits;
  header[4] = table < 256 ? table : 0;
  header[5] = RTPROT_STATIC;
  // An IPv4 route to a device without a gateway must say that its destination is on the link.
  header[6] = type === "unicast" && via === undefined && ip.length === 4 ? SCOPE_LINK : SCOPE_UNIVERSE;
  header[7] = TYPES[type];
  const parts = [header, attribute(RTA_DST, ip), attributeU32(RTA_TABLE, table)];
  if (device !== undefined) parts.push(attributeU32(RTA_OIF, device));
  if (via !== undefined) parts.push(attribute(RTA_GATEWAY, via));
  if (metric !== undefined) parts.push(attributeU32(RTA_PRIORITY, metric));
  if (source !== undefined) parts.push(attribute(RTA_PREFSRC, source));
  return parts;
}

function describe({ destination, table = TABLE_MAIN, type = "unicast" }: Route): string {
  return `${type === "unicast" ? "" : `${type} `}${formatPrefix(destination)} in table ${table}`;
}
