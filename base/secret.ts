/** Text that must never reach a log, an error or a JSON document by accident: auth keys, tokens, passwords. */

const inspect = Symbol.for("Deno.customInspect");
const nodeInspect = Symbol.for("nodejs.util.inspect.custom");

/** A secret string; every way of printing it gives `[redacted]`, only `reveal()` gives the text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself, for the one place that sends or stores it. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }

  [inspect](): string {
    return "[redacted]";
  }

  [nodeInspect](): string {
    return "[redacted]";
  }
}

/** What a server wants to know of its users. */
export interface Login {
  readonly user: string;
  readonly password: Secret;
}
