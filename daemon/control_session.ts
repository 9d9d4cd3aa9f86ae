/**
 * One control server, from login to map poll, for as long as the preferences point to it.
 *
 * Two loops run side by side, so that the old key's map goes on while a person is still confirming the new key:
 * ```
 *   login loop:  goal ──register──▶ registered ──▶ no goal, poll (again) with the new key
 *                 ▲ │                auth-url ────▶ goal: wait for the person, same key
 *                 │ │                key-expired ─▶ goal: a new key, naming the old one
 *                 │ │                needs-signature ▶ goal: a new key, with the old signature rotated to it
 *                 │ └──back-off────  rejected, error
 *   poll loop:   logged in ──poll──▶ netmap, netmap, …
 *                 └──── node-unknown ──▶ not logged in, goal: register
 * ```
 * Source: control/controlclient/auto.go (authRoutine, mapRoutine), direct.go (doLogin).
 */
import { NodePrivate } from "../base/keys.ts";
import type { DiscoPublic, RandomBytes } from "../base/keys.ts";
import { LockPrivate } from "../base/lock_key.ts";
import { sleep } from "../base/clock.ts";
import type { Scheduler } from "../base/clock.ts";
import type { Secret } from "../base/secret.ts";
import { assertNever } from "../base/assert_never.ts";
import { Backoff } from "../control/client/backoff.ts";
import { ControlError } from "../control/client/errors.ts";
import type { ControlErrorCode } from "../control/client/errors.ts";
import type { Netmap, NetmapChange } from "../control/client/netmap.ts";
import type { ControlApi, EndpointInput, NodeState, PollState, RegisterOutcome } from "../control/client/types.ts";
import type { Hostinfo } from "../control/wire/tailcfg.ts";
import { BackendError } from "./backend_options.ts";
import { registerNewKey } from "./key_renewal.ts";
import type { RenewalRequest } from "./key_renewal.ts";
import { resign, signByAuthKey } from "./lock/key_signature.ts";
import type { Log } from "./log.ts";
import type { Persist } from "./persist.ts";

/** What the session tells the backend, one call at a time and never from within a call of the backend. */
export interface SessionEvents {
  /** Keys or login changed; to be kept before anything is done with them. False when they could not be stored. */
  persistChanged(persist: Persist): boolean;
  /** A person is to open this URL. */
  authUrl(url: string): void;
  /** The login succeeded. */
  loggedIn(): void;
  /** The login failed for now. `passing` when it may mend itself, as a matter of the network. */
  loginFailed(text: string, passing: boolean): void;
  netmap(netmap: Netmap, change: NetmapChange): void;
  /** The poll's connection; "ended" when none runs. */
  pollState(state: PollState | { readonly kind: "ended" }): void;
  /** The server will not be spoken to again: its key changed, or its URL cannot be used. */
  refused(error: ControlError): void;
  /** Whether a login can go on by itself may have changed. */
  progress(): void;
  clockDelta(deltaMs: number): void;
  openUrl(url: string): void;
  /** Control asks for a ping of an address; the answer goes back as JSON. */
  ping(ip: string, type: string): Promise<unknown>;
}

/** What a session is made of. */
export interface SessionOptions {
  readonly api: ControlApi;
  readonly persist: Persist;
  readonly hostinfo: Hostinfo;
  readonly endpoints: readonly EndpointInput[];
  readonly discoKey: DiscoPublic;
  readonly tkaHead: string;
  readonly authKey: Secret | undefined;
  readonly ephemeral: boolean;
  readonly paused: boolean;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
  readonly events: SessionEvents;
}

/** After an error nobody foresaw. */
const BROKEN_LOOP_MS = 1_000;
/** A poll that lasted this long was a good one. */
const LASTING_POLL_MS = 30_000;

/** Errors that go away by themselves: a network comes up, a rate limit ends. */
const PASSING: ReadonlySet<ControlErrorCode> = new Set([
  "unreachable",
  "connection-lost",
  "timeout",
  "rate-limited",
  "closed",
]);

/** What the login loop is after. */
interface Goal {
  /** Make a new key, as after expiry or for an interactive login. */
  readonly regen: boolean;
  /** The key being registered; kept over all tries of this goal. */
  readonly key?: NodePrivate;
  /** Where the person is expected. */
  readonly url?: string;
  /** The old key's signature of Tailnet Lock, to be rotated to the new key. */
  readonly oldSignature?: Uint8Array;
}

/** The session; ends with `close`. */
export class ControlSession {
  readonly #options: SessionOptions;
  readonly #log: Log;
  readonly #end = new AbortController();
  readonly #loginBackOff: Backoff;
  readonly #pollBackOff: Backoff;
  readonly #loops: Promise<void>;
  #persist: Persist;
  #node: NodeState;
  #authKey: Secret | undefined;
  #goal: Goal | undefined;
  #loggedIn = false;
  #paused: boolean;
  #renewalTurn: AbortController | undefined;
  #loginTurn = new AbortController();
  #pollTurn = new AbortController();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#loginBackOff = new Backoff(options.random);
    this.#pollBackOff = new Backoff(options.random);
    this.#persist = options.persist;
    this.#authKey = options.authKey;
    this.#paused = options.paused;
    const { hostinfo, endpoints, discoKey, tkaHead } = options;
    this.#node = { hostinfo, endpoints, discoKey, tkaHead };
    this.#loops = Promise.all([
      this.#loop(() => this.#loginTurn = new AbortController(), (signal) => this.#login(signal)),
      this.#loop(() => this.#pollTurn = new AbortController(), (signal) => this.#poll(signal)),
    ]).then(() => {});
  }

  /** The login waits for a person or for a command; it does not go on by itself. */
  get authCantContinue(): boolean {
    return !this.#loggedIn && (this.#goal === undefined || this.#goal.url !== undefined);
  }

  /** Logs in: with the key there is, or interactively with a new one. Replaces a login under way. */
  login(interactive: boolean): void {
    this.#goal = { regen: interactive };
    this.#loginTurn.abort();
  }

  /**
   * Has control take a new key while the map goes on with the old one, which is replaced only then. Rejects when control
   * would not, or could not be told; nothing has changed then.
   */
  async renew(request: RenewalRequest, caller: AbortSignal): Promise<void> {
    const turn = this.#renewalTurn = new AbortController();
    const signal = AbortSignal.any([caller, turn.signal, this.#end.signal]);
    const { nodeKey, registration } = await registerNewKey(
      {
        ...this.#options,
        persist: () => this.#persist,
        keep: (persist) => this.#keep(persist),
        hostinfo: this.#node.hostinfo,
      },
      request,
      signal,
    );
    // Whoever logged out or stopped the node meanwhile is not to be overruled; the key stays stored as one that was tried.
    signal.throwIfAborted();
    // A login that began because control knew the old key no more has nothing left to do.
    this.#loginTurn.abort();
    this.#registered(nodeKey, this.#persist.nodeKey, registration);
  }

  /** Stops or resumes speaking to control; a login under way is kept. */
  setPaused(paused: boolean): void {
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#renewalTurn?.abort(new BackendError("the node was stopped meanwhile"));
    this.#loginTurn.abort();
    this.#pollTurn.abort();
  }

  /** The machine's addresses changed: connections over the old ones may be dead without knowing. */
  reconnect(): void {
    this.#options.api.reconnect();
  }

  get loggedIn(): boolean {
    return this.#loggedIn;
  }

  /** Tells control of changes of this node, now or with the next poll. */
  update(change: Partial<NodeState>): void {
    this.#node = { ...this.#node, ...change };
    this.#options.api.update(change);
  }

  /** Expires the node key at control. @throws ControlError */
  async logout(signal: AbortSignal): Promise<void> {
    const { nodeKey, lockKey } = this.#persist;
    this.#goal = undefined;
    this.#loggedIn = false;
    this.#renewalTurn?.abort(new BackendError("the node was logged out meanwhile"));
    this.#loginTurn.abort();
    this.#pollTurn.abort();
    if (nodeKey === undefined || lockKey === undefined) return;
    const { hostinfo } = this.#node;
    const { ephemeral } = this.#options;
    await this.#options.api.logout({ nodeKey: nodeKey.public, lockKey: lockKey.public, hostinfo, ephemeral }, signal);
  }

  /** Ends both loops; resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#end.abort();
    this.#loginTurn.abort();
    this.#pollTurn.abort();
    this.#options.api.close();
    await this.#loops;
  }

  /** Runs turns until closed. A turn that is aborted just ends; the next one looks at what has changed. */
  async #loop(begin: () => AbortController, turn: (signal: AbortSignal) => Promise<void>): Promise<void> {
    while (!this.#end.signal.aborted) {
      const { signal } = begin();
      try {
        await turn(signal);
      } catch (error) {
        if (signal.aborted || this.#end.signal.aborted) continue;
        this.#log.error(`a control loop failed: ${error instanceof Error ? error.stack : error}`);
        await sleep(this.#options.scheduler, BROKEN_LOOP_MS, signal).catch(() => {});
      }
    }
  }

  async #login(signal: AbortSignal): Promise<void> {
    const goal = this.#goal;
    if (goal === undefined || this.#paused) return await aborted(signal);
    const events = this.#options.events;
    const prepared = this.#prepare(goal);
    const signature = this.#signatureOf(prepared.key, goal);
    let outcome: RegisterOutcome;
    try {
      outcome = await this.#options.api.register({
        nodeKey: prepared.key.public,
        ...(prepared.oldKey && { oldNodeKey: prepared.oldKey.public }),
        lockKey: this.#lockKey().public,
        ...(this.#authKey && { authKey: this.#authKey }),
        ...(goal.url !== undefined && { followup: goal.url }),
        ...(signature && { nodeKeySignature: signature }),
        hostinfo: this.#node.hostinfo,
        ephemeral: this.#options.ephemeral,
      }, signal);
    } catch (error) {
      if (signal.aborted) return;
      return await this.#loginError(error, signal);
    }
    // A command given meanwhile has a goal of its own; this outcome is not what it asked for.
    if (this.#goal !== prepared.goal || signal.aborted) return;
    switch (outcome.kind) {
      case "registered":
        return this.#registered(prepared.key, prepared.oldKey, outcome);
      case "auth-url": {
        if (this.#triesLostKey(goal)) return;
        const again = outcome.url === goal.url;
        this.#goal = { ...prepared.goal, url: outcome.url };
        events.authUrl(outcome.url);
        events.progress();
        // The same URL at once, without waiting for the person, would make this a busy loop.
        if (again) await this.#pause(this.#loginBackOff, signal);
        else this.#loginBackOff.reset();
        return;
      }
      case "key-expired": {
        const { tryingKey } = this.#persist;
        const wasLost = tryingKey !== undefined && goal.key?.public.equals(tryingKey.public) === true;
        if (this.#triesLostKey(goal)) return;
        if (!goal.regen || wasLost) {
          this.#log.info("control says that the node key has expired; making a new one");
          this.#goal = { regen: true };
          return;
        }
        return await this.#loginError(new Error("control says that a new node key has expired already"), signal);
      }
      case "needs-signature":
        if (goal.oldSignature === undefined) {
          this.#log.info("control wants the lock's signature of the old node key for a new one");
          this.#goal = { ...(goal.regen && { key: prepared.key }), regen: true, oldSignature: outcome.oldSignature };
          return;
        }
        return await this.#loginError(
          new Error(
            "Cannot log in: control does not take the signature this node made for its new key; sign it on a node " +
              "with a trusted key",
          ),
          signal,
        );
      case "rejected":
        this.#dropAuthKey(goal);
        return await this.#loginError(new Error(outcome.reason), signal);
      default:
        assertNever(outcome);
    }
  }

  /**
   * Control refuses the key there is. It may have taken a new one in a renewal whose answer never came: that one is tried
   * next, once.
   */
  #triesLostKey(goal: Goal): boolean {
    const { tryingKey, ...persist } = this.#persist;
    if (tryingKey === undefined) return false;
    if (!goal.regen) {
      this.#log.info("control does not take the node key; trying the one of a renewal that was cut short");
      this.#goal = { regen: true, key: tryingKey };
      return true;
    }
    this.#keep(persist);
    return false;
  }

  /** An auth key that was rejected stays so: a node that is known may do without, a new one waits for a command. */
  #dropAuthKey(goal: Goal): void {
    if (this.#authKey === undefined) return;
    this.#authKey = undefined;
    if (goal.regen || this.#persist.nodeKey === undefined) this.#goal = undefined;
  }

  /** The key to register and the one it replaces; remembers them in the goal. */
  #prepare(goal: Goal): { goal: Goal; key: NodePrivate; oldKey: NodePrivate | undefined } {
    const { nodeKey, oldNodeKey } = this.#persist;
    if (!goal.regen && nodeKey !== undefined) return { goal, key: nodeKey, oldKey: oldNodeKey };
    const key = goal.key ?? NodePrivate.generate(this.#options.random);
    const remembered = goal.key === undefined ? { ...goal, regen: true, key } : goal;
    this.#goal = remembered;
    return { goal: remembered, key, oldKey: nodeKey };
  }

  /** What Tailnet Lock takes the key by, where this node can make it. */
  #signatureOf(key: NodePrivate, { oldSignature }: Goal): Uint8Array | undefined {
    if (oldSignature === undefined) return signByAuthKey(this.#authKey, key.public);
    return resign(this.#lockKey(), key.public, oldSignature) ?? signByAuthKey(this.#authKey, key.public);
  }

  #lockKey(): LockPrivate {
    const known = this.#persist.lockKey;
    if (known !== undefined) return known;
    const lockKey = LockPrivate.generate(this.#options.random);
    this.#keep({ ...this.#persist, lockKey });
    return lockKey;
  }

  #keep(persist: Persist): boolean {
    this.#persist = persist;
    return this.#options.events.persistChanged(persist);
  }

  #registered(
    key: NodePrivate,
    oldKey: NodePrivate | undefined,
    outcome: Extract<RegisterOutcome, { kind: "registered" }>,
  ): void {
    const { user, login } = outcome;
    this.#goal = undefined;
    this.#authKey = undefined;
    this.#loggedIn = true;
    this.#loginBackOff.reset();
    const { tryingKey, ...persist } = this.#persist;
    // That control takes the key there was says nothing of one that a renewal still waits for.
    const waits = tryingKey !== undefined && persist.nodeKey?.public.equals(key.public) === true;
    this.#keep({
      ...persist,
      ...(waits && { tryingKey }),
      nodeKey: key,
      oldNodeKey: oldKey,
      userProfile: {
        ID: user?.ID ?? 0,
        LoginName: login?.LoginName ?? "",
        DisplayName: login?.DisplayName || user?.DisplayName || "",
        ...(login?.ProfilePicURL && { ProfilePicURL: login.ProfilePicURL }),
      },
    });
    this.#options.events.loggedIn();
    this.#pollTurn.abort();
  }

  async #loginError(error: unknown, signal: AbortSignal): Promise<void> {
    const text = error instanceof Error ? error.message : String(error);
    const final = error instanceof ControlError && !error.retryable && error.code !== "http";
    this.#options.events.loginFailed(text, error instanceof ControlError && PASSING.has(error.code));
    if (final) {
      this.#options.events.refused(error);
      return await aborted(signal);
    }
    await this.#pause(this.#loginBackOff, signal, error instanceof ControlError ? error.retryAfterMs : undefined);
  }

  #pause(backOff: Backoff, signal: AbortSignal, leastMs = 0): Promise<void> {
    return sleep(this.#options.scheduler, Math.max(backOff.next(), leastMs), signal);
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { events, api } = this.#options;
    const nodeKey = this.#persist.nodeKey;
    if (!this.#loggedIn || this.#paused || nodeKey === undefined) return await aborted(signal);
    const began = this.#options.scheduler.monotonic();
    const end = await api.poll({ ...this.#node, nodeKey: nodeKey.public }, {
      netmap: (netmap, change) => events.netmap(netmap, change),
      status: (state) => events.pollState(state),
      clockDelta: (deltaMs) => events.clockDelta(deltaMs),
      openUrl: (url) => events.openUrl(url),
      ping: (request, type) => events.ping(request.IP ?? "", type),
    }, signal);
    events.pollState({ kind: "ended" });
    switch (end.kind) {
      case "aborted":
        return;
      case "node-unknown":
        this.#log.info(`control does not accept this node key: ${end.reason}; registering again`);
        return await this.#registerAgain(began, signal);
      case "failed":
        if (end.error.code === "closed") return await aborted(signal);
        this.#log.error(end.error.message);
        events.refused(end.error);
        return await aborted(signal);
      default:
        assertNever(end);
    }
  }

  async #registerAgain(began: number, signal: AbortSignal): Promise<void> {
    this.#loggedIn = false;
    this.#options.events.progress();
    // A server that lets a key register but not poll would otherwise be asked without pause.
    if (this.#options.scheduler.monotonic() - began > LASTING_POLL_MS) this.#pollBackOff.reset();
    else await this.#pause(this.#pollBackOff, signal);
    this.#goal ??= { regen: false };
    this.#loginTurn.abort();
  }
}

/** Resolves when the signal fires. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
