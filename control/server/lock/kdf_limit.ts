/**
 * Disablement secrets are tried one at a time, five a minute for each node, and no more than a few wait:
 * each costs 16 MiB and half a second, and whoever may ask must not keep maps and relay from being served (L12).
 */
import type { Clock } from "../../../base/clock.ts";
import type { DeriveDisablement } from "../../../tka/kdf.ts";
import { Refusal } from "./refusal.ts";

const A_MINUTE_MS = 60_000;
const PER_MINUTE = 5;
/** Of all nodes together. */
const MAX_WAITING = 10;

/** Tries secrets of nodes. */
export class DisablementKdf {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #derive: DeriveDisablement;
  readonly #begun = new Map<number, number[]>();
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(clock: Pick<Clock, "monotonic">, derive: DeriveDisablement) {
    this.#clock = clock;
    this.#derive = derive;
  }

  /** @throws Refusal 429 when the node, or all nodes together, tried too often. */
  derive(nodeId: number, secret: Uint8Array): Promise<Uint8Array> {
    const now = this.#clock.monotonic();
    for (const [id, times] of this.#begun) {
      const recent = times.filter((at) => now - at < A_MINUTE_MS);
      if (recent.length === 0) this.#begun.delete(id);
      else this.#begun.set(id, recent);
    }
    const mine = this.#begun.get(nodeId) ?? [];
    if (mine.length >= PER_MINUTE) {
      throw new Refusal(429, `${PER_MINUTE} disablement secrets were tried within a minute: wait a minute`);
    }
    if (this.#waiting >= MAX_WAITING) {
      throw new Refusal(429, "too many disablement secrets are being tried: wait a minute");
    }
    this.#begun.set(nodeId, [...mine, now]);
    this.#waiting++;
    const result = this.#last.then(() => this.#derive(secret)).finally(() => this.#waiting--);
    this.#last = result.catch(() => {});
    return result;
  }
}
