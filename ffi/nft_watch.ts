/**
 * Tells when the kernel's nftables ruleset changes, whoever changes it: iptables-nft, Docker, firewalld, `nft` by hand.
 *
 * What changed is not decoded. Source: netlink(7), include/uapi/linux/netfilter/nfnetlink.h (NFNLGRP_NFTABLES).
 */
import { openNotifications } from "./netlink.ts";
import { type NetworkWatch, watchNotifications } from "./netlink_watch.ts";

const NETLINK_NETFILTER = 12;
const NFNLGRP_NFTABLES = 7;

/** Calls back once for all that arrived together. @throws FfiError where the kernel has no nftables. */
export function watchNftables(callback: () => void): NetworkWatch {
  const fd = openNotifications(1 << (NFNLGRP_NFTABLES - 1), NETLINK_NETFILTER);
  return watchNotifications(fd, () => [true], () => callback());
}
