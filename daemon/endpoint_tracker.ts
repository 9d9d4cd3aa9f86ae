/**
 * Runs netchecks when they are wanted and keeps the list of own endpoints.
 *
 * One runs at a time; wishes that come meanwhile are one more run. While the engine keeps asking, that is at most once
 * every 20 to 26 s; a machine that nobody talks to measures again every 5 minutes, to keep its home region right.
 * Source: magicsock.ReSTUN, periodicReSTUN.
 */
import type { RandomBytes } from "../base/keys.ts";
import type { Scheduler, Timer } from "../base/clock.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import type { LocalEndpoint } from "../engine/config.ts";
import type { NetcheckOptions } from "../engine/netcheck/netcheck.ts";
import type { Report } from "../engine/netcheck/report.ts";
import { EndpointTracker as SeenEndpoints } from "../engine/magicsock/endpoint_tracker.ts";
import { collectEndpoints, outsideEndpoints, usableAddresses } from "./endpoints.ts";
import type { BoundPorts, InterfaceAddress } from "./endpoints.ts";
import type { Log } from "./log.ts";

/** Measures relays and own endpoints; `engine/netcheck`. */
export interface NetcheckRunner {
  run(map: DERPMap, options: NetcheckOptions): Promise<Report>;
  networkChanged(): void;
}

/** What a tracker needs. */
export interface TrackerOptions {
  readonly netcheck: NetcheckRunner;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly interfaces: () => readonly InterfaceAddress[];
  readonly ports: () => BoundPorts;
  readonly tunName: string;
  readonly lastDerpActivity: (region: number) => number;
  /** `ip:port` a router maps to this node, or "". */
  readonly mapped: () => string;
  /** `ip:port` at which the operator says this node can be reached. */
  readonly staticEndpoints?: readonly string[];
  readonly log: Log;
  /**
   * The endpoints are not the same as before (`changed`), or a netcheck has just found them, the same or not (`fresh`):
   * only then does a peer that is told of them get through (magicsock.setEndpoints).
   */
  readonly endpointsFound: (
    endpoints: readonly LocalEndpoint[],
    news: { readonly changed: boolean; readonly fresh: boolean },
  ) => void;
  /** A netcheck is done. */
  readonly reported: (report: Report) => void;
}

const IDLE_INTERVAL_MS = 300_000;
/** While the node has no home region, and so cannot be reached at all. */
const HOMELESS_INTERVAL_MS = 5_000;
const ACTIVE_INTERVAL_MS = 20_000;
const ACTIVE_SPREAD_MS = 6_000;
/** The engine asked this recently: somebody talks to us (sessionActiveTimeout). */
const ACTIVE_MS = 45_000;

/** Own endpoints over time. */
export class EndpointTracker {
  readonly #options: TrackerOptions;
  #static: readonly string[];
  readonly #seen = new SeenEndpoints();
  #map: DERPMap | undefined;
  #report: Report | undefined;
  #endpoints: readonly LocalEndpoint[] = [];
  #running = false;
  #again = false;
  #lastWanted = -Infinity;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#static = options.staticEndpoints ?? [];
  }

  /** Other endpoints than before are named by the operator. */
  setStatic(endpoints: readonly string[]): void {
    if (endpoints.join() === this.#static.join()) return;
    this.#static = endpoints;
    if (!this.#closed && this.#map !== undefined) this.#publish(false);
  }

  get endpoints(): readonly LocalEndpoint[] {
    return this.#endpoints;
  }

  /** The last report, undefined before the first. */
  get report(): Report | undefined {
    return this.#report;
  }

  /** The relays to measure; undefined stops measuring, as when the node is down. */
  setMap(map: DERPMap | undefined): void {
    if (map === this.#map) return;
    this.#map = map;
    if (map !== undefined) this.want("the relay map changed");
  }

  /** Fresh endpoints are wanted. */
  want(reason: string): void {
    if (this.#closed || this.#map === undefined) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#options.log.debug(`netcheck: ${reason}`);
    this.#run();
  }

  /** As `want`, from the engine: somebody is being talked to. */
  wantedByEngine(reason: string): void {
    this.#lastWanted = this.#options.scheduler.monotonic();
    // The run that is going on is as fresh as the engine wants it.
    if (!this.#running) this.want(reason);
  }

  /** Measures for somebody who asked, all regions. */
  async measure(map: DERPMap): Promise<Report> {
    const { netcheck, lastDerpActivity } = this.#options;
    const report = await netcheck.run(map, { full: true, verbose: true, lastDerpActivity });
    this.#accept(report);
    return report;
  }

  /** The machine's addresses changed. */
  refresh(): void {
    this.#options.netcheck.networkChanged();
    this.#publish(false);
    this.want("the network changed");
  }

  /** Addresses that need no netcheck changed. */
  refreshLocal(): void {
    if (!this.#closed && this.#map !== undefined) this.#publish(false);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    const { netcheck, lastDerpActivity, log } = this.#options;
    this.#running = true;
    this.#timer?.cancel();
    // The local addresses need no netcheck, and peers of the same network need nothing else.
    this.#publish(false);
    do {
      this.#again = false;
      if (!this.#hasRelays()) break;
      try {
        this.#accept(await netcheck.run(this.#map!, { lastDerpActivity }));
      } catch (error) {
        log.warn(`netcheck failed: ${error instanceof Error ? error.message : error}`);
      }
    } while (this.#again && !this.#closed);
    this.#running = false;
    if (this.#closed) return;
    this.#timer = this.#options.scheduler.after(this.#pause(), () => this.want("it is time"));
  }

  #hasRelays(): boolean {
    return this.#map !== undefined && Object.keys(this.#map.Regions).length > 0;
  }

  #pause(): number {
    const { scheduler, random } = this.#options;
    if (!this.#hasRelays()) return IDLE_INTERVAL_MS;
    if ((this.#report?.preferredDerp ?? 0) === 0) return HOMELESS_INTERVAL_MS;
    const active = scheduler.monotonic() - this.#lastWanted < ACTIVE_MS;
    return active ? ACTIVE_INTERVAL_MS + random(1)[0] / 255 * ACTIVE_SPREAD_MS : IDLE_INTERVAL_MS;
  }

  #accept(report: Report): void {
    if (this.#closed) return;
    this.#report = report;
    this.#publish(true);
    this.#options.reported(report);
  }

  #publish(fresh: boolean): void {
    const { interfaces, ports, tunName, mapped, scheduler } = this.#options;
    // A NAT's mapping that is not seen today may be tomorrow; only the addresses of the machine are sure to be gone.
    const outside = this.#seen.update(outsideEndpoints(ports(), this.#report, mapped()), scheduler.monotonic());
    const explicit = this.#static.map((addr): LocalEndpoint => ({ addr, type: 5 }));
    const next = collectEndpoints([...explicit, ...outside], usableAddresses(interfaces(), tunName), ports());
    const changed = JSON.stringify(next) !== JSON.stringify(this.#endpoints);
    this.#endpoints = next;
    if (changed || fresh) this.#options.endpointsFound(next, { changed, fresh });
  }
}
