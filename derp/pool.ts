/**
 * Connections of one node to all the DERP regions it uses: its home always, others while packets go there.
 *
 * ```
 *   setMap ──▶ regions known          scan every 15 s: idle regions are closed
 *   setHome ─▶ one kept connected
 *   send ────▶ region connects on demand ──▶ relay ──▶ peer's home connection
 * ```
 * Runs on the main thread. A region's life is in region.ts. Source: wgengine/magicsock/derp.go.
 */
import type { Timer } from "../base/clock.ts";
import { EMPTY_DERP_MAP, regionOf } from "./derp_map.ts";
import type { DERPMap } from "./derp_map.ts";
import { RegionConnection } from "./region.ts";
import type { DerpPoolOptions, RegionStatus } from "./region.ts";

export type { DerpPoolEvents, DerpPoolOptions, RegionState, RegionStatus } from "./region.ts";

const SCAN_INTERVAL_MS = 15_000;

/** The regions in use. */
export class DerpPool {
  readonly #options: DerpPoolOptions;
  readonly #regions = new Map<number, RegionConnection>();
  #map: DERPMap = EMPTY_DERP_MAP;
  #home = 0;
  #scan: Timer | undefined;
  #closed = false;

  constructor(options: DerpPoolOptions) {
    this.#options = options;
  }

  /** Replaces the map: regions that went are closed, connections to nodes that changed are made anew. */
  setMap(map: DERPMap): void {
    this.#map = map;
    for (const [id, connection] of this.#regions) {
      const region = regionOf(map, id);
      if (region === undefined) this.#remove(id);
      else connection.update(region);
    }
    if (this.#home !== 0) this.#open(this.#home)?.setHome(true);
  }

  /** Chooses the region that is kept connected and where peers find us; 0 for none. */
  setHome(region: number): void {
    if (region === this.#home) return;
    this.#regions.get(this.#home)?.setHome(false);
    this.#home = region;
    if (region !== 0) this.#open(region)?.setHome(true);
  }

  /**
   * Sends by way of a region, connecting when needed. False when the packet was dropped, and counted: no such region,
   * no connection to be had, or the queue is full.
   * @param peer 64 hex digits of the receiver's node key. @param payload kept.
   */
  send(region: number, peer: string, payload: Uint8Array): boolean {
    const connection = this.#open(region);
    if (connection === undefined) {
      this.#options.drops?.count("no-path");
      return false;
    }
    return connection.send(peer, payload);
  }

  /** All regions that were used since the pool was made and not closed again. */
  status(): RegionStatus[] {
    return [...this.#regions.values()].map((connection) => connection.status());
  }

  /** Unix milliseconds of the last byte from a region, 0 for never; what netcheck asks. */
  lastFrame(region: number): number {
    return this.#regions.get(region)?.status().lastFrame ?? 0;
  }

  /** Milliseconds to a connected region's relay and back. */
  ping(region: number): Promise<number | undefined> {
    return this.#regions.get(region)?.ping() ?? Promise.resolve(undefined);
  }

  /** The node key changed or came: every connection is made anew under it. */
  privateKeyChanged(): void {
    for (const connection of this.#regions.values()) connection.reconnect("the node key changed");
  }

  /** The machine's addresses or routes changed: connections over the old ones may be dead without knowing. */
  rebind(): void {
    for (const connection of this.#regions.values()) connection.reconnect("the network changed");
  }

  /** Closes all connections, for good. */
  close(): void {
    this.#closed = true;
    this.#scan?.cancel();
    this.#scan = undefined;
    for (const id of [...this.#regions.keys()]) this.#remove(id);
  }

  #open(id: number): RegionConnection | undefined {
    const known = this.#regions.get(id);
    if (known !== undefined) return known;
    const region = regionOf(this.#map, id);
    if (region === undefined || this.#closed) return undefined;
    const connection = new RegionConnection(region, this.#options);
    this.#regions.set(id, connection);
    this.#scan ??= this.#options.scheduler.after(SCAN_INTERVAL_MS, () => this.#sweep());
    return connection;
  }

  #remove(id: number): void {
    this.#regions.get(id)?.close();
    this.#regions.delete(id);
  }

  #sweep(): void {
    for (const [id, connection] of this.#regions) if (connection.idle) this.#remove(id);
    this.#scan = this.#regions.size === 0
      ? undefined
      : this.#options.scheduler.after(SCAN_INTERVAL_MS, () => this.#sweep());
  }
}
