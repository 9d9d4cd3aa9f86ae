/** Two ends of a stream in memory. */
import { Duplex } from "node:stream";

class End extends Duplex {
  other: End | undefined;
  #blocked: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: false });
  }

  override _read(): void {
    const resume = this.#blocked;
    this.#blocked = undefined;
    resume?.();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    const other = this.other!;
    if (other.destroyed) return done(new Error("write EPIPE"));
    if (other.push(chunk)) done();
    else other.#blocked = () => done();
  }

  override _final(done: () => void): void {
    if (!this.other!.destroyed) this.other!.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const other = this.other;
    if (other !== undefined && !other.destroyed) queueMicrotask(() => other.destroyed || other.push(null));
    done(error);
  }
}

/** What is written to one end is read from the other; an end that is not read blocks the writer of the other. */
export function duplexPair(): [Duplex, Duplex] {
  const a = new End();
  const b = new End();
  a.other = b;
  b.other = a;
  return [a, b];
}
