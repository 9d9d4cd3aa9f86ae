/** Lines of a stream, one at a time: how a test and the programs it starts talk. */
export class LineReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next line, undefined at the end. */
  async read(): Promise<string | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#reader.read();
      if (done) return undefined;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  /** Reads no further; what comes is thrown away. */
  async close(): Promise<void> {
    await this.#reader.cancel();
  }
}

/** A program that prints one line when it is ready and answers each line on its standard input with one. */
export class AskedProgram {
  readonly child: Deno.ChildProcess;
  readonly #lines: LineReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  /** @param child Started with standard input and output piped. */
  constructor(child: Deno.ChildProcess) {
    this.child = child;
    this.#lines = new LineReader(child.stdout);
    this.#writer = child.stdin.getWriter();
  }

  /** The next line. @throws Error when the program ends instead. */
  async line(): Promise<string> {
    const line = await this.#lines.read();
    if (line === undefined) throw new Error("Cannot read a line: the program ended");
    return line;
  }

  async ask(question: string): Promise<string> {
    await this.#writer.write(new TextEncoder().encode(`${question}\n`));
    return await this.line();
  }

  /** Ends its input and takes the line it says at its end. */
  async finish(): Promise<string> {
    await this.#writer.close();
    const line = await this.line();
    await this.child.status;
    await this.#lines.close();
    return line;
  }

  /** Ends its input, after which it ends. @returns its exit code. */
  async end(): Promise<number> {
    await this.#writer.close();
    const { code } = await this.child.status;
    await this.#lines.close();
    return code;
  }
}
