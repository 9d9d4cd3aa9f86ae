// A command that goes on while the test does something: what it has printed so far, and how it ends.

/** A running command; it ends by itself, by `kill`, or with the namespace it runs in. */
export class RunningCommand {
  readonly #child: Deno.ChildProcess;
  readonly #what: string;
  readonly #done: Promise<unknown>;
  #printed = "";
  #said = "";
  #changed = Promise.withResolvers<void>();

  /** @param child with stdout and stderr piped. */
  constructor(child: Deno.ChildProcess, what: string) {
    this.#child = child;
    this.#what = what;
    this.#done = Promise.all([
      this.#read(child.stdout, (text) => this.#printed += text),
      this.#read(child.stderr, (text) => this.#said += text),
    ]);
  }

  /** Standard output so far. */
  get stdout(): string {
    return this.#printed;
  }
  /** Standard error so far. */
  get stderr(): string {
    return this.#said;
  }

  /** Waits until standard output or standard error has it. @throws Error when it ends or stays silent first. */
  async says(pattern: RegExp, timeoutMs = 15_000): Promise<RegExpExecArray> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#notify();
    }, timeoutMs);
    let ended = false;
    this.#done.then(() => {
      ended = true;
      this.#notify();
    });
    try {
      for (;;) {
        const next = this.#changed.promise;
        const found = pattern.exec(this.#said) ?? pattern.exec(this.#printed);
        if (found !== null) return found;
        if (late || ended) {
          const why = ended ? "it ended" : `${timeoutMs} ms`;
          throw new Error(`${this.#what} did not say ${pattern} before ${why}: ${this.#said}${this.#printed}`);
        }
        await next;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits for its end. */
  async end(timeoutMs = 20_000): Promise<{ code: number; stdout: string; stderr: string }> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#child.kill("SIGKILL");
    }, timeoutMs);
    const [{ code }] = await Promise.all([this.#child.status, this.#done]);
    clearTimeout(timer);
    if (late) throw new Error(`${this.#what} did not end within ${timeoutMs} ms: ${this.#said}${this.#printed}`);
    return { code, stdout: this.#printed, stderr: this.#said };
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>, take: (text: string) => void): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      take(text);
      this.#notify();
    }
  }
}
