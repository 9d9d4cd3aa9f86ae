/**
 * The end of this node's key, told before it comes: a headless server has nobody to see a login page.
 *
 * ```
 *   good ──the window begins──▶ expiring ──the time comes──▶ expired
 *    ▲                            │ each day again             │ each day again
 *    └──── a new key, or a later time of the same one ─────────┘
 * ```
 * At each step, and then once a day while it stands (and at each start of the daemon), there is a line in the log and the
 * operator's program is run. Times are Unix milliseconds by the clock of the control server, which is what keys expire
 * by. Tailscale's own client has nothing of the kind.
 */
import { fromGoTime } from "../control/wire/tailcfg.ts";
import type { Node } from "../control/wire/tailcfg.ts";
import type { Log } from "./log.ts";

/** What is told. */
export interface KeyNotice {
  readonly event: "expiring" | "expired";
  /** `nodekey:…` */
  readonly nodeKey: string;
  /** Name of the node, without the dot at its end. */
  readonly node: string;
  readonly expiry: number;
  /** How long it is until then, 0 when it is over. */
  readonly leftMs: number;
}

/** What it is made of. */
export interface KeyExpiryOptions {
  /** How long before its end a key is spoken of; 0 for only then. */
  readonly warnMs: number;
  /** Tells the operator's program; absent where there is none. */
  readonly hook?: (notice: KeyNotice) => void;
}

const DAY_MS = 86_400_000;

/** Unless the operator says another. */
export const EXPIRY_WARNING_MS = 14 * DAY_MS;

/** "13 days", "47 hours", "3 minutes": whole ones, of the largest unit of which there are two. */
export function spanText(ms: number): string {
  const units = [["day", DAY_MS], ["hour", 3_600_000], ["minute", 60_000]] as const;
  for (const [unit, length] of units) {
    const count = Math.floor(ms / length);
    if (count >= 2) return `${count} ${unit}s`;
  }
  return ms >= 60_000 ? "1 minute" : "less than a minute";
}

/** Watches one node's key. */
export class KeyExpiry {
  readonly #options: KeyExpiryOptions;
  readonly #log: Log;
  /** The last notice, and when it was given. */
  #told: { readonly key: string; readonly at: number } | undefined;

  constructor(options: KeyExpiryOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  /** What there is to tell now, undefined for nothing; tells log and program when it is time to. */
  look(self: Node | undefined, now: number): KeyNotice | undefined {
    const notice = this.#notice(self, now);
    if (notice === undefined) {
      this.#told = undefined;
      return undefined;
    }
    const key = `${notice.event} ${notice.nodeKey} ${notice.expiry}`;
    if (this.#told?.key === key && now - this.#told.at < DAY_MS) return notice;
    this.#told = { key, at: now };
    const time = new Date(notice.expiry).toISOString();
    this.#log.warn(
      notice.event === "expired"
        ? `the node key expired at ${time}; 'renew' gets a new one`
        : `the node key expires in ${spanText(notice.leftMs)}, at ${time}; 'renew' gets a new one`,
    );
    this.#options.hook?.(notice);
    return notice;
  }

  #notice(self: Node | undefined, now: number): KeyNotice | undefined {
    const expiry = fromGoTime(self?.KeyExpiry);
    if (self === undefined || expiry === undefined) return undefined;
    const leftMs = Math.max(0, expiry - now);
    const expired = self.Expired === true || leftMs === 0;
    if (!expired && leftMs >= this.#options.warnMs) return undefined;
    return {
      event: expired ? "expired" : "expiring",
      nodeKey: self.Key,
      node: (self.Name ?? "").replace(/\.$/, ""),
      expiry,
      leftMs: expired ? 0 : leftMs,
    };
  }
}
