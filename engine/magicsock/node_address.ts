/** Addresses that a node can have. */
import type { AddrPort } from "../../base/ip.ts";
import type { AddrId, AddrTable } from "../ports.ts";

/** 127.3.3.40, which stands for "by DERP", the port being the region. `tailcfg.DerpMagicIP`. */
export const DERP_MAGIC_IP = Uint8Array.of(127, 3, 3, 40);

/** Ids of those addresses that a node can have, each once. */
export function internNodeAddresses(table: AddrTable, addrs: readonly AddrPort[]): AddrId[] {
  const ids = addrs.filter(isNodeAddress).map(({ ip, port }) => table.intern(ip, port));
  return [...new Set(ids)].filter((id) => id !== 0);
}

/**
 * False for addresses that cannot be a node's: port 0, unspecified, multicast, broadcast, the stand-in for DERP, and
 * IPv6 link-local, which means nothing without an interface.
 */
function isNodeAddress({ ip, port }: AddrPort): boolean {
  if (port === 0 || ip.every((byte) => byte === 0)) return false;
  if (ip.length === 4) return ip[0] < 224 && !DERP_MAGIC_IP.every((byte, i) => ip[i] === byte);
  return ip[0] !== 0xff && !(ip[0] === 0xfe && (ip[1] & 0xc0) === 0x80);
}
