/**
 * Disablement secrets are derived one at a time and at most five a minute: whoever may name secrets, control first of
 * all, must not be able to keep this machine busy with Argon2i (L12).
 *
 * The last one is remembered: whoever ends the lock from this node has its secret shown by control a moment later.
 */
import { equalBytes } from "../../base/bytes.ts";
import type { Scheduler } from "../../base/clock.ts";
import type { DeriveDisablement } from "../../tka/kdf.ts";

/** Too many secrets were tried; none was derived. */
export class KdfBusy extends Error {
  override readonly name = "KdfBusy";
}

const A_MINUTE_MS = 60_000;
const PER_MINUTE = 5;

/** One at a time and five a minute, of whatever derives; beyond that rejects with `KdfBusy`. */
export function limitedKdf(clock: Pick<Scheduler, "monotonic">, derive: DeriveDisablement): DeriveDisablement {
  let last: Promise<unknown> = Promise.resolve();
  let began: number[] = [];
  let known: { readonly secret: Uint8Array; readonly derived: Promise<Uint8Array> } | undefined;
  return (secret) => {
    if (known !== undefined && equalBytes(known.secret, secret)) return known.derived;
    const now = clock.monotonic();
    began = began.filter((at) => now - at < A_MINUTE_MS);
    if (began.length >= PER_MINUTE) {
      return Promise.reject(
        new KdfBusy(`Cannot try this disablement secret: ${PER_MINUTE} were tried within a minute; wait a minute`),
      );
    }
    began.push(now);
    const derived = last.then(() => derive(secret));
    const mine = { secret: new Uint8Array(secret), derived };
    known = mine;
    last = derived.catch(() => {
      if (known === mine) known = undefined;
    });
    return derived;
  };
}
