/** A control connection that a test plays itself. */
import type { Answer, Request, StreamedAnswer, Transport } from "../../control/client/connection.ts";
import { utf8 } from "../../base/bytes.ts";

/** One open answer: what is pushed comes out of its body. */
export class FakeStream {
  readonly request: Request;
  readonly signal: AbortSignal;
  readonly #answer = Promise.withResolvers<StreamedAnswer>();
  #chunks: Uint8Array[] = [];
  #ended = false;
  #wake = () => {};
  cancelled = false;

  constructor(request: Request, signal: AbortSignal) {
    this.request = request;
    this.signal = signal;
    signal.addEventListener("abort", () => {
      this.#answer.reject(signal.reason);
      this.end();
    }, { once: true });
  }

  get answer(): Promise<StreamedAnswer> {
    return this.#answer.promise;
  }

  /** Sends the headers. */
  open(status = 200, headers: Answer["headers"] = {}): void {
    const cancel = () => {
      this.cancelled = true;
      this.end();
    };
    this.#answer.resolve({ status, headers, body: this.#body(), cancel });
  }

  fail(error: Error): void {
    this.#answer.reject(error);
  }

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *#body(): AsyncIterable<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** Records what was asked; streams are played by the test, requests by `answer`. */
export class FakeTransport implements Transport {
  readonly streams: FakeStream[] = [];
  readonly requests: Request[] = [];
  drops = 0;
  /** Answers the requests that are not streamed. */
  answer: (request: Request, signal: AbortSignal) => Promise<Answer> = () => Promise.resolve(answerOf(200, ""));

  request(request: Request, signal: AbortSignal): Promise<Answer> {
    this.requests.push(request);
    return this.answer(request, signal);
  }

  stream(request: Request, signal: AbortSignal): Promise<StreamedAnswer> {
    const stream = new FakeStream(request, signal);
    this.streams.push(stream);
    return stream.answer;
  }

  drop(): void {
    this.drops++;
  }
}

export function answerOf(status: number, body: string, headers: Answer["headers"] = {}): Answer {
  return { status, headers, body: utf8(body) };
}
