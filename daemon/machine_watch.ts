/** What happens to the machine's network beside us, as calls of the backend: links and routes, and the packet filter. */
import { CGNAT } from "../base/ip.ts";
import { overlaps } from "../base/prefix_set.ts";
import type { NetworkWatch } from "../ffi/netlink_watch.ts";
import { watchNftables } from "../ffi/nft_watch.ts";
import { watchNetwork } from "../ffi/rt_watch.ts";
import type { NetworkChange } from "../ffi/rt_watch.ts";
import type { Backend } from "./backend.ts";
import type { Instance } from "./instance.ts";
import type { Log } from "./log.ts";
import { rulesOf } from "./os_router.ts";
import { interfaceAddresses } from "./system.ts";

const SETTLE_MS = 1_000;
const FILTER_SETTLE_MS = 300;

/** What the kernel says of links, addresses, routes and rules becomes at most one call a second. */
export function watchLinks(backend: Backend, tunName: string, instance: Instance, log: Log): NetworkWatch {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let addresses = snapshot(tunName);
  let rerouted = false;
  const settle = () => {
    timer = undefined;
    const now = snapshot(tunName);
    const changed = now !== addresses || rerouted;
    addresses = now;
    rerouted = false;
    backend.networkChanged(changed);
  };
  const watch = watchNetwork((changes) => {
    rerouted ||= changes.some((change) => change.kind === "route" && change.route.destination.bits === 0);
    if (timer === undefined && changes.some((change) => isRelevant(change, instance))) {
      timer = setTimeout(settle, SETTLE_MS);
    }
  });
  return {
    stop: async () => {
      clearTimeout(timer);
      await watch.stop().catch((cause) => log.debug(`link watch: ${cause}`));
    },
  };
}

/** Whoever changes the kernel's packet filter, ours is looked after a moment later. @returns the end of it */
export function followFilter(backend: Backend, log: Log): () => Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const watch = watchNftables(() => {
      timer ??= setTimeout(() => {
        timer = undefined;
        backend.datapath.filterChanged();
      }, FILTER_SETTLE_MS);
    });
    return async () => {
      clearTimeout(timer);
      await watch.stop().catch((cause) => log.debug(`filter watch: ${cause}`));
    };
  } catch (cause) {
    log.debug(`filter watch: ${cause instanceof Error ? cause.message : cause}`);
    return () => Promise.resolve();
  }
}

/** Addresses of all interfaces but our own, as text to compare. */
function snapshot(tunName: string): string {
  return interfaceAddresses().filter(({ device }) => device !== tunName)
    .map(({ device, address }) => `${device} ${address}`).sort().join("\n");
}

/** Links, addresses, default routes; and what somebody took from us: our rules and routes. */
function isRelevant(change: NetworkChange, instance: Instance): boolean {
  switch (change.kind) {
    case "link":
    case "address":
    case "overflow":
      return true;
    case "route":
      if (change.route.table === instance.table) return change.gone;
      // Default routes; and those into the tailnets' range, which are local use of it.
      return change.route.destination.bits === 0 || overlaps(change.route.destination, CGNAT);
    case "rule":
      return change.gone && (change.rule.table === instance.table ||
        rulesOf(instance).some((rule) => rule.priority === change.rule.priority));
  }
}
