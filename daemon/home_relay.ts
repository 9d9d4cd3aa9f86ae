/**
 * The relays a node uses, and which of their regions is its home.
 *
 * ```
 *   netmap ──map──▶ relays        netcheck ──report──▶ home region ──▶ relays, control (NetInfo), peers
 *                     └─ packets ─▶ engine
 * ```
 * Without control a home region is not given up for another: nobody would be told. Source: magicsock
 * (maybeSetNearestDERP).
 */
import type { NodePrivate } from "../base/keys.ts";
import type { NetInfo } from "../control/wire/tailcfg.ts";
import { EMPTY_DERP_MAP, regionIds, regionOf } from "../derp/derp_map.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import type { DerpPoolEvents, RegionState } from "../derp/pool.ts";
import type { Report } from "../engine/netcheck/report.ts";
import type { DatapathOptions, Relays } from "./datapath_options.ts";
import { netInfoOf, sameNetInfo } from "./endpoints.ts";

/** What it works on. */
export interface HomeRelayPorts extends Pick<DatapathOptions, "engine" | "relays" | "random" | "log" | "events"> {
  /** The node's key as it is now. */
  key(): NodePrivate | undefined;
  /** A router maps a port to us. */
  portMapped(): boolean;
  /** What was configured by the home region is to be configured anew. */
  homeChanged(): void;
}

/** Relays and home region; none until there is a map. */
export class HomeRelay {
  readonly relays: Relays;
  readonly #ports: HomeRelayPorts;
  readonly #complaints = new Map<number, string>();
  #map: DERPMap = EMPTY_DERP_MAP;
  #home = 0;
  #netInfo: NetInfo | undefined;
  #controlOnline = false;

  constructor(ports: HomeRelayPorts) {
    this.#ports = ports;
    this.relays = ports.relays(() => ports.key(), this.#poolEvents());
  }

  /** Number of the region, 0 for none. */
  get region(): number {
    return this.#home;
  }

  get map(): DERPMap {
    return this.#map;
  }

  /** What control was told last. */
  get netInfo(): NetInfo | undefined {
    return this.#netInfo;
  }

  /** States of the regions in use, and what regions complain about. */
  status(): { readonly regions: ReturnType<Relays["status"]>; readonly complaints: ReadonlyMap<number, string> } {
    return { regions: this.relays.status(), complaints: this.#complaints };
  }

  /** A relay is connected. */
  get connected(): boolean {
    return this.relays.status().some((region) => region.kind === "connected");
  }

  /** The map poll came up or broke. */
  setControlOnline(online: boolean): void {
    this.#controlOnline = online;
  }

  setMap(next: DERPMap | undefined): void {
    if (sameMap(next, this.#map)) return;
    this.#map = next ?? EMPTY_DERP_MAP;
    this.relays.setMap(this.#map);
    if (this.#home !== 0 && regionOf(this.#map, this.#home) === undefined) this.#setHome(0);
  }

  /** No relays, and no home: the node is down. */
  clear(): void {
    this.#home = 0;
    this.relays.setHome(0);
    this.relays.setMap(EMPTY_DERP_MAP);
    this.#map = EMPTY_DERP_MAP;
  }

  /** Netcheck has measured. */
  reported(report: Report): void {
    this.#setHome(this.#choose(report.preferredDerp));
    this.tellNetInfo(report);
  }

  /** Tells what the report says of the network, if that is news. */
  tellNetInfo(report: Report): void {
    const netInfo = netInfoOf(report, this.#home, this.#ports.portMapped());
    if (sameNetInfo(this.#netInfo, netInfo)) return;
    this.#netInfo = netInfo;
    this.#ports.events.netInfoChanged(netInfo);
  }

  /** The region netcheck prefers; without one the region there is, or any. */
  #choose(preferred: number): number {
    if (this.#home !== 0 && (preferred === 0 || !this.#controlOnline)) return this.#home;
    if (preferred !== 0) return preferred;
    const usable = regionIds(this.#map).filter((id) => {
      const region = regionOf(this.#map, id)!;
      return region.Avoid !== true && region.NoMeasureNoHome !== true;
    });
    return usable.length === 0 ? 0 : usable[this.#ports.random(1)[0] % usable.length];
  }

  #setHome(region: number): void {
    if (region === this.#home) return;
    this.#home = region;
    this.#ports.log.info(region === 0 ? "no home relay" : `home relay is region ${region}`);
    this.relays.setHome(region);
    this.#ports.homeChanged();
    this.#ports.events.relaysChanged();
  }

  #poolEvents(): DerpPoolEvents {
    const { engine, log, events } = this.#ports;
    return {
      received: (region, peer, payload) => engine.derpReceived({ region, peer, payload }),
      peerGone: (region, peer) => engine.derpPeerGone(region, peer),
      stateChanged: (region, state: RegionState) => {
        log.debug(`derp: region ${region} ${state.kind}${state.error ? `: ${state.error}` : ""}`);
        if (state.kind === "connected") events.live();
        events.relaysChanged();
      },
      health: (region, text) => {
        if (text === "") this.#complaints.delete(region);
        else this.#complaints.set(region, text);
        events.relaysChanged();
      },
    };
  }
}

/** Some servers send the relay map with every message, though nothing in it changed. */
function sameMap(next: DERPMap | undefined, current: DERPMap): boolean {
  return next === current || JSON.stringify(next) === JSON.stringify(current);
}
