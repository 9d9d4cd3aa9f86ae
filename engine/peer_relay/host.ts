/** The main thread's end of the peer relay's worker. */
import { fromHex, toHex } from "../../base/bytes.ts";
import type { RelayRequest, RelaySessionConfig } from "../config.ts";
import type { Ring } from "../dataplane/ring.ts";
import type { WakePort } from "../ports.ts";
import { decodeRelayRecord, encodeRelayRecord, RECORD_RELAY } from "./records.ts";
import type { RelayCommand, RelayEvent, RelayStatus } from "./records.ts";

/** What a host is made of. */
export interface RelayHostOptions {
  readonly localPorts: { readonly udp4: number; readonly udp6: number };
  readonly commands: Ring;
  readonly events: Ring;
  readonly wake: WakePort;
  /** A STUN answer arrived on one of the server's sockets; `from` is `ip:port`. */
  stunReceived(payload: Uint8Array, from: string): void;
  /** Resolves when the worker ended, after a stop command or by a fault. */
  readonly stopped: Promise<void>;
}

/** A running peer relay server. */
export class RelayHost {
  readonly #options: RelayHostOptions;
  readonly #allocations = new Map<number, (session: RelaySessionConfig | undefined) => void>();
  readonly #statuses = new Map<number, (status: RelayStatus | undefined) => void>();
  #nextId = 1;
  #closed = false;
  /** `Atomics.waitAsync` alone does not keep the event loop alive, and the answer to a call would be lost with it. */
  readonly #alive = setInterval(() => {}, 60_000);
  readonly #reading: Promise<void>;

  constructor(options: RelayHostOptions) {
    this.#options = options;
    this.#reading = this.#readEvents().finally(() => clearInterval(this.#alive));
    void options.stopped.then(() => this.#end());
  }

  /** UDP ports bound, 0 where a family is absent. */
  get localPorts(): { readonly udp4: number; readonly udp6: number } {
    return this.#options.localPorts;
  }

  /** A session for who asks; undefined when there can be none now. */
  allocate(request: RelayRequest): Promise<RelaySessionConfig | undefined> {
    return this.#ask(this.#allocations, (id) => ({ kind: "allocate", id, request }));
  }

  /** Undefined when the worker is gone. */
  status(): Promise<RelayStatus | undefined> {
    return this.#ask(this.#statuses, (id) => ({ kind: "status", id }));
  }

  /** Where clients may reach the server, `ip:port`. */
  setAddresses(addrs: readonly string[]): void {
    this.#send({ kind: "addresses", addrs });
  }

  sendStun(to: string, payload: Uint8Array): void {
    this.#send({ kind: "stun", to, payload: toHex(payload) });
  }

  async close(): Promise<void> {
    this.#send({ kind: "stop" });
    await this.#options.stopped;
    await this.#reading;
  }

  #ask<T>(
    waiting: Map<number, (answer: T | undefined) => void>,
    command: (id: number) => RelayCommand,
  ): Promise<T | undefined> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      if (this.#send(command(id))) return;
      waiting.delete(id);
      resolve(undefined);
    });
  }

  /** False when the worker is gone or far behind. */
  #send(command: RelayCommand): boolean {
    if (this.#closed || !this.#options.commands.write(RECORD_RELAY, encodeRelayRecord(command))) return false;
    this.#options.wake.wake();
    return true;
  }

  #end(): void {
    this.#closed = true;
    this.#options.events.nudge();
    for (const resolve of [...this.#allocations.values(), ...this.#statuses.values()]) resolve(undefined);
    this.#allocations.clear();
    this.#statuses.clear();
  }

  async #readEvents(): Promise<void> {
    const { events } = this.#options;
    while (!this.#closed) {
      const seen = events.signal;
      let any = false;
      while (events.read((_type, payload) => this.#event(decodeRelayRecord(payload)))) any = true;
      if (!any) await events.written(seen);
    }
  }

  #event(event: RelayEvent): void {
    switch (event.kind) {
      case "allocated":
        this.#allocations.get(event.id)?.(event.session);
        this.#allocations.delete(event.id);
        return;
      case "status":
        this.#statuses.get(event.id)?.(event.status);
        this.#statuses.delete(event.id);
        return;
      case "stun":
        return this.#options.stunReceived(fromHex(event.payload)!, event.from);
    }
  }
}
