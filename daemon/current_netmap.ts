/**
 * The netmap in force, and what follows from it here: data path, names, the view of the lock's verdicts, the next expiry.
 *
 * ```
 *   none ──take──▶ known ──configure (where the state lets it)──▶ in force ──take, lock, preferences, expiry──▶ anew
 *     ▲              ▲                                               │
 *     └── forget ────┴───────────────────── down ────────────────────┘
 * ```
 * A node that is down knows its peers all the same; the lock decides which, as always.
 */
import type { Scheduler } from "../base/clock.ts";
import type { Netmap } from "../control/client/netmap.ts";
import type { Datapath } from "./datapath.ts";
import { datapathPolicy, heldExit } from "./datapath_policy.ts";
import type { Dns } from "./dns/dns.ts";
import { wantedExitNode } from "./exit_node.ts";
import { ExpiryTimer } from "./expiry_timer.ts";
import type { Health } from "./health.ts";
import { NodeView } from "./node_view.ts";
import type { Prefs } from "./prefs.ts";
import { isExpired } from "./router.ts";

/** What it works on. */
export interface NetmapPorts {
  readonly datapath: Datapath;
  readonly dns: Dns;
  readonly health: Health;
  readonly scheduler: Scheduler;
  prefs(): Prefs;
  /** Unix milliseconds by control's clock. */
  controlNow(): number;
  /** The node is in a state in which nothing is configured. */
  isDown(): boolean;
  /** A login is waited for, and nothing may be configured before it. */
  isBlocked(): boolean;
  /** A key of the netmap has expired: the state may follow from that. */
  expired(): void;
}

/** The netmap of the current login. */
export class CurrentNetmap {
  readonly #ports: NetmapPorts;
  readonly #expiry: ExpiryTimer;
  #netmap: Netmap | undefined;
  #view: NodeView | undefined;
  #exitNode: string | undefined;
  #routes: readonly string[] = [];
  #keyExpired = false;

  constructor(ports: NetmapPorts) {
    this.#ports = ports;
    this.#expiry = new ExpiryTimer(ports.scheduler, () => this.#lookAtExpiry());
  }

  get netmap(): Netmap | undefined {
    return this.#netmap;
  }
  /** The netmap after the lock; undefined before the first. */
  get view(): NodeView | undefined {
    return this.#view;
  }
  /** Stable ID of the exit node in use, "" while the one that is set is not there, undefined while none is set. */
  get exitNode(): string | undefined {
    return this.#exitNode;
  }
  /** Prefixes that lead to peers. */
  get routes(): readonly string[] {
    return this.#routes;
  }
  /** The node's own key. */
  get keyExpired(): boolean {
    return this.#keyExpired;
  }

  /** From now on this one counts. Nothing is configured by it yet. */
  take(netmap: Netmap): void {
    this.#netmap = netmap;
  }

  /** Looks at the own key's end. @returns true when it was over and is not any more: an administrator extended the key */
  lookAtKey(): boolean {
    const was = this.#keyExpired;
    this.#keyExpired = this.#netmap !== undefined && isExpired(this.#netmap.self, this.#ports.controlNow());
    return was && !this.#keyExpired;
  }

  /** The key is another one: its netmap is on its way, and the old one's says nothing about it. */
  keyChanged(): void {
    this.#keyExpired = false;
  }

  /** Shows the peers although nothing is configured. */
  showWhileDown(): void {
    const netmap = this.#netmap;
    if (netmap === undefined || !this.#ports.isDown()) return;
    this.#view = new NodeView(netmap, [...this.#ports.datapath.accepted(netmap)]);
  }

  /** Gives data path and names what follows from netmap and preferences, unless they are to be down. */
  configure(): void {
    const { datapath, dns, health, scheduler } = this.#ports;
    const netmap = this.#netmap;
    const prefs = this.#ports.prefs();
    const privateKey = prefs.persist?.nodeKey;
    if (netmap === undefined || privateKey === undefined || this.#ports.isBlocked() || this.#ports.isDown()) return;
    const now = this.#ports.controlNow();
    const routed = datapath.configure(netmap, datapathPolicy(prefs, privateKey, now));
    this.#view = new NodeView(netmap, routed.visible);
    dns.configure({
      view: this.#view,
      acceptDns: prefs.CorpDNS && !this.#keyExpired,
      exitNode: wantedExitNode(prefs) !== undefined,
    });
    this.#exitNode = routed.exitNode;
    this.#routes = routed.routes;
    health.set("agent-accept-routes-off", routed.routesOffered && !prefs.RouteAll, scheduler.wall());
    this.#expiry.arm(routed.nextExpiry === undefined ? undefined : routed.nextExpiry - this.#ports.controlNow());
  }

  /** Takes down what was configured. Names first: what the machine asks must not lead to addresses that are gone. */
  down(): void {
    this.#routes = [];
    this.#ports.dns.down();
    this.#ports.datapath.down(heldExit(this.#ports.prefs()));
  }

  /** The end of keys is not looked at any more, until something is configured. */
  cancelExpiry(): void {
    this.#expiry.cancel();
  }

  /** It was another login's, or another server's. */
  forget(): void {
    this.#netmap = undefined;
    this.#view = undefined;
    this.#keyExpired = false;
    this.#ports.health.setControlMessages({});
    this.down();
  }

  #lookAtExpiry(): void {
    if (this.#netmap === undefined) return;
    this.lookAtKey();
    this.#ports.expired();
    this.configure();
  }
}
