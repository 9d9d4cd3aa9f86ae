// Talks to tka-oracle (tka/oracle.go): a question is a JSON line, and so is its answer.

import type { Deed } from "../../support/history.ts";
import type { Step } from "../../support/tka_node.ts";

/** What it can be asked. */
export type Question =
  | { readonly Op: "decode"; readonly AUMs?: readonly string[]; readonly Sigs?: readonly string[] }
  | { readonly Op: "world"; readonly Steps: readonly Step[] }
  | {
    readonly Op: "bench";
    readonly AUMs: readonly string[];
    readonly Sigs: readonly string[];
    readonly Nodes: readonly string[];
  }
  | {
    readonly Op: "disk";
    readonly AUMs?: readonly string[];
    readonly Files?: Readonly<Record<string, string>>;
    readonly Purge?: readonly string[];
  }
  | { readonly Op: "pool"; readonly AUMs: readonly string[] }
  | { readonly Op: "history"; readonly Deeds: readonly Deed[] }
  | { readonly Op: "kdf"; readonly Secret: string }
  | { readonly Op: "verify"; readonly Pub: string; readonly Msg: string; readonly Sig: string }
  | { readonly Op: "wrapped"; readonly Text: string }
  | {
    readonly Op: "resign" | "sign-by-credential";
    readonly Priv: string;
    readonly Node: string;
    readonly Sig: string;
  };

/** The program, started; `using` ends it. */
export class TkaOracle implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;

  /** @param path of the program. */
  constructor(path: string) {
    this.#child = new Deno.Command(path, { stdin: "piped", stdout: "piped" }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#lines = lines(this.#child.stdout);
  }

  /** Answers in the order of the questions; all are sent at once. */
  async askAll<T>(questions: readonly Question[]): Promise<T[]> {
    const text = questions.map((question) => JSON.stringify(question) + "\n").join("");
    const sent = this.#writer.write(new TextEncoder().encode(text));
    const answers: T[] = [];
    while (answers.length < questions.length) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("Cannot ask the oracle: it ended; its standard error says why");
      answers.push(JSON.parse(value));
    }
    await sent;
    return answers;
  }

  async ask<T>(question: Question): Promise<T> {
    return (await this.askAll<T>([question]))[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    while (!(await this.#lines.next()).done);
    await this.#child.status;
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop() as string;
    yield* parts;
  }
}
