/**
 * Plain HTTP(S) requests outside Noise: `GET /key`, and the HEAD of a control ping. Redirects are the caller's.
 *
 * Trusts the given roots only. Answers are bounded in size and time.
 */
import http from "node:http";
import https from "node:https";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Buffer } from "node:buffer";
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

/** The `HttpFetch` of the real network. */
export const httpFetch: HttpFetch = (method, url, options, body) => {
  const { promise, resolve, reject } = Promise.withResolvers<FetchAnswer>();
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const onAbort = () => request.destroy();
  const fail = async (error: unknown) => {
    if (options.signal.aborted) reject(options.signal.reason);
    else if (error instanceof ControlError) reject(error);
    else reject(isTlsFailure(error) ? await untrusted(host, port, error) : unreachable(`${host}:${port}`, error));
  };
  const common = {
    method,
    agent: false,
    headers: body === undefined ? {} : { "content-length": body.length },
  } as const;
  const onAnswer = (answer: IncomingMessage) => {
    const { statusCode: status = 0, headers } = answer;
    collect(answer, options.limit).then((bytes) => resolve({ status, headers, body: bytes }), fail);
  };
  const request = url.protocol === "https:"
    ? https.request(url, { ...common, ca: [...options.ca] }, onAnswer)
    : http.request(url, common, onAnswer);
  request.on("error", fail);
  options.signal.addEventListener("abort", onAbort, { once: true });
  if (options.signal.aborted) onAbort();
  request.end(body);
  return promise.finally(() => options.signal.removeEventListener("abort", onAbort));
};
