/**
 * The notification bus behind `watch-ipn-bus`: what changes goes to every watcher as Go's `ipn.Notify`.
 *
 * Each watcher has a queue of 128 messages of its own. One that does not keep up is cut off, because a message left out
 * would leave it with a wrong view; it reconnects and asks for the initial state. Source: ipn/backend.go.
 */

import type { HealthState } from "./health.ts";

/** Bits of a watcher's mask (ipn.NotifyWatchOpt). */
export const WATCH = {
  engineUpdates: 1 << 0,
  initialState: 1 << 1,
  initialPrefs: 1 << 2,
  initialNetmap: 1 << 3,
  initialDriveShares: 1 << 5,
  initialOutgoingFiles: 1 << 6,
  initialHealth: 1 << 7,
  rateLimit: 1 << 8,
  healthActions: 1 << 9,
  initialSuggestedExitNode: 1 << 10,
  initialClientVersion: 1 << 11,
  peerChanges: 1 << 12,
  noNetmap: 1 << 13,
  initialStatus: 1 << 14,
  peerPatches: 1 << 15,
  inProcess: 1 << 16,
} as const;

const STATEFUL = WATCH.peerChanges | WATCH.noNetmap | WATCH.initialStatus | WATCH.peerPatches;

/** One message: only the fields that changed. `Version` is added by `notifyLine`. Names and values are Go's. */
export interface Notify {
  readonly SessionID?: string;
  readonly ErrMessage?: string;
  readonly LoginFinished?: Readonly<Record<string, never>>;
  readonly State?: number;
  readonly Prefs?: unknown;
  readonly SelfChange?: unknown;
  readonly InitialStatus?: unknown;
  readonly NetMap?: unknown;
  readonly PeersChanged?: readonly unknown[];
  readonly PeersRemoved?: readonly number[];
  readonly UserProfiles?: unknown;
  readonly Engine?: unknown;
  readonly BrowseToURL?: string;
  readonly Health?: HealthState;
}

/** Why a mask cannot be taken, or undefined. The texts are Tailscale's (ipn.ValidateNotifyWatchOpt). */
export function maskError(mask: number): string | undefined {
  if ((mask & WATCH.inProcess) !== 0) {
    return "NotifyInProcessNoDisconnect is only valid for in-process IPN bus subscribers";
  }
  if ((mask & WATCH.rateLimit) !== 0 && (mask & STATEFUL) !== 0) {
    return "NotifyRateLimit is incompatible with new-style IPN bus subscription bits";
  }
  return undefined;
}

/** The JSON line of a message. Go writes null for what did not change in the fields it has always had. */
export function notifyLine(version: string, notify: Notify): string {
  const always = {
    Version: version,
    ErrMessage: null,
    LoginFinished: null,
    State: null,
    Prefs: null,
    NetMap: null,
    Engine: null,
    BrowseToURL: null,
    DriveShares: null,
  };
  return `${JSON.stringify({ ...always, ...notify })}\n`;
}

/** For a watcher that does not know actions: their label and URL become part of the text (ipnlocal.appendHealthActions). */
export function withHealthActions(notify: Notify): Notify {
  const warnings = notify.Health?.Warnings;
  if (warnings === undefined || warnings === null) return notify;
  const plain = Object.entries(warnings).map(([code, { PrimaryAction, ...warning }]) => [
    code,
    PrimaryAction ? { ...warning, Text: `${warning.Text} ${PrimaryAction.Label}: ${PrimaryAction.URL}` } : warning,
  ]);
  return { ...notify, Health: { Warnings: Object.fromEntries(plain) } };
}

/** Most messages a watcher may be behind. */
export const QUEUE_LIMIT = 128;

/** One watcher's end of the bus. */
export class Watcher {
  readonly mask: number;
  readonly #queue: Notify[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(mask: number) {
    this.mask = mask;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Queues a message; false when the watcher is too far behind and was closed. */
  push(notify: Notify): boolean {
    if (this.#closed) return false;
    if (this.#queue.length >= QUEUE_LIMIT) {
      this.close();
      return false;
    }
    this.#queue.push(notify);
    this.#wake?.();
    return true;
  }

  /** Ends `messages` after what is queued now. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** The messages, as they come. */
  async *messages(): AsyncGenerator<Notify> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        yield next;
        continue;
      }
      if (this.#closed) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
    }
  }
}

/** All watchers. */
export class Bus {
  readonly #watchers = new Set<Watcher>();

  get size(): number {
    return this.#watchers.size;
  }

  /** Whether somebody listens with any of these bits; costly messages are made only then. */
  wants(bits: number): boolean {
    for (const watcher of this.#watchers) if ((watcher.mask & bits) !== 0) return true;
    return false;
  }

  watch(mask: number): Watcher {
    const watcher = new Watcher(mask);
    this.#watchers.add(watcher);
    return watcher;
  }

  unwatch(watcher: Watcher): void {
    watcher.close();
    this.#watchers.delete(watcher);
  }

  /** Sends to every watcher, or to those with one of `bits` alone. */
  send(notify: Notify, bits = 0): void {
    for (const watcher of this.#watchers) {
      if (bits !== 0 && (watcher.mask & bits) === 0) continue;
      if (!watcher.push(notify)) this.#watchers.delete(watcher);
    }
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers.clear();
  }
}
