/** Tells when links, addresses, routes or rules change. Source: rtnetlink(7), RTNLGRP_* in include/uapi/linux/rtnetlink.h. */
import { openNotifications } from "./netlink.ts";
import type { NetlinkMessage } from "./netlink_codec.ts";
import { type NetworkWatch, type Notified, watchNotifications } from "./netlink_watch.ts";
import { decodeAddress, type InterfaceAddress, RTM_DELADDR } from "./rt_addr.ts";
import { decodeLink, type Link, RTM_DELLINK } from "./rt_link.ts";
import { decodeRoute, type Route, RTM_DELROUTE } from "./rt_route.ts";
import { decodeRule, RTM_DELRULE, type Rule } from "./rt_rule.ts";

/** LINK 1, IPV4_IFADDR 5, IPV4_ROUTE 7, IPV4_RULE 8, IPV6_IFADDR 9, IPV6_ROUTE 11, IPV6_RULE 19. */
const GROUPS = [1, 5, 7, 8, 9, 11, 19].reduce((mask, group) => mask | (1 << (group - 1)), 0);

export type NetworkChange =
  | { readonly kind: "link"; readonly gone: boolean; readonly link: Link }
  | { readonly kind: "address"; readonly gone: boolean; readonly address: InterfaceAddress }
  | { readonly kind: "route"; readonly gone: boolean; readonly route: Route }
  | { readonly kind: "rule"; readonly gone: boolean; readonly rule: Rule }
  /** The kernel dropped notifications: read everything anew. */
  | { readonly kind: "overflow" };

/**
 * Watches the network namespace of the calling thread. `callback` gets what arrived together, never an empty list.
 * A watch keeps the process alive until it is stopped. @throws FfiError
 */
export function watchNetwork(callback: (changes: readonly NetworkChange[]) => void): NetworkWatch {
  return watchNotifications(openNotifications(GROUPS), decodeChanges, callback);
}

function decodeChanges(notified: Notified): NetworkChange[] {
  if (notified === "overflow") return [{ kind: "overflow" }];
  return notified.map(decodeChange).filter((change) => change !== undefined);
}

function decodeChange(message: NetlinkMessage): NetworkChange | undefined {
  const { type } = message;
  const link = decodeLink(message);
  if (link !== undefined) return { kind: "link", gone: type === RTM_DELLINK, link };
  const address = decodeAddress(message);
  if (address !== undefined) return { kind: "address", gone: type === RTM_DELADDR, address };
  const route = decodeRoute(message);
  if (route !== undefined) return { kind: "route", gone: type === RTM_DELROUTE, route };
  const rule = decodeRule(message);
  if (rule !== undefined) return { kind: "rule", gone: type === RTM_DELRULE, rule };
  return undefined;
}
