/** Warnings about relays, from what the pool says of its regions. Source: health.Tracker.updateBuiltinWarnablesLocked. */
import { regionOf } from "../derp/derp_map.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import type { RegionStatus } from "../derp/pool.ts";
import type { Health } from "./health.ts";

/** A relay says something every 60 s; silence for twice that and a little is a dead connection. */
const TOO_IDLE_MS = 125_000;

/** What is known of the relays. */
export interface RelayFacts {
  /** The node wants to be reachable. */
  readonly up: boolean;
  /** Control is connected, and so the map is what it is to be; and it is not only just so. */
  readonly online: boolean;
  readonly map: DERPMap | undefined;
  readonly home: number;
  readonly regions: readonly RegionStatus[];
  readonly complaints: ReadonlyMap<number, string>;
}

/** Sets and clears the warnings about relays. `now` is Unix milliseconds. */
export function updateRelayHealth(health: Health, facts: RelayFacts, now: number): void {
  const { up, online, map, home, regions, complaints } = facts;
  const haveRelays = map !== undefined && Object.keys(map.Regions).length > 0;
  const named = (id: number) => ({
    "derp-region-id": String(id),
    "derp-region-name": (map && regionOf(map, id)?.RegionName) ?? "",
  });
  const state = regions.find((region) => region.region === home);
  const connected = state?.kind === "connected";
  health.set("no-derp-home", up && online && haveRelays && home === 0, now);
  health.set("no-derp-connection", up && home !== 0 && !connected, now, {
    ...named(home),
    ...(state?.error && { error: state.error }),
  });
  const idle = connected ? now - Math.max(state.lastFrame, state.since) : 0;
  health.set("derp-timed-out", up && idle > TOO_IDLE_MS, now, {
    ...named(home),
    duration: `${Math.round(idle / 1000)}s`,
  });
  const complaint = [...complaints][0];
  health.set("derp-region-error", complaint !== undefined, now, {
    "derp-region-id": String(complaint?.[0] ?? 0),
    error: complaint?.[1] ?? "",
  });
}
