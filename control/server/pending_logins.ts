/** Requests that wait until an operator has decided on their login. The logins themselves are in the store. */

/** A login nobody approved for this long is forgotten. */
export const PENDING_LOGIN_LIFE_MS = 24 * 3600_000;
/** More than this many at once are refused for a while: a stranger can make them at will. */
export const MAX_PENDING_LOGINS = 1000;

/** Who waits for which login. */
export class LoginWaiters {
  readonly #waiting = new Map<string, Set<() => void>>();

  /**
   * Resolves once the login is settled, or at once when it does not wait.
   *
   * @param isPending asked after this waiter is in place, so that a decision in between is not missed.
   * @throws the signal's reason when it is aborted first.
   */
  async settled(id: string, signal: AbortSignal, isPending: () => Promise<boolean>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiters = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiters.add(resolve));
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      if (signal.aborted) throw signal.reason;
      if (await isPending()) await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      // Nobody may be listening any more when the abort came during isPending().
      promise.catch(() => {});
      waiters.delete(resolve);
      if (waiters.size === 0) this.#waiting.delete(id);
    }
  }

  /** Wakes all who wait for the login. */
  settle(id: string): void {
    for (const resolve of this.#waiting.get(id) ?? []) resolve();
  }
}
