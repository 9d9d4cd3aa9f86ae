/**
 * The long poll that brings netmaps. Source: control/controlclient/direct.go sendMapRequest, auto.go mapRoutine.
 *
 * ```
 *   connecting ──200, first message──▶ connected ──frame──▶ … ──end, error, 120 s of silence──▶ retrying ──back-off──┐
 *        ▲     └──404: the server does not know us──▶ ended (node-unknown)                                            │
 *        └────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
 * ```
 * Each connection starts from nothing: its first message is the whole netmap again. Of a keep-alive only the ping, the
 * URL to open and the time are looked at. The watchdog does not run while a message is being handled, however long
 * control has us sleep.
 */
import { type Scheduler, sleep, type Timer } from "../../base/clock.ts";
import type { NodePublic, RandomBytes } from "../../base/keys.ts";
import { decodeMapResponse, isMalformed } from "../wire/decode.ts";
import { decompressMapFrame, MapFrameReader } from "../wire/map_frame.ts";
import { type ControlDialPlan, fromGoTime, type MapResponse } from "../wire/tailcfg.ts";
import { Backoff } from "./backoff.ts";
import { readAll, type StreamedAnswer, type Transport } from "./connection.ts";
import { ControlError } from "./errors.ts";
import { mapCall } from "./map_call.ts";
import { applyMapResponse, type MapState } from "./map_session.ts";
import type { PingAnswerer } from "./ping.ts";
import { httpUrl, statusError } from "./register.ts";
import type { ControlStats, LogLevel, NodeState, PollEnd, PollHandlers } from "./types.ts";

/** Silence after which a poll is given up, ms; servers send a keep-alive every minute. */
export const WATCHDOG = 120_000;
/** Longest sleep control may ask for, ms. */
export const MAX_SLEEP = 300_000;
/** Change of the clock difference that is worth telling, ms. Source: ipnlocal/expiry.go minClockDelta. */
export const MIN_CLOCK_DELTA = 60_000;

export interface MapPollOptions {
  readonly transport: Transport;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: (level: LogLevel, text: string) => void;
  readonly capabilityVersion: number;
  readonly nodeKey: NodePublic;
  /** The newest state of this node, asked for at each connection. */
  readonly state: () => NodeState;
  readonly pings: PingAnswerer;
  readonly stats: ControlStats;
  /** Called when a poll is connected, before its first netmap is handed out. */
  readonly connected: () => void;
  /** Where the server wants to be dialled from now on. */
  readonly dialPlan: (plan: ControlDialPlan) => void;
}

/** Why one connection of the poll ended, other than by abort. */
type SessionEnd = { readonly end: PollEnd } | { readonly error: ControlError };

/** Runs one poll of one node key. */
export class MapPoll {
  readonly #options: MapPollOptions;
  readonly #handlers: PollHandlers;
  readonly #signal: AbortSignal;
  readonly #backoff: Backoff;
  #openedUrl = "";
  #clockDelta = 0;

  constructor(options: MapPollOptions, handlers: PollHandlers, signal: AbortSignal) {
    this.#options = options;
    this.#handlers = handlers;
    this.#signal = signal;
    this.#backoff = new Backoff(options.random);
  }

  /** Polls until aborted or told to stop. Rejects only with what a handler threw. */
  async run(): Promise<PollEnd> {
    const { scheduler, stats, log } = this.#options;
    while (!this.#signal.aborted) {
      this.#handlers.status?.({ kind: "connecting" });
      stats.polls++;
      const session = await this.#session();
      if ("end" in session) return session.end;
      const { error } = session;
      if (!error.retryable && error.code !== "http") return { kind: "failed", error };
      const delay = error.retryAfterMs ?? this.#backoff.next();
      log("info", `map poll ended, trying again in ${delay} ms: ${error.message}`);
      this.#handlers.status?.({ kind: "retrying", error, atMs: scheduler.wall() + delay });
      await sleep(scheduler, delay, this.#signal).catch(() => {});
    }
    return { kind: "aborted" };
  }

  async #session(): Promise<SessionEnd> {
    const { transport, capabilityVersion, nodeKey, state, scheduler, random, stats } = this.#options;
    const late = new AbortController();
    const watchdog = new Watchdog(scheduler, () => {
      late.abort(new ControlError("timeout", `Cannot poll the map: no message for ${WATCHDOG / 1000} s`));
      transport.drop();
    });
    const signal = AbortSignal.any([this.#signal, late.signal]);
    watchdog.reset();
    let handling = false;
    try {
      const answer = await transport.stream(mapCall("stream", nodeKey, state(), capabilityVersion), signal);
      if (answer.status !== 200) {
        const body = await readAll(answer, "/machine/map", 64 << 10);
        const error = statusError("poll the map", { ...answer, body }, scheduler.wall(), random);
        return isUnknownNode(error) ? { end: { kind: "node-unknown", reason: error.message } } : { error };
      }
      watchdog.reset();
      for await (const body of frames(answer)) {
        watchdog.stop();
        handling = true;
        await this.#frame(body, signal);
        handling = false;
        watchdog.reset();
      }
      signal.throwIfAborted();
      return { error: new ControlError("connection-lost", "Cannot poll the map: the server ended the poll") };
    } catch (error) {
      if (this.#signal.aborted) return { end: { kind: "aborted" } };
      if (late.signal.aborted) return { error: late.signal.reason };
      if (error instanceof ControlError) {
        if (error.code === "malformed") stats.malformed++;
        return { error };
      }
      if (handling) throw error;
      const message = `Cannot poll the map: ${(error as Error).message}`;
      return { error: new ControlError("connection-lost", message, { cause: error }) };
    } finally {
      this.#state = undefined;
      watchdog.stop();
      late.abort();
    }
  }

  #state: MapState | undefined;

  async #frame(body: Uint8Array, signal: AbortSignal): Promise<void> {
    const { stats, log, scheduler } = this.#options;
    const json = decompressMapFrame(body);
    const decoded = "malformed" in json ? json : decodeMapResponse(json);
    if (isMalformed(decoded)) {
      throw new ControlError("malformed", `Cannot use the map: ${decoded.malformed}`);
    }
    const response = decoded.value;
    stats.mapResponses++;
    this.#always(response, signal);
    if (response.KeepAlive === true) {
      stats.keepAlives++;
      return;
    }
    if (response.ControlDialPlan !== undefined) {
      this.#options.dialPlan(response.ControlDialPlan);
      this.#handlers.dialPlan?.(response.ControlDialPlan);
    }
    await this.#debug(response, signal);
    const applied = applyMapResponse(this.#state, response, scheduler.wall());
    if ("failed" in applied) throw new ControlError("malformed", applied.failed);
    for (const note of applied.notes) log("debug", `netmap: ${note}`);
    const first = this.#state === undefined;
    this.#state = applied.state;
    if (first) {
      this.#backoff.reset();
      this.#options.connected();
      this.#handlers.status?.({ kind: "connected" });
    }
    this.#handlers.netmap(applied.state.netmap, applied.change);
  }

  /** The parts that count in a keep-alive too. */
  #always(response: MapResponse, signal: AbortSignal): void {
    const { pings, log, scheduler, stats } = this.#options;
    if (response.PingRequest !== undefined) {
      stats.pings++;
      void pings.answer(response.PingRequest, this.#handlers, signal);
    }
    const url = response.PopBrowserURL;
    if (url && url !== this.#openedUrl) {
      this.#openedUrl = url;
      if (httpUrl(url) !== undefined) this.#handlers.openUrl?.(url);
      else log("warn", `control asked to open ${JSON.stringify(url.slice(0, 80))}, which is not http(s): ignored`);
    }
    const controlTime = fromGoTime(response.ControlTime);
    if (controlTime !== undefined) {
      const delta = controlTime - scheduler.wall();
      if (Math.abs(delta - this.#clockDelta) > MIN_CLOCK_DELTA) {
        this.#clockDelta = delta;
        this.#handlers.clockDelta?.(delta);
      }
    }
  }

  async #debug(response: MapResponse, signal: AbortSignal): Promise<void> {
    const { log, scheduler } = this.#options;
    const { SleepSeconds = 0, Exit } = response.Debug ?? {};
    if (Exit !== undefined) log("warn", `control asked this process to exit with status ${Exit}: ignored`);
    if (SleepSeconds <= 0) return;
    const ms = Math.min(SleepSeconds * 1000, MAX_SLEEP);
    log("info", `sleeping for ${ms} ms as control asks`);
    await sleep(scheduler, ms, signal);
  }
}

/** Answers that mean "register again": the server does not know this node key, or not for this machine. */
function isUnknownNode(error: ControlError): boolean {
  return [401, 403, 404, 410].includes(error.status ?? 0) ||
    (error.status === 400 && /node not found/.test(error.message));
}

/** The frame bodies of an answer, in order. @throws ControlError for a frame too large or cut short. */
async function* frames(answer: StreamedAnswer): AsyncIterable<Uint8Array> {
  const reader = new MapFrameReader();
  for await (const chunk of answer.body) {
    yield* reader.push(chunk);
    if (reader.failure !== undefined) {
      answer.cancel();
      throw new ControlError("malformed", `Cannot use the map: ${reader.failure}`);
    }
  }
  if (!reader.idle) throw new ControlError("connection-lost", "Cannot poll the map: the poll was cut within a frame");
}

/** Calls once when it was not reset for `WATCHDOG` ms. */
class Watchdog {
  readonly #scheduler: Scheduler;
  readonly #bite: () => void;
  #timer: Timer | undefined;

  constructor(scheduler: Scheduler, bite: () => void) {
    this.#scheduler = scheduler;
    this.#bite = bite;
  }

  reset(): void {
    this.#timer?.cancel();
    this.#timer = this.#scheduler.after(WATCHDOG, this.#bite);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
