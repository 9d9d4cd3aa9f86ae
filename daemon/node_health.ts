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
  health.set("wantrunning-false", !prefs.WantRunning && prefs.persist?.nodeKey !== undefined, now);
  health.set("agent-key-expired", facts.keyExpired && prefs.WantRunning, now);
  health.set("no-udp4-bind", up && !facts.udp4, now);
  if (!prefs.WantRunning || online) health.clear("not-in-map-poll");
  else if (up) health.warnOnce("not-in-map-poll", now);
  const [refused] = facts.refusedProviders;
  health.set("agent-slow-crypto", refused !== undefined, now, refused && { ...refused });
  const settings = settingsWithoutEffect(prefs);
  health.set("agent-not-implemented", settings !== "" && prefs.WantRunning, now, { settings });
  updateRelayHealth(health, { ...facts.relays, up, online }, now);
}
