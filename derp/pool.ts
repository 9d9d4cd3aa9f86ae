/** Connections of one node to all the DERP regions it uses. */
import type { NodePrivate, RandomBytes } from "../base/keys.ts";
import type { Scheduler } from "../base/clock.ts";
import type { DropCounters } from "../base/drops.ts";
import type { DerpDial } from "./stream.ts";

/** What a region's connection is doing. `since` is Unix milliseconds. */
export interface RegionState {
  readonly kind: "connecting" | "connected" | "failed" | "closed";
  readonly since: number;
  /** Why it failed, for the operator. */
  readonly error?: string;
}

/** What the pool tells its owner; all calls come from the event loop, never from within a call of the owner. */
export interface DerpPoolEvents {
  /** A packet from a peer. `peer` is 64 hex digits; the payload is the receiver's to keep. */
  received(region: number, peer: string, payload: Uint8Array): void;
  /** The relay no longer has, or never had, this peer. */
  peerGone(region: number, peer: string): void;
  stateChanged(region: number, state: RegionState): void;
  /** The relay's complaint about our connection; "" takes it back. */
  health(region: number, text: string): void;
}

/** What a pool needs. */
export interface DerpPoolOptions {
  /** The current node key; undefined while there is none, and then nothing connects. */
  readonly privateKey: () => NodePrivate | undefined;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly dial: DerpDial;
  readonly events: DerpPoolEvents;
  /** Counts packets refused as `derp-queue`, `derp-too-large` and `no-path`. */
  readonly drops?: DropCounters;
  readonly log: (line: string) => void;
}

/** One region in `DerpPool.status()`. */
export interface RegionStatus extends RegionState {
  readonly region: number;
  readonly home: boolean;
  /** Name of the node connected to, "" when none. */
  readonly node: string;
  /** Unix milliseconds of the last frame received, 0 for never. Netcheck's home choice wants it. */
  readonly lastFrame: number;
  readonly queuedBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
}
