/** Starts the data-plane worker and hands out the engine the daemon works with. */
import { Worker } from "node:worker_threads";
import { workerUrl } from "../base/worker_url.ts";
import { ARENA_BYTES } from "../engine/dataplane/layout.ts";
import { EngineHost } from "../engine/dataplane/host.ts";
import { Ring } from "../engine/dataplane/ring.ts";
import type { Engine, EngineEvents } from "../engine/engine.ts";
import { createWake } from "../ffi/eventfd.ts";
import { CryptoHelpers } from "./crypto_helpers.ts";
import type { WorkerMessage, WorkerStart } from "./dataplane_worker.ts";

/** Commands and relayed packets towards the worker. */
const COMMAND_RING = 8 << 20;
/** Events and relayed packets from it. */
const EVENT_RING = 8 << 20;
/** The packet buffers, and what the ports reserve beside them (address table, message headers). */
const ARENA = ARENA_BYTES + (16 << 20);

/**
 * Bound of the worker's young generation, MB, in place of V8's 48. The packet path allocates next to nothing, so it is
 * commands that fill it: 10,000 peers of a netmap in one go, all of which survive. Each collection copies what survived,
 * and packets wait: 30 ms by default, under one with this.
 */
const YOUNG_GENERATION_MB = 3;

/** What the daemon decides about its engine. */
export interface StartEngineOptions {
  readonly tunName: string;
  /** Wanted UDP port, 0 for any. */
  readonly port: number;
  /** SO_MARK of its sockets, which routing rules know. */
  readonly mark: number;
  /** Of `TimestampCeiling`. */
  readonly timestamps: SharedArrayBuffer;
  readonly events: EngineEvents;
  /** `AGENT_CRYPTO`: forces a crypto provider by name. */
  readonly crypto: string | undefined;
  /** `AGENT_CRYPTO_WORKERS`: threads that seal and open beside the worker; none by default. */
  readonly cryptoWorkers: string | undefined;
}

/**
 * Crypto helpers unless told otherwise. On two CPUs they cost throughput (BENCHMARKS.md), and what they gain on more has
 * been measured by nobody: until it is, they are the operator's choice.
 */
const DEFAULT_HELPERS = 0;

/** @throws Error for what is no small number. */
function helperCount(text: string | undefined): number {
  if (text === undefined) return DEFAULT_HELPERS;
  if (!/^[0-9]{1,2}$/.test(text)) {
    throw new Error(`Cannot use AGENT_CRYPTO_WORKERS=${text}: want a number from 0 to 99`);
  }
  return Number(text);
}

/** The engine, running. @throws Error with a text for the operator when TUN, sockets or crypto cannot be had. */
export function startEngine(options: StartEngineOptions): Promise<Engine> {
  const commands = Ring.allocate(COMMAND_RING);
  const events = Ring.allocate(EVENT_RING);
  const wake = createWake();
  const helpers = helperCount(options.cryptoWorkers);
  let pool: CryptoHelpers | undefined;
  // Of Node's kind, because Deno's own cannot be told about memory.
  const worker = new Worker(workerUrl("dataplane"), {
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  const stopped = Promise.withResolvers<void>();
  return new Promise((resolve, reject) => {
    let engine: Engine | undefined;
    const fail = (message: string) => {
      pool?.close();
      worker.terminate();
      wake.close();
      stopped.resolve();
      if (engine === undefined) reject(new Error(message));
      else options.events.failed(new Error(message));
    };
    worker.on("message", (data: WorkerMessage) => {
      switch (data.kind) {
        case "ready":
          if (data.pool !== undefined) pool = new CryptoHelpers(data.pool, helpers, fail);
          engine = new EngineHost({
            facts: data.facts,
            commands,
            events,
            wake,
            handlers: options.events,
            stopped: stopped.promise,
          });
          return resolve(engine);
        case "failed":
          return fail(data.message);
        case "stopped":
          pool?.close();
          worker.terminate();
          wake.close();
          return stopped.resolve();
      }
    });
    worker.on("error", (error: Error) => fail(error.message));
    const start: WorkerStart = {
      tunName: options.tunName,
      port: options.port,
      mark: options.mark,
      wakeFd: wake.fd,
      commands: commands.buffer,
      events: events.buffer,
      arenaBytes: ARENA,
      timestamps: options.timestamps,
      crypto: options.crypto,
      helpers: helpers > 0,
    };
    worker.postMessage(start);
  });
}
