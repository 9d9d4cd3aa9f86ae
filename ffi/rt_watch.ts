/**
 * Tells when links, addresses, routes or rules change.
 *
 *   notification socket ─┐
 *                        ├─ poll() on a thread of Deno's blocking pool ─▶ decode ─▶ callback, on the calling thread
 *   eventfd of stop() ───┘
 *
 * Nothing runs while nothing changes. Source: rtnetlink(7), RTNLGRP_* in include/uapi/linux/rtnetlink.h.
 */

import { createWake } from "./eventfd.ts";
import { closeFd, libc } from "./libc.ts";
import { openNotifications, receiveNotifications } from "./netlink.ts";
import type { NetlinkMessage } from "./netlink_codec.ts";
import { decodeAddress, type InterfaceAddress, RTM_DELADDR } from "./rt_addr.ts";
import { decodeLink, type Link, RTM_DELLINK } from "./rt_link.ts";
import { decodeRoute, type Route, RTM_DELROUTE } from "./rt_route.ts";
import { decodeRule, RTM_DELRULE, type Rule } from "./rt_rule.ts";

/** LINK 1, IPV4_IFADDR 5, IPV4_ROUTE 7, IPV4_RULE 8, IPV6_IFADDR 9, IPV6_ROUTE 11, IPV6_RULE 19. */
const GROUPS = [1, 5, 7, 8, 9, 11, 19].reduce((mask, group) => mask | (1 << (group - 1)), 0);
const POLLIN = 1;
const RETRY_MS = 100;

export type NetworkChange =
  | { readonly kind: "link"; readonly gone: boolean; readonly link: Link }
  | { readonly kind: "address"; readonly gone: boolean; readonly address: InterfaceAddress }
  | { readonly kind: "route"; readonly gone: boolean; readonly route: Route }
  | { readonly kind: "rule"; readonly gone: boolean; readonly rule: Rule }
  /** The kernel dropped notifications: read everything anew. */
  | { readonly kind: "overflow" };

export interface NetworkWatch {
  /** Ends the watch. Resolves when its thread is free; no callback comes after the call. Rejects if a callback threw. */
  stop(): Promise<void>;
}

/**
 * Watches the network namespace of the calling thread. `callback` gets what arrived together, never an empty list.
 * A watch keeps the process alive until it is stopped. @throws FfiError
 */
export function watchNetwork(callback: (changes: readonly NetworkChange[]) => void): NetworkWatch {
  const fd = openNotifications(GROUPS);
  const wake = createWake();
  const buffer = new Uint8Array(64 << 10);
  const pollfds = new Int32Array([fd, POLLIN, wake.fd, POLLIN]);
  let stopped = false;

  async function run(): Promise<void> {
    // The caller may stand in another namespace until it returns, and a pool thread born now would stay there.
    await Promise.resolve();
    try {
      while (!stopped) {
        const ready = await libc.poll_async(pollfds, 2, -1);
        // Interrupted, or out of memory; errno stayed on the other thread. Neither lasts.
        if (ready < 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        if (stopped) return;
        const changes = drain(fd, buffer);
        if (changes.length > 0) callback(changes);
      }
    } finally {
      closeFd(fd);
      wake.close();
    }
  }

  const running = run();
  return {
    stop: () => {
      if (!stopped) {
        stopped = true;
        wake.wake();
      }
      return running;
    },
  };
}

function drain(fd: number, buffer: Uint8Array<ArrayBuffer>): NetworkChange[] {
  const changes: NetworkChange[] = [];
  for (;;) {
    const messages = receiveNotifications(fd, buffer);
    if (messages === "empty") return changes;
    if (messages === "overflow") changes.push({ kind: "overflow" });
    else changes.push(...messages.map(decodeChange).filter((change) => change !== undefined));
  }
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
