/**
 * What of this machine's network follows from the data path: addresses and routes, the packet filter, and whether answers
 * to our own sockets come in.
 *
 * ```
 *   down ──hold, an exit node is set──▶ held: nothing leaves by another way ──set──▶ routes, rules, filter
 *    ▲  ◀────────── hold, none is ──────────┘                                         │
 *    └───────────────────────────────────────────────────────────────────────────────┘
 * ```
 */
import type { Netmap } from "../control/client/netmap.ts";
import type { DatapathOptions, DatapathPolicy } from "./datapath_options.ts";
import { isExitRoute } from "./exit_node.ts";
import { localRoutes } from "./local_networks.ts";
import { NO_LOCAL_USE } from "./netfilter/local_use.ts";
import type { FirewallState } from "./netfilter/ruleset.ts";
import { hasCapability } from "./node_view.ts";
import { HELD_ROUTES, NO_ROUTING } from "./os_router.ts";
import type { Routed } from "./router.ts";

/** tailcfg.NodeAttrDisableLinuxCGNATDropRule. */
const NO_CGNAT_RULE = "disable-linux-cgnat-drop-rule";

/** What it works on. */
export type HostNetworkPorts = Pick<
  DatapathOptions,
  "engine" | "routing" | "firewall" | "markedAnswers" | "networks" | "localUse" | "serviceAddresses"
>;

/** The machine's side of the data path. */
export class HostNetwork {
  readonly #ports: HostNetworkPorts;

  constructor(ports: HostNetworkPorts) {
    this.#ports = ports;
  }

  /** What stands while nothing is configured. @param held what the packet filter is to be; undefined for nothing at all */
  hold(held: DatapathPolicy["netfilter"] | undefined): void {
    const { routing, firewall, engine, markedAnswers } = this.#ports;
    if (held === undefined) {
      routing.set(NO_ROUTING);
      firewall.set(undefined);
      markedAnswers(false);
      return;
    }
    // The filter first: with strict reverse path filtering no answer would come in without its marks.
    const { localPorts: { udp4, udp6 }, tunName: tun } = engine;
    const empty = { addresses: [], offered: [], guestDevices: [], localUse: NO_LOCAL_USE, acceptCgnat: true };
    firewall.set({ ...held, ...empty, tun, udpPort: { 4: udp4, 6: udp6 } });
    routing.set({ addresses: [], routes: this.#heldRoutes(false) });
  }

  set(routed: Routed, netmap: Netmap, policy: DatapathPolicy): void {
    const { routing, markedAnswers, serviceAddresses } = this.#ports;
    const addresses = [...routed.config.addresses, ...serviceAddresses];
    routing.set({
      addresses: addresses.map((address) => `${address}/${address.includes(":") ? 128 : 32}`),
      routes: routed.exitNode === undefined ? routed.routes : [...this.#heldRoutes(policy.allowLan), ...routed.routes],
    });
    if (routed.exitNode === undefined) markedAnswers(false);
    this.setFirewall(netmap, policy);
  }

  setFirewall(netmap: Netmap, policy: DatapathPolicy): void {
    const { firewall, engine, networks, localUse } = this.#ports;
    firewall.set({
      ...policy.netfilter,
      tun: engine.tunName,
      addresses: (netmap.self.Addresses ?? []).map((prefix) => prefix.split("/")[0]),
      udpPort: { 4: engine.localPorts.udp4, 6: engine.localPorts.udp6 },
      offered: policy.advertised.filter((route) => !isExitRoute(route)),
      guestDevices: [...new Set(networks().filter(({ kind }) => kind === "guests").map(({ device }) => device))],
      localUse: localUse(),
      acceptCgnat: hasCapability(netmap.self, NO_CGNAT_RULE),
    });
  }

  /** What the packet filter is, for `status`. */
  get netfilter(): { readonly backend: string; readonly state: FirewallState | undefined } {
    const { firewall } = this.#ports;
    return { backend: firewall.backendName, state: firewall.state };
  }

  /** @param held as of `OsRouter.down` */
  async close(held: boolean): Promise<void> {
    const { routing, firewall, markedAnswers } = this.#ports;
    routing.down(held);
    if (!held) markedAnswers(false);
    await firewall.close(held);
  }

  /** What stands in our table, besides the ways into the tunnel, while an exit node is set. */
  #heldRoutes(allowLan: boolean): string[] {
    this.#ports.markedAnswers(true);
    return [...HELD_ROUTES, ...localRoutes(this.#ports.networks(), allowLan)];
  }
}
