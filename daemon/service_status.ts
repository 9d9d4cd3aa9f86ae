/**
 * What the service manager hears of the daemon: READY when it can be used, one line of STATUS as the node's state changes,
 * STOPPING, and WATCHDOG while the data plane lives.
 *
 * ```
 *   WATCHDOG_USEC / 3 ──▶ heartbeat to the worker ──answered──▶ WATCHDOG=1
 *          ▲                         │ not yet: nothing is sent, and no second one is asked
 *          └─────────────────────────┘
 * ```
 * So a worker that hangs, or a main thread that does, ends as the unit says: killed and started again. Outside systemd
 * nothing is sent. Source: sd_notify(3), sd_watchdog_enabled(3).
 */
import type { Scheduler, Timer } from "../base/clock.ts";
import { systemScheduler } from "../base/system.ts";
import type { Engine } from "../engine/engine.ts";
import { notifyAddress, openNotifySocket } from "../ffi/notify_socket.ts";
import type { Backend } from "./backend.ts";

/** What systemd put into the environment. */
export interface ServiceEnvironment {
  /** `$NOTIFY_SOCKET`, or undefined outside a unit of Type=notify. */
  readonly socket: string | undefined;
  /** How often it wants to hear from us, ms; undefined for never. */
  readonly watchdogMs: number | undefined;
}

/** Takes the variables out of the environment, so that no program we start speaks in our name. */
export function takeServiceEnvironment(env: Pick<Deno.Env, "get" | "delete">, pid: number): ServiceEnvironment {
  const take = (name: string) => {
    const value = env.get(name);
    env.delete(name);
    return value;
  };
  const socket = take("NOTIFY_SOCKET") || undefined;
  const usec = take("WATCHDOG_USEC") ?? "";
  const watched = take("WATCHDOG_PID") ?? "";
  const ours = watched === "" || watched === String(pid);
  return { socket, watchdogMs: ours && /^[1-9][0-9]{0,14}$/.test(usec) ? Number(usec) / 1000 : undefined };
}

/** What it is made of. */
export interface ServiceStatusOptions {
  readonly send: (text: string) => void;
  readonly watchdogMs: number | undefined;
  /** Resolves when the data plane's worker has answered. */
  readonly heartbeat: () => Promise<void>;
  readonly scheduler: Scheduler;
}

/** Speaks to the service manager. */
export class ServiceStatus {
  readonly #options: ServiceStatusOptions;
  #timer: Timer | undefined;
  #last = "";

  constructor(options: ServiceStatusOptions) {
    this.#options = options;
  }

  /** The daemon can be used. Begins the heartbeats. */
  ready(): void {
    this.#options.send("READY=1");
    this.#beat();
  }

  /** One line for `systemctl status`. The same again is not sent. */
  status(text: string): void {
    const line = text.replaceAll(/[\r\n]+/g, " ");
    if (line === this.#last) return;
    this.#last = line;
    this.#options.send(`STATUS=${line}`);
  }

  /** The daemon ends in order. The watchdog goes on until it has. */
  stopping(): void {
    this.#options.send("STOPPING=1\nSTATUS=Stopping");
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #beat(): void {
    const { watchdogMs, scheduler, heartbeat, send } = this.#options;
    if (watchdogMs === undefined) return;
    let answered = true;
    const tick = () => {
      this.#timer = scheduler.after(watchdogMs / 3, tick);
      if (!answered) return;
      answered = false;
      heartbeat().then(() => {
        answered = true;
        send("WATCHDOG=1");
      }, () => {});
    };
    tick();
  }
}

/** The line for a node's state. Source: ipnlocal.LocalBackend.enterStateLocked. */
export function statusLine(backend: Pick<Backend, "state" | "authUrl" | "view">): string {
  switch (backend.state) {
    case "NoState":
    case "Starting":
      return "Starting";
    case "NeedsLogin":
      return backend.authUrl === "" ? "Needs login: run 'agent up'" : `Needs login: ${backend.authUrl}`;
    case "NeedsMachineAuth":
      return "Needs approval by an administrator of the tailnet";
    case "Stopped":
      return "Stopped: run 'agent up' to connect";
    case "Running": {
      const self = backend.view?.netmap.self;
      const addresses = (self?.Addresses ?? []).map((prefix) => prefix.split("/")[0]);
      return `Connected; ${[self?.Name.replace(/\.$/, ""), ...addresses].join(" ")}`;
    }
  }
}

/** Keeps STATUS in step with the node until it is told to stop. */
export function followStatus(backend: Backend, service: ServiceStatus): () => void {
  const watcher = backend.bus.watch(0);
  const say = () => service.status(statusLine(backend));
  say();
  (async () => {
    for await (const _change of watcher.messages()) say();
  })();
  return () => backend.bus.unwatch(watcher);
}

/** Speaks to systemd where it started us, and else to nobody. */
export function openServiceStatus(engine: Pick<Engine, "heartbeat">): ServiceStatus {
  const { socket: name, watchdogMs } = takeServiceEnvironment(Deno.env, Deno.pid);
  const address = name === undefined ? undefined : notifyAddress(name);
  const socket = address === undefined ? undefined : openNotifySocket(address);
  return new ServiceStatus({
    send: (text) => void socket?.send(text),
    watchdogMs: socket === undefined ? undefined : watchdogMs,
    heartbeat: () => engine.heartbeat(),
    scheduler: systemScheduler,
  });
}
