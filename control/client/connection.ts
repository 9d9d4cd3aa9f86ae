/**
 * HTTP/2 inside Noise to one control server: one connection, used by every request, dialled again when dead.
 * Source: control/ts2021/client.go.
 *
 * ```
 *   idle ──request──▶ dialling ──▶ open ──closed, GOAWAY, a request that timed out──▶ idle
 *                        └──failed──▶ idle, and every request that waited fails
 * ```
 * A dial belongs to no single request: one that is aborted leaves it to the others.
 */
import type { Scheduler } from "../../base/clock.ts";
import type { NodePublic } from "../../base/keys.ts";
import { Buffer } from "node:buffer";
import { utf8 } from "../../base/bytes.ts";
import { type ClientHttp2Session, type ClientHttp2Stream, http2Client, http2Request } from "../wire/h2.ts";
import type { NoiseDuplex } from "../wire/noise_duplex.ts";
import { ControlError } from "./errors.ts";

/** Time for a whole request, its dial included, ms. Tailscale's lock calls have the same. */
export const REQUEST_TIMEOUT = 60_000;
const DEFAULT_LIMIT = 1 << 20;
/** Ms between two pings of a session. */
export const HEARTBEAT = 60_000;

/** A request inside Noise. */
export interface Request {
  readonly method: "GET" | "POST" | "HEAD";
  readonly path: string;
  /** Sent as JSON, or as it is when bytes. */
  readonly body: unknown;
  readonly nodeKeys?: readonly NodePublic[];
  /** Undefined: REQUEST_TIMEOUT. 0: none, as a long poll wants. */
  readonly timeoutMs?: number;
  readonly limit?: number;
}

/** An answer read whole. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

/** An answer read as it comes. */
export interface StreamedAnswer {
  readonly status: number;
  readonly headers: Answer["headers"];
  /** Ends when the server ends it and when the connection breaks. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Drops the stream; `body` ends. */
  cancel(): void;
}

/** What register, poll and updates need of a connection; tests put theirs here. */
export interface Transport {
  request(request: Request, signal: AbortSignal): Promise<Answer>;
  stream(request: Request, signal: AbortSignal): Promise<StreamedAnswer>;
  /** Drops the connection, and with it all its streams; the next request dials anew, as after a network change. */
  drop(): void;
}

export interface ConnectionOptions {
  /** Opens a Noise stream to the server. */
  readonly dial: (signal: AbortSignal) => Promise<NoiseDuplex>;
  /** Host of the `:authority` header; an IPv6 address without its brackets. */
  readonly host: string;
  readonly scheduler: Scheduler;
  readonly log: (level: "debug", text: string) => void;
}

const CANCEL = 8; // RFC 9113 7, NO_ERROR is 0

/** The `Transport` of the real network. */
export class ControlConnection implements Transport {
  readonly #options: ConnectionOptions;
  #session: ClientHttp2Session | undefined;
  #dialling: Promise<ClientHttp2Session> | undefined;
  readonly #closed = new AbortController();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  drop(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  /** Drops the connection and refuses all further requests. */
  close(): void {
    this.#closed.abort(new ControlError("closed", "Cannot use this control client: it was closed"));
    this.drop();
  }

  async request(request: Request, signal: AbortSignal): Promise<Answer> {
    const limit = request.limit ?? DEFAULT_LIMIT;
    const timeoutMs = request.timeoutMs ?? REQUEST_TIMEOUT;
    const late = new AbortController();
    const timer = timeoutMs === 0 ? undefined : this.#options.scheduler.after(timeoutMs, () => {
      late.abort(new ControlError("timeout", `Cannot ${request.path}: no answer within ${timeoutMs / 1000} s`));
      // Whatever holds up one request may hold up all: a connection through a dead NAT entry looks just like this.
      this.drop();
    });
    const both = AbortSignal.any([signal, late.signal]);
    try {
      const answer = await this.stream(request, both);
      const body = await readAll(answer, request.path, limit);
      both.throwIfAborted();
      const announced = answer.headers["content-length"];
      if (announced !== undefined && request.method !== "HEAD" && Number(announced) !== body.length) {
        throw lost(request.path, "it was cut short");
      }
      return { status: answer.status, headers: answer.headers, body };
    } catch (error) {
      if (both.aborted) throw both.reason;
      throw error instanceof ControlError ? error : lost(request.path, (error as Error).message, error);
    } finally {
      timer?.cancel();
    }
  }

  async stream(request: Request, signal: AbortSignal): Promise<StreamedAnswer> {
    const session = await abortable(this.#open(), signal);
    const body = request.body instanceof Uint8Array ? request.body : utf8(JSON.stringify(request.body));
    const headers = {
      ":method": request.method,
      ":path": request.path,
      "content-type": "application/json",
      "content-length": String(body.length),
      ...(request.nodeKeys?.length && { "ts-lb": request.nodeKeys.map(String) }),
    };
    let stream: ClientHttp2Stream;
    try {
      stream = http2Request(session, headers);
    } catch (error) {
      throw lost(request.path, (error as Error).message, error);
    }
    return await answerOf(stream, request.path, body, signal);
  }

  /** The open session, or the one being dialled. */
  #open(): Promise<ClientHttp2Session> {
    if (this.#closed.signal.aborted) return Promise.reject(this.#closed.signal.reason);
    const session = this.#session;
    if (session !== undefined && !session.closed && !session.destroyed) return Promise.resolve(session);
    this.#dialling ??= this.#dial().finally(() => this.#dialling = undefined);
    return this.#dialling;
  }

  /**
   * Pings the server while the session lives, and drops it when a ping is not answered before the next: a request that
   * waits for a person, for hours perhaps, would not notice a dead connection otherwise.
   */
  #heartbeat(session: ClientHttp2Session): void {
    let answered = true;
    const beat = () => {
      if (!answered) return void session.destroy();
      answered = false;
      session.ping(() => answered = true);
      timer = this.#options.scheduler.after(HEARTBEAT, beat);
    };
    let timer = this.#options.scheduler.after(HEARTBEAT, beat);
    session.once("close", () => timer.cancel());
  }

  async #dial(): Promise<ClientHttp2Session> {
    const { dial, host, log } = this.#options;
    const duplex = await dial(this.#closed.signal);
    if (this.#closed.signal.aborted) {
      duplex.destroy();
      throw this.#closed.signal.reason;
    }
    const session = http2Client(duplex, host.includes(":") ? `[${host}]` : host);
    session.on("error", (error: Error) => log("debug", `connection to ${host} broke: ${error.message}`));
    session.on("close", () => {
      if (this.#session === session) this.#session = undefined;
    });
    this.#session = session;
    this.#heartbeat(session);
    return session;
  }
}

/** The whole body. @throws ControlError `malformed` when it is longer than `limit` bytes. */
export async function readAll(answer: StreamedAnswer, path: string, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of answer.body) {
    length += part.length;
    if (length > limit) {
      answer.cancel();
      throw new ControlError("malformed", `Cannot read the answer of ${path}: more than ${limit} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function lost(path: string, detail: string, cause?: unknown): ControlError {
  return new ControlError("connection-lost", `Cannot ${path}: ${detail}`, { cause });
}

/** The promise, or the signal's reason as soon as that is there. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => {});
      return reject(signal.reason);
    }
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function answerOf(
  stream: ClientHttp2Stream,
  path: string,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<StreamedAnswer> {
  return new Promise((resolve, reject) => {
    const cancel = () => stream.close(CANCEL);
    const onAbort = () => {
      cancel();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    stream.once("close", () => {
      signal.removeEventListener("abort", onAbort);
      reject(lost(path, "the connection was closed before an answer"));
    });
    stream.on("error", (error: Error) => reject(lost(path, error.message, error)));
    stream.once("response", (headers) => {
      resolve({ status: Number(headers[":status"]), headers, body: stream, cancel });
    });
    stream.end(body);
  });
}
