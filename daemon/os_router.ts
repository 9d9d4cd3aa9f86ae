/**
 * Addresses of the TUN device, routes to it and the policy rules that lead there.
 *
 * ```
 *   rule 5210  marked 0x80000 (our own sockets)  → main      our packets never enter the tunnel again
 *   rule 5230  marked 0x80000                    → default
 *   rule 5250  marked 0x80000                    → unreachable
 *   rule 5270  everything else                   → table 52  one route for each peer, to the TUN device
 * ```
 * Whatever table 52 does not know goes on to the system's own tables. Source: osrouter/router_linux.go (baseIPRules).
 */

/** A policy rule, for both address families. */
export interface PolicyRule {
  readonly priority: number;
  readonly marked: boolean;
  /** Table asked, or the end of the road. */
  readonly table: number | "unreachable";
}

/** The system's routing as far as the daemon changes it; `daemon/netlink_routing.ts` implements it by netlink. */
export interface RoutingPort {
  /** Brings the device up with this MTU. @throws Error */
  linkUp(mtu: number): void;
  addAddress(prefix: string): void;
  deleteAddress(prefix: string): void;
  addRoute(prefix: string): void;
  deleteRoute(prefix: string): void;
  /** False where the machine has no such address family. */
  hasFamily(family: 4 | 6): boolean;
  addRule(family: 4 | 6, rule: PolicyRule): void;
  deleteRule(family: 4 | 6, rule: PolicyRule): void;
  /** Prefixes that our table leads to the device. */
  presentRoutes(): ReadonlySet<string>;
  /** Routes in our table that lead to other devices: another program's, whose rules are the same as ours. */
  foreignRoutes(): number;
}

/** What the system is to have. Prefixes as `net/netip` prints them. */
export interface RoutingConfig {
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
}

/** Nothing at all. */
export const NO_ROUTING: RoutingConfig = { addresses: [], routes: [] };

/** MTU of the TUN device: what fits IPv6's least with WireGuard around it (tstun.DefaultTUNMTU). */
export const TUN_MTU = 1280;
/** Table the peers' routes are in. */
export const ROUTE_TABLE = 52;
/** Mark of our own sockets, and the bits of it that are ours. */
export const BYPASS_MARK = 0x80000;
export const MARK_MASK = 0xff0000;

const MAIN_TABLE = 254;
const DEFAULT_TABLE = 253;

/** In the order they are asked. */
export const RULES: readonly PolicyRule[] = [
  { priority: 5210, marked: true, table: MAIN_TABLE },
  { priority: 5230, marked: true, table: DEFAULT_TABLE },
  { priority: 5250, marked: true, table: "unreachable" },
  { priority: 5270, marked: false, table: ROUTE_TABLE },
];

function familyOf(prefix: string): 4 | 6 {
  return prefix.includes(":") ? 6 : 4;
}

/** Keeps the system as configured. One failure is told and does not stop the rest. */
export class OsRouter {
  readonly #port: RoutingPort;
  readonly #problem: (text: string) => void;
  #addresses = new Set<string>();
  #routes = new Set<string>();
  #up = false;

  constructor(port: RoutingPort, problem: (text: string) => void) {
    this.#port = port;
    this.#problem = problem;
  }

  /** Makes the system have these addresses and routes, and no other of ours. */
  set(config: RoutingConfig): void {
    const usable = (prefix: string) => this.#port.hasFamily(familyOf(prefix));
    const addresses = new Set(config.addresses.filter(usable));
    const routes = new Set(config.routes.filter(usable));
    if (addresses.size > 0 && !this.#up) this.#bringUp();
    // New before old, so that a change of address never leaves the device without one.
    for (const prefix of difference(addresses, this.#addresses)) this.#try(() => this.#port.addAddress(prefix));
    for (const prefix of difference(this.#routes, routes)) this.#try(() => this.#port.deleteRoute(prefix));
    for (const prefix of difference(routes, this.#routes)) this.#try(() => this.#port.addRoute(prefix));
    for (const prefix of difference(this.#addresses, addresses)) this.#try(() => this.#port.deleteAddress(prefix));
    this.#addresses = addresses;
    this.#routes = routes;
  }

  /** Puts back what another program took away, such as a network daemon that deletes rules it does not know. */
  repair(): void {
    if (!this.#up) return;
    this.#addRules();
    for (const prefix of this.#addresses) this.#try(() => this.#port.addAddress(prefix));
    const missing = difference(this.#routes, this.#port.presentRoutes());
    for (const prefix of missing) this.#try(() => this.#port.addRoute(prefix));
  }

  /** Takes everything away that `set` put there. */
  down(): void {
    this.set(NO_ROUTING);
    if (this.#up) this.#deleteRules();
    this.#up = false;
  }

  #bringUp(): void {
    this.#try(() => this.#port.linkUp(TUN_MTU));
    this.#addRules();
    this.#up = true;
  }

  #addRules(): void {
    for (const family of this.#families()) for (const rule of RULES) this.#try(() => this.#port.addRule(family, rule));
  }

  #deleteRules(): void {
    // Another such program in this namespace has the same rules, and still needs them.
    if (this.#port.foreignRoutes() > 0) return;
    for (const family of this.#families()) {
      for (const rule of RULES) this.#try(() => this.#port.deleteRule(family, rule));
    }
  }

  #families(): (4 | 6)[] {
    return ([4, 6] as const).filter((family) => this.#port.hasFamily(family));
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
