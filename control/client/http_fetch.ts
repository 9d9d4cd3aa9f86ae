/**
 * Plain HTTP(S) requests outside Noise: `GET /key`, and the HEAD of a control ping. Redirects are the caller's.
 *
 * Trusts the given roots only. Answers are bounded in size and time.
 */
import http from "node:http";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { discard } from "../../base/discard.ts";
import type { ProxyChoice } from "../../base/web_proxy.ts";
import { certificateFailure } from "../../base/tls_failure.ts";
import { openConnection } from "./connect.ts";
import type { TcpConnect } from "./connect.ts";
import { ControlError } from "./errors.ts";
import { isTlsFailure, unreachable, untrusted } from "./failure_text.ts";

export interface FetchAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface FetchOptions {
  readonly ca: readonly string[];
  readonly signal: AbortSignal;
  /** Largest body taken, bytes. */
  readonly limit: number;
}

/** The port: tests put their own answers here. @throws ControlError, or the signal's reason. */
export type HttpFetch = (
  method: "GET" | "HEAD" | "POST",
  url: URL,
  options: FetchOptions,
  body?: Uint8Array,
) => Promise<
  FetchAnswer
>;

function collect(answer: IncomingMessage, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let length = 0;
    answer.on("data", (part: Buffer) => {
      length += part.length;
      if (length > limit) {
        answer.destroy();
        reject(new ControlError("malformed", `Cannot read the answer: more than ${limit} bytes`));
      } else parts.push(part);
    });
    answer.on("end", () => resolve(Buffer.concat(parts)));
    answer.on("error", reject);
  });
}

/** An agent for one request on one connection. */
export class OneSocket extends http.Agent {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ keepAlive: false });
    this.#socket = socket;
  }

  override createConnection(): Socket {
    return this.#socket;
  }
}

/** The `HttpFetch` of the real network. @param now Unix milliseconds, for the dates of certificates in messages. */
export function fetchWith(proxyFor: ProxyChoice | undefined, now: () => number, tcp?: TcpConnect): HttpFetch {
  return async (method, url, options, body) => {
    const secure = url.protocol === "https:";
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const port = Number(url.port || (secure ? 443 : 80));
    const where = `${host}:${port}`;
    const { signal, ca, limit } = options;
    const named = (error: unknown) => {
      if (signal.aborted) return signal.reason;
      if (error instanceof ControlError) return error;
      if (!isTlsFailure(error)) return unreachable(where, error);
      return untrusted(where, certificateFailure(undefined, (error as Error).message, now()), error);
    };
    try {
      const { socket, flaw } = await openConnection({ host, port, tls: secure }, { ca, proxyFor, now, tcp }, signal);
      try {
        if (flaw !== undefined) throw untrusted(where, flaw);
        const headers = { host: url.host, ...(body !== undefined && { "content-length": body.length }) };
        const request = http.request({
          method,
          host,
          port,
          path: url.pathname + url.search,
          headers,
          agent: new OneSocket(socket),
        });
        return await exchange(request, body, limit, signal);
      } finally {
        discard(socket);
      }
    } catch (error) {
      throw named(error);
    }
  };
}

/** The `HttpFetch` that knows no proxy. */
export const httpFetch: HttpFetch = fetchWith(undefined, () => Date.now());

function exchange(
  request: ClientRequest,
  body: Uint8Array | undefined,
  limit: number,
  signal: AbortSignal,
): Promise<FetchAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<FetchAnswer>();
  const onAbort = () => {
    request.destroy();
    reject(signal.reason);
  };
  request.on("error", reject);
  request.on("response", (answer: IncomingMessage) => {
    const { statusCode: status = 0, headers } = answer;
    collect(answer, limit).then((bytes) => resolve({ status, headers, body: bytes }), reject);
  });
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  request.end(body);
  return promise.finally(() => signal.removeEventListener("abort", onAbort));
}
