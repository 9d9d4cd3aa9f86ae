/** The warnings that follow from the node's state alone, brought up to date whenever somebody looks. */
import type { RefusedProvider } from "../engine/engine.ts";
import { isDown } from "./backend_state.ts";
import type { BackendState } from "./backend_state.ts";
import { updateRelayHealth } from "./derp_health.ts";
import type { RelayFacts } from "./derp_health.ts";
import type { Health } from "./health.ts";
import type { Prefs } from "./prefs.ts";
import { settingsWithoutEffect } from "./unimplemented.ts";

/** What the warnings follow from. */
export interface NodeFacts {
  readonly state: BackendState;
  readonly prefs: Prefs;
  readonly keyExpired: boolean;
  /** The map poll is connected. */
  readonly online: boolean;
  /** The node was switched on a moment ago. */
  readonly recentlyOn: boolean;
  /** A UDP socket for IPv4 is bound. */
  readonly udp4: boolean;
  /** Crypto providers that could not be used, the fastest first. */
  readonly refusedProviders: readonly RefusedProvider[];
  readonly relays: Omit<RelayFacts, "up" | "online">;
}

/** Sets and clears them. `now` is Unix milliseconds. */
export function updateNodeHealth(health: Health, facts: NodeFacts, now: number): void {
  const { state, prefs, online } = facts;
  const up = !isDown(state);
  health.set("wantrunning-false", !prefs.WantRunning, now, { State: state });
  health.set("agent-key-expired", facts.keyExpired && prefs.WantRunning, now);
  health.set("no-udp4-bind", up && !facts.udp4, now);
  for (const code of ["not-in-map-poll", "agent-control-unreachable"] as const) {
    if (!prefs.WantRunning || online) health.clear(code);
    else if (up) health.warnOnce(code, now);
  }
  const [refused] = facts.refusedProviders;
  health.set("agent-slow-crypto", refused !== undefined, now, refused && { ...refused });
  const settings = settingsWithoutEffect(prefs);
  health.set("agent-not-implemented", settings !== "" && prefs.WantRunning, now, { settings });
  updateRelayHealth(health, { ...facts.relays, up, online: online && !facts.recentlyOn }, now);
}
