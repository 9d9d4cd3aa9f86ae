/**
 * Answers control's pings. Source: control/controlclient/direct.go answerPing.
 *
 * | `Types`                        | answer                                                            |
 * |--------------------------------|-------------------------------------------------------------------|
 * | ""                             | HEAD of `URL`, inside Noise when `URLIsNoise`                      |
 * | c2n                            | the request in `Payload` is answered, POSTed to `URL` inside Noise |
 * | TSMP, disco, ICMP, peerapi, …  | each is pinged by the daemon, its result POSTed to `URL` as JSON   |
 *
 * The same URL twice running is the same ping. Nothing here may hold up or end the poll.
 */
import type { Scheduler } from "../../base/clock.ts";
import { fromBase64 } from "../../base/bytes.ts";
import type { PingRequest } from "../wire/tailcfg.ts";
import { c2nText, encodeC2nResponse, parseC2nRequest } from "./c2n.ts";
import type { Transport } from "./connection.ts";
import type { HttpFetch } from "./http_fetch.ts";
import type { C2nRequest, C2nResponse, LogLevel, PollHandlers } from "./types.ts";

const HEAD_TIMEOUT = 15_000;
const C2N_TIMEOUT = 60_000;
const PING_TIMEOUT = 10_000;
/** Pings answered at once; more are dropped, so that a flood of them costs control its answers and us nothing. */
const MAX_AT_ONCE = 16;
const PING_TYPES: ReadonlySet<string> = new Set(["TSMP", "disco", "ICMP", "peerapi"]);

export interface PingOptions {
  readonly transport: Transport;
  readonly fetch: HttpFetch;
  readonly ca: readonly string[];
  readonly scheduler: Scheduler;
  readonly log: (level: LogLevel, text: string) => void;
}

type Answers = Pick<PollHandlers, "c2n" | "ping">;

/** Answers the pings of one server. */
export class PingAnswerer {
  readonly #options: PingOptions;
  #lastUrl = "";
  #running = 0;

  constructor(options: PingOptions) {
    this.#options = options;
  }

  /** Starts answering; resolves when done, never rejects. */
  async answer(request: PingRequest, answers: Answers, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    if (request.URL === "" || request.URL === this.#lastUrl) return;
    this.#lastUrl = request.URL;
    if (this.#running >= MAX_AT_ONCE) return log("warn", "dropped a ping of control: too many at once");
    this.#running++;
    try {
      const url = URL.parse(request.URL);
      if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
        return log("warn", `ignored a ping of control to ${JSON.stringify(request.URL.slice(0, 80))}, want http(s)`);
      }
      const type = request.Types ?? "";
      if (type === "") await this.#head(url, request, signal);
      else if (type === "c2n") await this.#c2n(url, request, answers, signal);
      else await this.#pings(url, request, type.split(","), answers, signal);
    } catch (error) {
      if (!signal.aborted) log("info", `could not answer a ping of control: ${(error as Error).message}`);
    } finally {
      this.#running--;
    }
  }

  async #head(url: URL, request: PingRequest, signal: AbortSignal): Promise<void> {
    await this.#send("HEAD", url, request.URLIsNoise === true, undefined, HEAD_TIMEOUT, signal);
    if (request.Log === true) this.#options.log("info", "answered a ping of control");
  }

  async #c2n(url: URL, request: PingRequest, answers: Answers, signal: AbortSignal): Promise<void> {
    const parsed = parseC2nRequest(fromBase64(request.Payload ?? "") ?? new Uint8Array(0));
    const response = typeof parsed === "string"
      ? c2nText(400, `Cannot answer the request: ${parsed}`)
      : await this.#answerC2n(parsed, answers);
    await this.#send("POST", url, true, encodeC2nResponse(response), C2N_TIMEOUT, signal);
  }

  async #answerC2n(request: C2nRequest, answers: Answers): Promise<C2nResponse> {
    if (request.path.split("?")[0] === "/echo") return { status: 200, body: request.body };
    try {
      const answer = answers.c2n?.(request);
      return (answer && await this.#within(C2N_TIMEOUT, answer)) ?? c2nText(400, "unknown c2n path");
    } catch (error) {
      this.#options.log("warn", `could not answer control's request for ${request.path}: ${(error as Error).message}`);
      return c2nText(500, "internal error");
    }
  }

  async #pings(
    url: URL,
    request: PingRequest,
    types: readonly string[],
    answers: Answers,
    signal: AbortSignal,
  ): Promise<void> {
    for (const type of new Set(types)) {
      if (!PING_TYPES.has(type) || answers.ping === undefined) {
        this.#options.log("info", `ignored a ping of control of type ${JSON.stringify(type.slice(0, 20))}`);
        continue;
      }
      const body = new TextEncoder().encode(
        JSON.stringify(await this.#within(PING_TIMEOUT, answers.ping(request, type))),
      );
      await this.#send("POST", url, request.URLIsNoise === true, body, HEAD_TIMEOUT, signal);
    }
  }

  /** What the daemon gives, or an error when it takes too long: an answer that never comes must not hold its place. */
  async #within<T>(ms: number, answer: Promise<T>): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = this.#options.scheduler.after(ms, () => reject(new Error(`no answer within ${ms / 1000} s`)));
    try {
      return await Promise.race([answer, promise]);
    } finally {
      timer.cancel();
    }
  }

  async #send(
    method: "HEAD" | "POST",
    url: URL,
    inNoise: boolean,
    body: Uint8Array | undefined,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { transport, fetch, ca, scheduler } = this.#options;
    const path = url.pathname + url.search;
    if (inNoise) {
      await transport.request({ method, path, body: body ?? new Uint8Array(0), timeoutMs }, signal);
      return;
    }
    const late = new AbortController();
    const timer = scheduler.after(timeoutMs, () => late.abort(new Error(`no answer within ${timeoutMs / 1000} s`)));
    try {
      await fetch(method, url, { ca, signal: AbortSignal.any([signal, late.signal]), limit: 64 << 10 }, body);
    } finally {
      timer.cancel();
    }
  }
}
