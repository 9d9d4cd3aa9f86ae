/** The previous, current and next keypair of a peer, and when each is dropped. `keypair.ts` draws the rotation. */
import type { Keypair } from "./keypair.ts";

/**
 * The rotation of whitepaper 6.3 and of wireguard-go's `BeginSymmetricSession` and `ReceivedWithKeypair`, with one
 * addition for handshakes that crossed on the way.
 *
 * When both sides initiate at once and both handshakes complete, each side has its own as current and the other's as
 * previous. That works, but both would renew by age, cross again, and lose what is in flight each time. So the side
 * that `yields` moves over to the other's keypair once it receives with it; both then have the same current one.
 */
export class Keypairs {
  readonly #drop: (keypair: Keypair) => void;
  #previous: Keypair | undefined;
  #current: Keypair | undefined;
  #next: Keypair | undefined;
  #crossed: Keypair | undefined;

  /** @param drop Frees a keypair that left all three places. */
  constructor(drop: (keypair: Keypair) => void) {
    this.#drop = drop;
  }

  get previous(): Keypair | undefined {
    return this.#previous;
  }

  get current(): Keypair | undefined {
    return this.#current;
  }

  get next(): Keypair | undefined {
    return this.#next;
  }

  /** Our initiation was answered: the new keypair sends at once. @param yields See the class. */
  addInitiated(keypair: Keypair, yields: boolean): void {
    const { previous, current, next } = this.#places();
    this.#crossed = yields ? next : undefined;
    this.#set(next ?? current, keypair, undefined);
    this.#release(previous);
    if (next !== undefined) this.#release(current);
  }

  /** We answered an initiation: the new keypair receives, and sends once it is confirmed. */
  addResponded(keypair: Keypair): void {
    const { previous, current, next } = this.#places();
    this.#crossed = undefined;
    this.#set(undefined, current, keypair);
    this.#release(previous);
    this.#release(next);
  }

  /** An authentic packet came with this keypair. True when that confirmed `next`, which is now current. */
  received(keypair: Keypair): boolean {
    if (keypair === this.#next) {
      const previous = this.#previous;
      this.#set(this.#current, keypair, undefined);
      this.#release(previous);
      return true;
    }
    if (keypair === this.#previous && keypair === this.#crossed) {
      this.#crossed = undefined;
      this.#set(this.#current, keypair, this.#next);
    }
    return false;
  }

  /** Drops all three. */
  clear(): void {
    const { previous, current, next } = this.#places();
    this.#crossed = undefined;
    this.#set(undefined, undefined, undefined);
    this.#release(previous);
    this.#release(current);
    this.#release(next);
  }

  #places(): Partial<Record<"previous" | "current" | "next", Keypair>> {
    return { previous: this.#previous, current: this.#current, next: this.#next };
  }

  #set(previous: Keypair | undefined, current: Keypair | undefined, next: Keypair | undefined): void {
    this.#previous = previous;
    this.#current = current;
    this.#next = next;
  }

  #release(keypair: Keypair | undefined): void {
    if (keypair !== undefined) this.#drop(keypair);
  }
}
