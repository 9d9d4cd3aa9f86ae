/**
 * The whole packet filter of a node, as values: pure, from what the node is to what the kernel must hold.
 *
 * ```
 *   table ip filter   INPUT   ─▶ agent-input      what must be let in, ahead of Docker's, ufw's and other tailnets' rules
 *                     FORWARD ─▶ agent-forward
 *   table ip agent    input, forward              what must be dropped, whatever they say
 *                     prerouting, forward, output marks: of packets out of the tunnel, and of answers to our own sockets
 *                     postrouting                 sources of what is forwarded out of the tunnel
 *                     services                    port 80 of our service addresses, where metrics are served
 * ```
 * A packet goes on only when every base chain accepts it, so a drop may stand anywhere, and an accept only counts in the
 * chain where another would drop. iptables refuses to print a table with rules it has no words for, connection states
 * among them, so in its table there are only the plainest. The same for IPv6. Source: util/linuxfw/iptables_runner.go
 * (addBase4, addBase6, AddStatefulRule, AddConnmarkSaveRule).
 */
import { METRICS_PORT } from "../instance.ts";
import type { Instance } from "../instance.ts";
import type { LocalUse } from "./local_use.ts";

/** How packets from elsewhere into the tunnel are held back. */
export type ForwardFiltering =
  /** Not at all (`--stateful-filtering=false`). */
  | "off"
  /** New ones come from this machine's containers and from networks we offer. */
  | "own"
  /** Nothing new (`--stateful-filtering`). */
  | "strict";

/** What the rules follow from. */
export interface FirewallState {
  /** "nodivert": the chains are there, nothing jumps to them. */
  readonly mode: "on" | "nodivert" | "off";
  readonly tun: string;
  /** Own tailnet addresses. */
  readonly addresses: readonly string[];
  /** UDP ports peers send to, by family; 0 for none. */
  readonly udpPort: { readonly 4: number; readonly 6: number };
  /** What comes out of the tunnel for other networks gets our address there. */
  readonly snat: boolean;
  readonly filtering: ForwardFiltering;
  /** Subnets this node offers. */
  readonly offered: readonly string[];
  /** Devices that lead to containers and virtual machines here. */
  readonly guestDevices: readonly string[];
  readonly localUse: LocalUse;
  /** Control has switched the rule against foreign tailnet addresses off (`disable-linux-cgnat-drop-rule`). */
  readonly acceptCgnat: boolean;
}

/** One rule; what is absent matches all. */
export interface Rule {
  readonly iif?: string;
  readonly notIif?: string;
  readonly oif?: string;
  readonly src?: string;
  readonly dst?: string;
  /** Destination port. */
  readonly tcp?: number;
  readonly udp?: { readonly sport?: number; readonly dport?: number };
  /** The bits of `MARK_MASK` are this. */
  readonly mark?: number;
  readonly ctMark?: number;
  /** "answers": of a connection known already; "new": the first of one. */
  readonly state?: "answers" | "new";
  readonly verdict:
    | "accept"
    | "drop"
    | "return"
    | "masquerade"
    | { readonly setMark: number }
    | { readonly saveMark: number }
    /** To another port of the same address. */
    | { readonly toPort: number };
}

/** A chain of ours that a base chain of iptables' filter table jumps to. Its rules match devices, addresses and ports. */
export interface SharedChain {
  readonly family: 4 | 6;
  readonly base: "INPUT" | "FORWARD";
  readonly name: string;
  readonly rules: readonly Rule[];
}

/** A base chain of our own table; "services" sees what this machine sends, where its destination can be changed. */
export interface OwnChain {
  readonly family: 4 | 6;
  readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting" | "services";
  readonly rules: readonly Rule[];
}

/** All of it. */
export interface Ruleset {
  /** The shared chains are jumped to. */
  readonly jumps: boolean;
  readonly shared: readonly SharedChain[];
  readonly own: readonly OwnChain[];
}

/** Nothing of ours. */
export const NO_RULES: Ruleset = { jumps: false, shared: [], own: [] };

const CGNAT = "100.64.0.0/10";
/** ChromeOS gives these to its virtual machines. */
const CHROMEOS_VMS = "100.115.92.0/23";

/** Packets that claim a tailnet address and did not come out of the tunnel. */
function foreignRules(state: FirewallState): Rule[] {
  const { tun, localUse, acceptCgnat } = state;
  const elsewhere = (rule: Omit<Rule, "notIif" | "src">, src = CGNAT): Rule => ({ notIif: tun, src, ...rule });
  if (acceptCgnat) return [];
  return [
    { iif: "lo", verdict: "return" },
    // Other tailnets' nodes on this machine judge what comes out of their tunnels themselves.
    ...localUse.tunnels.map((iif): Rule => ({ iif, src: CGNAT, verdict: "return" })),
    elsewhere({ verdict: "return" }, CHROMEOS_VMS),
    ...localUse.prefixes.map(({ prefix }) => elsewhere({ verdict: "return" }, prefix)),
    elsewhere({ state: "answers", verdict: "return" }),
    elsewhere({ udp: { sport: 67, dport: 68 }, verdict: "return" }),
    elsewhere({ verdict: "drop" }),
  ];
}

/** Packets from elsewhere into the tunnel. */
function intoTunnelRules(family: 4 | 6, state: FirewallState): Rule[] {
  const { tun: oif, filtering, offered, guestDevices } = state;
  const ofFamily = offered.filter((route) => route.includes(":") === (family === 6));
  return [
    ...(family === 4 ? [{ oif, src: CGNAT, verdict: "drop" } as const] : []),
    ...(filtering === "off" ? [] : [{ oif, state: "answers", verdict: "return" } as const]),
    ...(filtering !== "own" ? [] : [
      ...guestDevices.map((iif): Rule => ({ iif, oif, verdict: "return" })),
      ...ofFamily.map((src): Rule => ({ oif, src, verdict: "return" })),
    ]),
    ...(filtering === "off" ? [] : [{ oif, verdict: "drop" } as const]),
  ];
}

function sharedChains(family: 4 | 6, { tun, addresses, udpPort }: FirewallState, { prefix }: Instance): SharedChain[] {
  const own = addresses.filter((address) => address.includes(":") === (family === 6));
  const input: Rule[] = [
    ...own.map((src): Rule => ({ iif: "lo", src, verdict: "accept" })),
    { iif: tun, verdict: "accept" },
    ...(udpPort[family] !== 0 ? [{ udp: { dport: udpPort[family] }, verdict: "accept" } as const] : []),
  ];
  const forward: Rule[] = [{ iif: tun, verdict: "accept" }, { oif: tun, verdict: "accept" }];
  return [
    { family, base: "INPUT", name: `${prefix}-input`, rules: input },
    { family, base: "FORWARD", name: `${prefix}-forward`, rules: forward },
  ];
}

/** A service address as it is asked for, port 80, is served at another port. */
function serviceRules(family: 4 | 6, serviceAddresses: readonly string[]): Rule[] {
  const ofFamily = serviceAddresses.filter((address) => address.includes(":") === (family === 6));
  return ofFamily.map((dst): Rule => ({ dst, tcp: 80, verdict: { toPort: METRICS_PORT } }));
}

function ownChains(family: 4 | 6, state: FirewallState, instance: Instance): OwnChain[] {
  const { subnetMark, bypassMark, serviceAddresses } = instance;
  const { tun, snat, udpPort } = state;
  const chains: OwnChain[] = [
    {
      family,
      hook: "prerouting",
      rules: [
        { state: "answers", ctMark: bypassMark, verdict: { setMark: bypassMark } },
        // Without conntrack too: its table may be full, and our peers must get through all the same.
        ...(udpPort[family] !== 0
          ? [{ notIif: tun, udp: { dport: udpPort[family] }, verdict: { setMark: bypassMark } }]
          : []),
      ],
    },
    { family, hook: "input", rules: family === 4 ? foreignRules(state) : [] },
    {
      family,
      hook: "forward",
      rules: [{ iif: tun, verdict: { setMark: subnetMark } }, ...intoTunnelRules(family, state)],
    },
    { family, hook: "output", rules: [{ state: "new", mark: bypassMark, verdict: { saveMark: bypassMark } }] },
    { family, hook: "services", rules: serviceRules(family, serviceAddresses) },
    { family, hook: "postrouting", rules: snat ? [{ mark: subnetMark, verdict: "masquerade" }] : [] },
  ];
  return chains.filter(({ rules }) => rules.length > 0);
}

/** Rules for the families this machine has. */
export function rulesetOf(state: FirewallState, instance: Instance, families: readonly (4 | 6)[]): Ruleset {
  if (state.mode === "off") return NO_RULES;
  return {
    jumps: state.mode === "on",
    shared: families.flatMap((family) => sharedChains(family, state, instance)),
    own: state.mode === "on" ? families.flatMap((family) => ownChains(family, state, instance)) : [],
  };
}
