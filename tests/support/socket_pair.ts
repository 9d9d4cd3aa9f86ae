/** Two ends of a stream in memory that behave as sockets do: what is written arrives in a later turn, never within. */
import { setImmediate } from "node:timers";
import { Duplex } from "node:stream";

type Done = (error?: Error | null) => void;

class End extends Duplex {
  other: End | undefined;
  #blocked: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: true });
  }

  override _read(): void {
    const resume = this.#blocked;
    this.#blocked = undefined;
    resume?.();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    setImmediate(() => {
      const other = this.other!;
      if (other.destroyed) return done(new Error("write EPIPE"));
      if (other.push(chunk)) done();
      else other.#blocked = () => done();
    });
  }

  override _final(done: Done): void {
    setImmediate(() => {
      if (!this.other!.destroyed) this.other!.push(null);
      done();
    });
  }

  override _destroy(error: Error | null, done: Done): void {
    const other = this.other!;
    setImmediate(() => other.destroyed || other.push(null));
    done(error);
  }
}

/** What is written to one end is read from the other; an end that is not read blocks the writer of the other. */
export function socketPair(): [Duplex, Duplex] {
  const a = new End();
  const b = new End();
  a.other = b;
  b.other = a;
  return [a, b];
}
