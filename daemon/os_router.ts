/**
 * Addresses of the TUN device, routes to it and the policy rules that lead there.
 *
 * ```
 *   rule 5210  marked as our own sockets         → main      our packets never enter the tunnel again
 *   rule 5230  marked so                         → default
 *   rule 5250  marked so                         → unreachable
 *   rule 5260  from own address                  → our table  of a named instance only
 *   rule 5270  everything else                   → our table
 *
 *   table 52   100.64.0.2             to the TUN device      one route for each peer, and their subnets
 *              0.0.0.0/0              to the TUN device      while the exit node is there
 *              throw 192.168.1.0/24                          the local network, where it may be reached all the same
 *              unreachable 0.0.0.0/0  at the highest metric  while an exit node is set: stays when the device goes
 * ```
 * A named instance's marked rules are at 5212, 5232 and 5252: tailscaled deletes a rule at its own numbers when it starts
 * and stops, whatever the mark.
 *
 * Whatever the table does not know goes on to the system's own tables. Source: osrouter/router_linux.go (baseIPRules).
 */
import type { Instance } from "./instance.ts";
import { ONE_NODE } from "./instance.ts";

/** A policy rule, for both address families. */
export interface PolicyRule {
  readonly priority: number;
  readonly marked: boolean;
  /** Table asked, or the end of the road. */
  readonly table: number | "unreachable";
  /** Only packets from this prefix, and so of its family only. */
  readonly from?: string;
}

/** The system's routing as far as the daemon changes it; `daemon/netlink_routing.ts` implements it by netlink. */
export interface RoutingPort {
  /** Brings the device up with this MTU. @throws Error */
  linkUp(mtu: number): void;
  addAddress(prefix: string): void;
  deleteAddress(prefix: string): void;
  /** Routes are texts as in `RoutingConfig`. */
  addRoute(route: string): void;
  deleteRoute(route: string): void;
  /** False where the machine has no such address family. */
  hasFamily(family: 4 | 6): boolean;
  addRule(family: 4 | 6, rule: PolicyRule): void;
  deleteRule(family: 4 | 6, rule: PolicyRule): void;
  /** Routes of our table: those to the device, and those that lead nowhere. */
  presentRoutes(): ReadonlySet<string>;
  /** Routes in our table that lead to other devices: another program's, whose rules are the same as ours. */
  foreignRoutes(): number;
}

/** What the system is to have. Prefixes as `net/netip` prints them. */
export interface RoutingConfig {
  readonly addresses: readonly string[];
  /** A prefix leads to the TUN device; `throw PREFIX` to the system's own tables; `unreachable PREFIX` nowhere. */
  readonly routes: readonly string[];
}

/** Nothing at all. */
export const NO_ROUTING: RoutingConfig = { addresses: [], routes: [] };

/** What an exit node that is set leaves when all else goes: no packet leaves by another way. */
export const HELD_ROUTES: readonly string[] = ["unreachable 0.0.0.0/0", "unreachable ::/0"];

/** MTU of the TUN device: what fits IPv6's least with WireGuard around it (tstun.DefaultTUNMTU). */
export const TUN_MTU = 1280;

const MAIN_TABLE = 254;
const DEFAULT_TABLE = 253;
/** Priority of the rules for own addresses, which come after those for our own sockets. */
const OWN_ADDRESS_PRIORITY = 5260;
/** How far a named instance's rules are from tailscaled's, which are the one node's too. */
const BESIDE_TAILSCALED = 2;

/** The rules of an instance with these addresses, in the order they are asked. */
export function rulesOf(instance: Instance, addresses: Iterable<string> = []): PolicyRule[] {
  const named = instance.name !== "";
  const own = named ? [...addresses] : [];
  const beside = named ? BESIDE_TAILSCALED : 0;
  return [
    { priority: 5210 + beside, marked: true, table: MAIN_TABLE },
    { priority: 5230 + beside, marked: true, table: DEFAULT_TABLE },
    { priority: 5250 + beside, marked: true, table: "unreachable" },
    ...own.map((from) => ({ priority: OWN_ADDRESS_PRIORITY, marked: false, table: instance.table, from })),
    { priority: instance.priority, marked: false, table: instance.table },
  ];
}

function prefixOf(route: string): string {
  return route.slice(route.indexOf(" ") + 1);
}

function familyOf(prefix: string): 4 | 6 {
  return prefix.includes(":") ? 6 : 4;
}

function isHeld(route: string): boolean {
  return route.startsWith("unreachable ");
}

/** Keeps the system as configured. One failure is told and does not stop the rest. */
export class OsRouter {
  readonly #port: RoutingPort;
  readonly #problem: (text: string) => void;
  readonly #instance: Instance;
  #addresses = new Set<string>();
  #routes = new Set<string>();
  #up = false;
  #adopted = false;

  constructor(port: RoutingPort, problem: (text: string) => void, instance: Instance = ONE_NODE) {
    this.#port = port;
    this.#problem = problem;
    this.#instance = instance;
  }

  /** Makes the system have these addresses and routes, and no other of ours. */
  set(config: RoutingConfig): void {
    this.#adopt();
    const usable = (route: string) => this.#port.hasFamily(familyOf(prefixOf(route)));
    const addresses = new Set(config.addresses.filter(usable));
    const routes = new Set(config.routes.filter(usable));
    const added = difference(addresses, this.#addresses);
    const gone = difference(this.#addresses, addresses);
    if (addresses.size + routes.size > 0 && !this.#up) this.#bringUp();
    // New before old, so that a change of address never leaves the device without one.
    for (const prefix of added) this.#try(() => this.#port.addAddress(prefix));
    this.#eachRule(this.#ownRules(added), (family, rule) => this.#port.addRule(family, rule));
    // The end of the road stands before any other road is taken up, and goes after them.
    const more = difference(routes, this.#routes);
    const less = difference(this.#routes, routes);
    for (const route of more.filter(isHeld)) this.#try(() => this.#port.addRoute(route));
    for (const route of less.filter((one) => !isHeld(one))) this.#try(() => this.#port.deleteRoute(route));
    for (const route of more.filter((one) => !isHeld(one))) this.#try(() => this.#port.addRoute(route));
    for (const route of less.filter(isHeld)) this.#try(() => this.#port.deleteRoute(route));
    this.#eachRule(this.#ownRules(gone), (family, rule) => this.#port.deleteRule(family, rule));
    for (const prefix of gone) this.#try(() => this.#port.deleteAddress(prefix));
    this.#addresses = addresses;
    this.#routes = routes;
  }

  /** Puts back what another program took away, such as a network daemon that deletes rules it does not know. */
  repair(): void {
    if (!this.#up) return;
    this.#eachRule(rulesOf(this.#instance, this.#addresses), (family, rule) => this.#port.addRule(family, rule));
    for (const prefix of this.#addresses) this.#try(() => this.#port.addAddress(prefix));
    const missing = difference(this.#routes, this.#port.presentRoutes());
    for (const route of missing) this.#try(() => this.#port.addRoute(route));
  }

  /**
   * Takes everything away that `set` put there. @param held after a fault, while an exit node is set: what keeps packets
   * from leaving by another way stays, with the rules that lead there, until the next start or `--cleanup`.
   */
  down(held = false): void {
    const kept = held ? [...this.#routes].filter(isHeld) : [];
    this.set({ addresses: [], routes: kept });
    if (kept.length > 0) return;
    // Another such program in this namespace has the same rules, and still needs them.
    if (this.#up && this.#port.foreignRoutes() === 0) {
      this.#eachRule(rulesOf(this.#instance), (family, rule) => this.#port.deleteRule(family, rule));
    }
    this.#up = false;
  }

  /** What a killed daemon left is ours too: it is kept as long as it is wanted, and not forgotten when it is not. */
  #adopt(): void {
    if (this.#adopted) return;
    this.#adopted = true;
    if (this.#port.foreignRoutes() > 0) return;
    this.#routes = new Set([...this.#port.presentRoutes()].filter((route) => route.includes(" ")));
    this.#up = this.#routes.size > 0;
    if (this.#up) this.#bringUp();
  }

  #bringUp(): void {
    this.#try(() => this.#port.linkUp(TUN_MTU));
    this.#eachRule(rulesOf(this.#instance), (family, rule) => this.#port.addRule(family, rule));
    this.#up = true;
  }

  #ownRules(addresses: readonly string[]): PolicyRule[] {
    return rulesOf(this.#instance, addresses).filter((rule) => rule.from !== undefined);
  }

  #eachRule(rules: readonly PolicyRule[], step: (family: 4 | 6, rule: PolicyRule) => void): void {
    for (const family of [4, 6] as const) {
      if (!this.#port.hasFamily(family)) continue;
      for (const rule of rules) {
        if (rule.from === undefined || familyOf(rule.from) === family) this.#try(() => step(family, rule));
      }
    }
  }

  #try(step: () => void): void {
    try {
      step();
    } catch (cause) {
      this.#problem(cause instanceof Error ? cause.message : String(cause));
    }
  }
}

function difference(a: ReadonlySet<string>, b: ReadonlySet<string>): string[] {
  return [...a].filter((item) => !b.has(item));
}
