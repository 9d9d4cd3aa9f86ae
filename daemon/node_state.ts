/**
 * The state the node is in, and what entering one means. `update` is the one place where it changes; whatever changes an
 * input of `nextState` calls it, now or as soon as the work at hand is done.
 */
import { isDown, nextState, STATE_NUMBER } from "./backend_state.ts";
import type { BackendState } from "./backend_state.ts";
import type { Bus } from "./bus.ts";
import type { ControlSession } from "./control_session.ts";
import type { CurrentNetmap } from "./current_netmap.ts";
import type { Datapath } from "./datapath.ts";
import type { Log } from "./log.ts";
import type { NodeLogin } from "./node_login.ts";
import type { Prefs } from "./prefs.ts";

/** What the state follows from, and what follows from it. */
export interface StatePorts {
  readonly datapath: Datapath;
  readonly bus: Bus;
  readonly log: Log;
  prefs(): Prefs;
  login(): NodeLogin;
  current(): CurrentNetmap;
  session(): ControlSession | undefined;
  /** A turn is over: health is told. */
  turned(): void;
}

/** The state; "NoState" at first. */
export class NodeState {
  readonly #ports: StatePorts;
  #value: BackendState = "NoState";
  #sawLive = false;
  #queued = false;
  #closed = false;

  constructor(ports: StatePorts) {
    this.#ports = ports;
  }

  get value(): BackendState {
    return this.#value;
  }

  /** In a state in which nothing is configured. */
  get isDown(): boolean {
    return isDown(this.#value);
  }

  /** A stopped node does not speak to control. */
  get wantsPause(): boolean {
    const { WantRunning, LoggedOut, persist } = this.#ports.prefs();
    return !WantRunning && !LoggedOut && persist?.nodeKey !== undefined && !this.#ports.login().blocked;
  }

  /** Nothing is known of what comes. */
  reset(): void {
    this.#value = "NoState";
  }

  /** Packets have passed. */
  sawLive(): void {
    this.#sawLive = true;
    this.updateSoon();
  }

  updateSoon(): void {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (!this.#closed) this.update();
    });
  }

  /** Takes the state that follows from everything known, and does what entering it means. */
  update(): void {
    const { datapath, prefs, login, current, session, turned } = this.#ports;
    const { WantRunning, LoggedOut, persist } = prefs();
    for (;;) {
      const { netmap, keyExpired } = current();
      const old = this.#value;
      const next = nextState({
        state: old,
        wantRunning: WantRunning,
        loggedOut: LoggedOut,
        haveNodeKey: persist?.nodeKey !== undefined,
        blocked: login().blocked,
        authCantContinue: session()?.authCantContinue ?? true,
        haveNetmap: netmap !== undefined,
        keyExpired,
        machineAuthorized: netmap?.self.MachineAuthorized === true,
        live: this.#sawLive || datapath.relayed,
      });
      if (next === old) break;
      this.#enter(old, next);
    }
    session()?.setPaused(this.wantsPause);
    turned();
  }

  /** Nothing is updated any more that was to be soon. */
  close(): void {
    this.#closed = true;
  }

  #enter(old: BackendState, next: BackendState): void {
    const { bus, log, login, current } = this.#ports;
    this.#value = next;
    log.info(`state ${old} -> ${next}`);
    bus.send({ State: STATE_NUMBER[next] });
    if (isDown(next)) {
      if (next === "NeedsLogin") login().block();
      this.#sawLive = false;
      current().cancelExpiry();
      current().down();
      return;
    }
    if (next === "Running") login().end();
    if (isDown(old)) current().configure();
  }
}
