/**
 * Tells when the kernel's nftables ruleset changes, whoever changes it: iptables-nft, Docker, firewalld, `nft` by hand.
 *
 * As `rt_watch.ts`, on a netlink socket of netfilter's own. What changed is not decoded. Source: netlink(7),
 * include/uapi/linux/netfilter/nfnetlink.h (NFNLGRP_NFTABLES).
 */
import { createWake } from "./eventfd.ts";
import { closeFd, libc } from "./libc.ts";
import { openNotifications, receiveNotifications } from "./netlink.ts";
import type { NetworkWatch } from "./rt_watch.ts";

const NETLINK_NETFILTER = 12;
const NFNLGRP_NFTABLES = 7;
const POLLIN = 1;
const RETRY_MS = 100;

/** Calls back once for all that arrived together. @throws FfiError where the kernel has no nftables. */
export function watchNftables(callback: () => void): NetworkWatch {
  const fd = openNotifications(1 << (NFNLGRP_NFTABLES - 1), NETLINK_NETFILTER);
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
        if (ready < 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        if (stopped) return;
        let some = false;
        while (receiveNotifications(fd, buffer) !== "empty") some = true;
        if (some) callback();
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
