/**
 * The backend's side of a session with control: how one is opened for the login there is, whether its map poll stands,
 * and what time control has.
 */
import { fromHex, toHex } from "../base/bytes.ts";
import { DiscoPublic } from "../base/keys.ts";
import type { Secret } from "../base/secret.ts";
import type { ControlError } from "../control/client/errors.ts";
import type { ControlApi, PollState } from "../control/client/types.ts";
import type { Hostinfo } from "../control/wire/tailcfg.ts";
import { BackendError } from "./backend_options.ts";
import type { BackendOptions } from "./backend_options.ts";
import { ControlClock } from "./control_clock.ts";
import { ControlSession } from "./control_session.ts";
import type { SessionEvents } from "./control_session.ts";
import type { Datapath } from "./datapath.ts";
import { heldExit } from "./datapath_policy.ts";
import type { Health } from "./health.ts";
import { buildHostinfo } from "./hostinfo.ts";
import type { NodeLogin } from "./node_login.ts";
import type { NodeState } from "./node_state.ts";
import { EMPTY_PERSIST } from "./persist.ts";
import { isPingType } from "./ping.ts";
import type { PingResult, PingType } from "./ping.ts";
import { controlUrl } from "./prefs.ts";
import type { SavedPrefs } from "./saved_prefs.ts";

/** What it works on. */
export interface LinkPorts
  extends
    Pick<BackendOptions, "version" | "ephemeral" | "lock" | "connect" | "host" | "scheduler" | "random" | "log">,
    Pick<SessionEvents, "netmap"> {
  readonly saved: SavedPrefs;
  readonly datapath: Datapath;
  readonly health: Health;
  readonly login: NodeLogin;
  readonly state: NodeState;
  ping(ip: string, type: PingType): Promise<PingResult>;
}

/** The link; one for the life of the daemon. */
export class ControlLink {
  readonly #ports: LinkPorts;
  readonly #clock: ControlClock;
  /** Names this run of the daemon in its own log and to control. */
  readonly logId: string;
  #online = false;

  constructor(ports: LinkPorts) {
    this.#ports = ports;
    this.#clock = new ControlClock(ports.scheduler);
    this.logId = toHex(ports.random(32));
  }

  /** The map poll is connected. */
  get online(): boolean {
    return this.#online;
  }

  /** Unix milliseconds by control's clock, where that can be true. */
  now(): number {
    return this.#clock.now();
  }

  /** What control is told of this machine. */
  hostinfo(): Hostinfo {
    const { host, version, saved, datapath } = this.#ports;
    const { current: prefs } = saved;
    return buildHostinfo(host, { version, backendLogId: this.logId, prefs, netInfo: datapath.netInfo });
  }

  /** A session for the login there is, which it tries at once. @throws BackendError for a server that cannot be used */
  open(authKey: Secret | undefined): ControlSession {
    const { scheduler, random, log, ephemeral, connect, saved, datapath, health, lock, login, state } = this.#ports;
    const prefs = saved.current;
    datapath.hold(heldExit(prefs));
    let api: ControlApi;
    try {
      api = connect(controlUrl(prefs));
    } catch (cause) {
      throw new BackendError(cause instanceof Error ? cause.message : String(cause), { cause });
    }
    health.clear("agent-server-key-changed");
    health.clear("login-state");
    lock.bind(saved.profileId, controlUrl(prefs));
    lock.connect(api);
    const session = new ControlSession({
      api,
      persist: prefs.persist ?? EMPTY_PERSIST,
      hostinfo: this.hostinfo(),
      endpoints: [...datapath.endpoints],
      discoKey: new DiscoPublic(fromHex(datapath.engine.discoKey)!),
      tkaHead: lock.head,
      authKey,
      ephemeral,
      paused: state.wantsPause,
      scheduler,
      random,
      log: log.child("control"),
      events: this.#events(),
    });
    if (!prefs.LoggedOut && prefs.persist?.nodeKey !== undefined) login.begin(session, false);
    return session;
  }

  /** No poll stands any more. */
  setOffline(): void {
    this.#setOnline(false);
  }

  #events(): SessionEvents {
    const { saved, login, netmap, state } = this.#ports;
    return {
      persistChanged: (persist) => saved.setKeys(persist),
      authUrl: (url) => login.gotUrl(url),
      loggedIn: () => login.succeeded(),
      loginFailed: (text, passing) => login.failed(text, passing),
      netmap,
      pollState: (poll) => this.#gotPollState(poll),
      refused: (error) => this.#refused(error),
      progress: () => state.updateSoon(),
      clockDelta: (deltaMs) => this.#clock.delta = deltaMs,
      openUrl: (url) => login.openUrl(url),
      ping: (ip, type) => this.#answerPing(ip, type),
    };
  }

  /** Control asks how a peer is reached; the answer is Go's `tailcfg.PingResponse`. */
  async #answerPing(ip: string, type: string): Promise<Record<string, unknown>> {
    if (!isPingType(type)) return { Type: type, IP: ip, Err: "unknown ping type" };
    return { Type: type, ...await this.#ports.ping(ip, type) };
  }

  #refused(error: ControlError): void {
    const { health, scheduler, state } = this.#ports;
    this.#setOnline(false);
    if (error.code === "server-key-changed") {
      health.warn("agent-server-key-changed", scheduler.wall(), { error: error.message });
    }
    state.update();
  }

  #gotPollState(poll: PollState | { readonly kind: "ended" }): void {
    const { health, log, scheduler, state } = this.#ports;
    this.#setOnline(poll.kind === "connected");
    if (poll.kind === "retrying") {
      health.warn("agent-control-unreachable", scheduler.wall(), { error: poll.error.message });
      log.warn(`map poll: ${poll.error.message}`);
    } else if (poll.kind === "connected") {
      health.clear("not-in-map-poll");
      health.clear("agent-control-unreachable");
    }
    state.updateSoon();
  }

  #setOnline(online: boolean): void {
    this.#online = online;
    this.#ports.datapath.setControlOnline(online);
  }
}
