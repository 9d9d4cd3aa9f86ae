/**
 * What keeps two nodes on one machine apart: every number and name that the kernel holds one copy of.
 *
 * ```
 *                      the one node      --instance=NAME
 *   TUN device         agent0            agent-NAME
 *   routing table      52                520 + n             n from the name, 1 to 100
 *   rules              5210, 5230, 5250  5212, 5232, 5252, with a mark of its own
 *                      -                 5260 from own address: answers stay on their tailnet
 *                      5270              5270 + n            of two tailnets with one address, the lower is asked
 *   marks              0x40000 0x80000   two values of their own under the same mask
 *   netfilter chains   agent-…           agent-NAME-…
 *   DNS is served at   100.100.100.100   100.100.100.(100 + n)
 *                      fd7a:…::53        fd7a:…::53:n
 * ```
 * The one node's numbers are Tailscale's own. Nothing is written down: the same name gives the same numbers after a
 * crash, so that `--cleanup` finds what is to be removed. Source: tsconst/linuxfw.go, osrouter/router_linux.go.
 */

import { isInstanceName } from "../base/instance_name.ts";

/** The numbers and names of one node. */
export interface Instance {
  /** "" for the one node. */
  readonly name: string;
  /** Table of the routes to peers. */
  readonly table: number;
  /** Priority of the rule that asks the table. */
  readonly priority: number;
  /** `SO_MARK` of our own sockets, and of packets that came out of the tunnel to be forwarded; bits of `MARK_MASK`. */
  readonly bypassMark: number;
  readonly subnetMark: number;
  /** Names of chains and of the table begin with it. */
  readonly prefix: string;
  /** Addresses of this machine at which the node answers DNS, of both families. */
  readonly serviceAddresses: readonly string[];
}

/** The bits of a packet's mark that are ours. */
export const MARK_MASK = 0xff0000;
/** Where metrics are served at the service addresses; port 80 of those leads there. Source: tsconst.WebListenPort. */
export const METRICS_PORT = 5252;

/** Own numbers that names are spread over. Marks: the lowest are Tailscale's and taken by other programs. */
const NUMBERS = 100;
const FIRST_TABLE = 520;
const FIRST_MARK = 0x10;

/** The one node of a machine. */
export const ONE_NODE: Instance = {
  name: "",
  table: 52,
  priority: 5270,
  bypassMark: 0x80000,
  subnetMark: 0x40000,
  prefix: "agent",
  serviceAddresses: ["100.100.100.100", "fd7a:115c:a1e0::53"],
};

/** The instance of a name, "" for the one node; undefined for a name that cannot be used. */
export function instanceOf(name: string): Instance | undefined {
  if (name === "") return ONE_NODE;
  if (!isInstanceName(name)) return undefined;
  const number = numberOf(name);
  const mark = (FIRST_MARK + 2 * (number - 1)) << 16;
  return {
    name,
    table: FIRST_TABLE + number,
    priority: 5270 + number,
    subnetMark: mark,
    bypassMark: mark + 0x10000,
    prefix: `agent-${name}`,
    serviceAddresses: [`100.100.100.${100 + number}`, `fd7a:115c:a1e0::53:${number.toString(16)}`],
  };
}

/** Whether routes of some instance's peers are in a table with this number; tailscaled's are in the one node's. */
export function isInstanceTable(table: number): boolean {
  return table === ONE_NODE.table || (table > FIRST_TABLE && table <= FIRST_TABLE + NUMBERS);
}

/** FNV-1a of the name, folded to 1 … NUMBERS. */
function numberOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  return (hash >>> 0) % NUMBERS + 1;
}
