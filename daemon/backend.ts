/**
 * The node: preferences, login, netmap and data path, and the state that follows from them.
 *
 * ```
 *   LocalAPI ──▶ Backend ──▶ ControlSession ──▶ control server
 *                  │  ▲            │
 *                  │  └─ netmap, login, poll
 *                  ├──▶ Datapath (engine, relays, endpoints, routes)
 *                  └──▶ Bus ──▶ watchers
 * ```
 * All methods run on the main thread; whatever changes an input of the state ends in `#update`, the one place where the
 * state changes. Source: ipn/ipnlocal/local.go.
 */
import { fromHex, toHex } from "../base/bytes.ts";
import { DiscoPublic } from "../base/keys.ts";
import type { Timer } from "../base/clock.ts";
import type { Secret } from "../base/secret.ts";
import { ControlError } from "../control/client/errors.ts";
import type { Netmap, NetmapChange } from "../control/client/netmap.ts";
import type { ControlApi, PollState } from "../control/client/types.ts";
import type { Hostinfo, Node } from "../control/wire/tailcfg.ts";
import type { LocalEndpoint } from "../engine/config.ts";
import { isDown, nextState, STATE_NUMBER } from "./backend_state.ts";
import type { BackendState } from "./backend_state.ts";
import { BackendError, CONFIG_LOCKED } from "./backend_options.ts";
import type { BackendOptions, StartOptions } from "./backend_options.ts";
import { Bus, WATCH } from "./bus.ts";
import { checkPrefs } from "./check_prefs.ts";
import { ControlClock } from "./control_clock.ts";
import { ControlSession } from "./control_session.ts";
import type { Datapath } from "./datapath.ts";
import { changesDatapath, datapathPolicy, heldExit } from "./datapath_policy.ts";
import type { Dns } from "./dns/dns.ts";
import { suggestExitNode, wantedExitNode } from "./exit_node.ts";
import { ExpiryTimer } from "./expiry_timer.ts";
import { Health } from "./health.ts";
import { HealthLog } from "./health_log.ts";
import { HealthWatch } from "./health_watch.ts";
import type { ReportedProblem } from "./health_watch.ts";
import { buildHostinfo } from "./hostinfo.ts";
import type { TailnetLock } from "./lock/tailnet_lock.ts";
import { KeyRenewal } from "./key_renewal.ts";
import type { RenewedKey } from "./key_renewal.ts";
import type { LoginProfile } from "./login_profile.ts";
import { AwaitedLogin, isLoginUrl } from "./login_url.ts";
import { NodeView } from "./node_view.ts";
import { peerNotice } from "./peer_notices.ts";
import { isPingType, ping } from "./ping.ts";
import type { PingResult, PingType } from "./ping.ts";
import { EMPTY_PERSIST } from "./persist.ts";
import type { Persist } from "./persist.ts";
import { applyChange, change, changedPrefs, controlUrl, publicPrefs } from "./prefs.ts";
import type { MaskedPrefs, Prefs } from "./prefs.ts";
import type { PrefValues } from "./pref_fields.ts";
import { isExpired } from "./router.ts";
import { SavedPrefs } from "./saved_prefs.ts";

/** How often time alone is allowed to change the health. */
const HEALTH_INTERVAL_MS = 5_000;
/** How long a logout may take at the end of an ephemeral node. */
const LOGOUT_MS = 5_000;

/** The node. */
export class Backend {
  readonly bus = new Bus();
  readonly health = new Health();
  readonly dns: Dns;
  readonly datapath: Datapath;
  /** Whether the configuration file alone may change preferences. */
  configLocked = false;
  readonly #options: BackendOptions;
  readonly #saved: SavedPrefs;
  readonly #backendLogId: string;
  #state: BackendState = "NoState";
  #session: ControlSession | undefined;
  #netmap: Netmap | undefined;
  #exitNode: string | undefined;
  #routes: readonly string[] = [];
  #view: NodeView | undefined;
  readonly #awaited = new AwaitedLogin();
  #blocked = false;
  #keyExpired = false;
  #online = false;
  #sawLive = false;
  readonly #controlClock: ControlClock;
  readonly #expiry: ExpiryTimer;
  readonly #watch: HealthWatch;
  readonly #healthLog: HealthLog;
  readonly #renewal: KeyRenewal;
  #healthTimer: Timer | undefined;
  #updateQueued = false;
  #serial: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: BackendOptions) {
    this.#options = options;
    const { profiles, log, scheduler } = options;
    this.#saved = new SavedPrefs(profiles, this.health, log, () => scheduler.wall());
    this.#backendLogId = toHex(options.random(32));
    this.#controlClock = new ControlClock(options.scheduler);
    this.#expiry = new ExpiryTimer(options.scheduler, () => this.#lookAtExpiry());
    this.dns = options.dns;
    this.datapath = options.datapath({
      live: () => {
        this.#sawLive = true;
        this.#updateSoon();
      },
      endpointsChanged: (endpoints) => this.#session?.update({ endpoints: [...endpoints] }),
      netInfoChanged: () => this.#session?.update({ hostinfo: this.#hostinfo() }),
      relaysChanged: () => this.#updateSoon(),
      failed: options.failed,
    });
    this.#healthLog = new HealthLog(log);
    this.#watch = new HealthWatch(this.health, {
      ...options,
      datapath: this.datapath,
      changed: () => this.#updateSoon(),
    });
    this.#renewal = new KeyRenewal({
      ...options,
      prefs: () => this.prefs,
      session: () => this.#session,
      self: () => this.#netmap?.self,
      loginWaits: () => this.authUrl !== "",
      authUrl: (url) => this.#renewAt(url),
    });
    options.lock.onChange(() => this.#lockChanged());
    this.#healthTick();
  }

  get version(): string {
    return this.#options.version;
  }
  /** Names this run of the daemon in its own log and to control. */
  get logId(): string {
    return this.#backendLogId;
  }
  get state(): BackendState {
    return this.#state;
  }
  get prefs(): Prefs {
    return this.#saved.current;
  }
  /** A restart finds the preferences as they are. */
  get prefsStored(): boolean {
    return this.#saved.stored;
  }
  /** The netmap after the lock; undefined before the first. */
  get view(): NodeView | undefined {
    return this.#view;
  }
  /** Where a person is to log in, "" for nowhere. */
  get authUrl(): string {
    return this.#awaited.url;
  }
  /** The map poll is connected. */
  get online(): boolean {
    return this.#online;
  }
  get hostname(): string {
    return this.prefs.Hostname || this.#options.host.hostname;
  }
  /** Unix milliseconds by our clock, and by control's where that can be true. */
  get now(): number {
    return this.#options.scheduler.wall();
  }
  get controlNow(): number {
    return this.#controlClock.now();
  }
  /** Stable ID of the exit node in use, "" while the one that is set is not there, undefined while none is set. */
  get exitNode(): string | undefined {
    return this.#exitNode;
  }
  /** Prefixes that lead to peers. */
  get routes(): readonly string[] {
    return this.#routes;
  }
  get endpoints(): readonly LocalEndpoint[] {
    return this.datapath.endpoints;
  }

  /** Tailnet Lock of this node. */
  get lock(): TailnetLock {
    return this.#options.lock;
  }

  /** Health as sentences, brought up to date. */
  healthStrings(): string[] {
    this.#updateHealth();
    return this.health.strings(this.now);
  }

  /**
   * Begins (again) with these preferences: a new session with the control server they name. The daemon calls it once by
   * itself, `up` calls it for everything but a plain change of preferences. @throws BackendError
   */
  start(options: StartOptions = {}, by: "user" | "config" = "user"): Promise<void> {
    return this.#serialise(async () => {
      if (options.updatePrefs !== undefined) this.checkUsable(options.updatePrefs, by);
      const old = this.#session;
      this.#session = undefined;
      const oldUrl = controlUrl(this.prefs);
      this.lock.connect(undefined);
      await old?.close();
      if (options.updatePrefs !== undefined) {
        const { persist, unknown } = this.prefs;
        this.#saved.set({ ...options.updatePrefs, persist, unknown: { ...unknown, ...options.updatePrefs.unknown } });
      }
      if (controlUrl(this.prefs) !== oldUrl) this.#forgetNetmap();
      this.#state = "NoState";
      this.#awaited.end();
      this.#setOnline(false);
      this.#openSession(options.authKey);
      this.bus.send({ Prefs: publicPrefs(this.prefs) });
      this.#update();
    });
  }

  /** Changes preferences. @throws BackendError when they cannot be taken; nothing is changed then. */
  editPrefs(masked: MaskedPrefs, by: "user" | "config" = "user"): Prefs {
    if (masked.values.InternalExitNodePrior !== undefined) throw new BackendError("can't set Internal fields");
    const old = this.prefs;
    const next = applyChange(old, masked);
    this.checkUsable(next, by);
    const changed = changedPrefs(old, next);
    if (changed.length === 0) {
      this.#saved.retry();
      return old;
    }
    this.#options.log.info(`preferences changed: ${changed.join(", ")}`);
    this.#saved.set(next);
    this.#session?.update({ hostinfo: this.#hostinfo() });
    if (!old.WantRunning && next.WantRunning && this.#session?.loggedIn === false) this.#login(this.#session, false);
    this.datapath.hold(heldExit(this.prefs));
    if (changesDatapath(changed)) this.#reconfigure();
    this.bus.send({ Prefs: publicPrefs(this.prefs) });
    this.#update();
    return this.prefs;
  }

  /** Begins a login by a person, or names again the URL of the one that is waiting. @throws BackendError */
  loginInteractive(): void {
    const session = this.#session;
    if (session === undefined) {
      throw new BackendError("Cannot log in: no control server is configured that can be used");
    }
    if (this.#awaited.isFresh(this.now)) {
      this.bus.send({ BrowseToURL: this.authUrl });
      return;
    }
    this.#login(session, true);
    this.#update();
  }

  /** Puts a new node key in the place of the old one, which works until control has taken the new. @throws BackendError */
  renewKey(authKey: Secret | undefined, signal: AbortSignal): Promise<RenewedKey> {
    return this.#renewal.run(authKey, signal);
  }

  /** Expires the node key at control and forgets it here. @throws BackendError when control could not be told. */
  logout(signal: AbortSignal): Promise<void> {
    return this.#serialise(async () => {
      if (this.prefs.persist?.nodeKey === undefined) return;
      this.editPrefs(change({ WantRunning: false, LoggedOut: true }));
      try {
        await this.#session?.logout(signal);
      } catch (cause) {
        const text = cause instanceof Error ? cause.message : String(cause);
        if (!(cause instanceof ControlError) || cause.status !== 200) {
          throw new BackendError(`Cannot log out: the control server could not be told (${text}); try again`, {
            cause,
          });
        }
        // It was told and would not have it: it knows us no more, and we shall not know the key.
        this.#options.log.warn(text);
      }
      await this.#becomeAnother(() => {
        this.lock.forget();
        this.#saved.forget();
      });
    });
  }

  /** The current profile; its ID is "" until its first login. */
  get profile(): LoginProfile {
    return this.#saved.profile;
  }
  /** All profiles that were ever logged in, oldest first. */
  get profiles(): LoginProfile[] {
    return this.#saved.profiles;
  }

  /** Changes to another login and connects with it if it was connected. @throws BackendError when there is none. */
  switchProfile(id: string): Promise<void> {
    return this.#serialise(async () => {
      if (id === this.profile.ID) return;
      this.#assertUnlocked();
      if (!this.profiles.some((profile) => profile.ID === id)) throw new BackendError("profile not found");
      await this.#becomeAnother(() => this.#saved.switchTo(id));
    });
  }

  /** Leaves this login for a new one, which is stored once somebody logs in; until then a restart returns to the old. */
  newProfile(): Promise<void> {
    return this.#serialise(() => {
      this.#assertUnlocked();
      return this.#becomeAnother(() => this.#saved.startNew());
    });
  }

  /** Forgets a login, its keys and its part of the lock, without a word to control. @throws BackendError */
  deleteProfile(id: string): Promise<void> {
    return this.#serialise(async () => {
      // The ID becomes a path below the state directory, so it has to be one of ours.
      if (!this.profiles.some((profile) => profile.ID === id)) return;
      if (id !== this.profile.ID) {
        this.#saved.delete(id);
        this.lock.forgetProfile(id);
        return;
      }
      this.#assertUnlocked();
      await this.#becomeAnother(() => {
        this.lock.forget();
        this.#saved.forget();
      });
    });
  }

  /** Pings a peer by its address. Never rejects: what goes wrong is in the result. */
  ping(ip: string, type: PingType, size: number): Promise<PingResult> {
    const ports = { engine: this.datapath.engine, icmpEcho: this.#options.icmpEcho };
    return ping(ports, this.#view, ip, type, size, this.controlNow);
  }

  /** Links, addresses or rules of the machine changed. */
  networkChanged(addressesChanged: boolean): void {
    this.datapath.networkChanged(addressesChanged);
    if (addressesChanged) this.#session?.reconnect();
  }

  /** A part of the node tells what is wrong with it, "" when it is well again. */
  problem(code: ReportedProblem, text: string): void {
    this.#watch.problem(code, text, this.now);
    this.#updateSoon();
  }

  /**
   * Ends everything: routes restored, engine closed, an ephemeral node logged out. @param faulty after a fault: what keeps
   * packets on the way to an exit node that is set stays.
   */
  async close(faulty = false): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#expiry.cancel();
    this.#healthTimer?.cancel();
    this.#watch.close();
    await this.#serial.catch(() => {});
    this.lock.close();
    await this.dns.close();
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined && this.#options.ephemeral && session.loggedIn) {
      await session.logout(AbortSignal.timeout(LOGOUT_MS)).catch((error) =>
        this.#options.log.warn(`could not log out: ${error instanceof Error ? error.message : error}`)
      );
    }
    await Promise.all([session?.close(), this.datapath.close(faulty && heldExit(this.prefs) !== undefined)]);
    this.bus.close();
  }

  #serialise(run: () => Promise<void>): Promise<void> {
    const done = this.#serial.catch(() => {}).then(run);
    this.#serial = done;
    return done;
  }

  /** Ends the session and all that came of it; `change` says who the node is from now on. */
  async #becomeAnother(change: () => void): Promise<void> {
    this.lock.connect(undefined);
    await this.#session?.close();
    this.#session = undefined;
    try {
      change();
    } finally {
      this.#forgetNetmap();
      this.#awaited.end();
      this.#blocked = false;
      this.#setOnline(false);
      this.#state = "NoState";
      this.#openSession(undefined);
      this.bus.send({ Prefs: publicPrefs(this.prefs) });
      this.#update();
    }
  }

  /** @throws BackendError when preferences cannot be taken, or not from this side. */
  checkUsable(prefs: PrefValues, by: "user" | "config"): void {
    if (by === "user" && this.configLocked) throw new BackendError(CONFIG_LOCKED);
    const errors = checkPrefs(prefs);
    if (errors.length > 0) throw new BackendError(errors.join("\n"));
  }

  /** What the file declares is this login's. */
  #assertUnlocked(): void {
    if (this.configLocked) throw new BackendError(CONFIG_LOCKED);
  }

  #hostinfo(): Hostinfo {
    return buildHostinfo(this.#options.host, {
      version: this.version,
      backendLogId: this.#backendLogId,
      prefs: this.prefs,
      netInfo: this.datapath.netInfo,
    });
  }

  #openSession(authKey: Secret | undefined): void {
    const { scheduler, random, log, ephemeral, connect } = this.#options;
    const prefs = this.prefs;
    this.datapath.hold(heldExit(this.prefs));
    let api: ControlApi;
    try {
      api = connect(controlUrl(prefs));
    } catch (cause) {
      throw new BackendError(cause instanceof Error ? cause.message : String(cause), { cause });
    }
    this.health.clear("agent-server-key-changed");
    this.health.clear("login-state");
    this.lock.bind(this.#saved.profileId, controlUrl(prefs));
    this.lock.connect(api);
    const session: ControlSession = new ControlSession({
      api,
      persist: prefs.persist ?? EMPTY_PERSIST,
      hostinfo: this.#hostinfo(),
      endpoints: [...this.endpoints],
      discoKey: new DiscoPublic(fromHex(this.datapath.engine.discoKey)!),
      tkaHead: this.lock.head,
      authKey,
      ephemeral,
      paused: this.#wantsPause(),
      scheduler,
      random,
      log: log.child("control"),
      events: {
        persistChanged: (persist) => this.#saved.setKeys(persist),
        authUrl: (url) => this.#gotAuthUrl(url),
        loggedIn: () => this.#loggedIn(),
        loginFailed: (text, passing) => this.#loginFailed(text, passing),
        netmap: (netmap, change) => this.#gotNetmap(netmap, change),
        pollState: (state) => this.#gotPollState(state),
        refused: (error) => this.#refused(error),
        progress: () => this.#updateSoon(),
        clockDelta: (deltaMs) => this.#controlClock.delta = deltaMs,
        openUrl: (url) => this.#openUrl(url),
        ping: (ip, type) => this.#answerPing(ip, type),
      },
    });
    this.#session = session;
    if (!prefs.LoggedOut && prefs.persist?.nodeKey !== undefined) this.#login(session, false);
  }

  /** Why the last attempt failed says nothing about a new one. */
  #login(session: ControlSession, interactive: boolean): void {
    this.health.clear("login-state");
    session.login(interactive);
  }

  /** A stopped node does not speak to control. */
  #wantsPause(): boolean {
    return !this.prefs.WantRunning && !this.prefs.LoggedOut && this.prefs.persist?.nodeKey !== undefined &&
      !this.#blocked;
  }

  #gotAuthUrl(url: string): void {
    if (!isLoginUrl(url, controlUrl(this.prefs))) {
      this.#loginFailed(`the control server sent a login URL that is not to be trusted: ${url}`, false);
      return;
    }
    this.#awaited.begin(url, this.now);
    this.#options.log.info(`to log in, open ${url}`);
    if (this.#keyExpired) {
      this.#blocked = true;
      this.#down();
    }
    this.#update();
    this.bus.send({ BrowseToURL: url });
  }

  #openUrl(url: string): void {
    if (isLoginUrl(url, controlUrl(this.prefs))) this.bus.send({ BrowseToURL: url });
  }

  /** A person is to confirm a renewal; the node goes on meanwhile. */
  #renewAt(url: string): void {
    if (!isLoginUrl(url, controlUrl(this.prefs))) {
      throw new BackendError(`the control server sent a login URL that is not to be trusted: ${url}`);
    }
    this.#options.log.info(`to renew the node key, open ${url}`);
    this.bus.send({ BrowseToURL: url });
  }

  /** Control asks how a peer is reached; the answer is Go's `tailcfg.PingResponse`. */
  async #answerPing(ip: string, type: string): Promise<Record<string, unknown>> {
    if (!isPingType(type)) return { Type: type, IP: ip, Err: "unknown ping type" };
    return { Type: type, ...await this.ping(ip, type, 0) };
  }

  #loggedIn(): void {
    this.health.clear("login-state");
    const waited = this.authUrl !== "";
    const finished = waited || this.#blocked;
    this.#blocked = false;
    this.#awaited.end();
    const values = { ...(this.prefs.LoggedOut && { LoggedOut: false }), ...(waited && { WantRunning: true }) };
    const next = applyChange(this.prefs, change({ ...values, ControlURL: controlUrl(this.prefs) }));
    if (changedPrefs(this.prefs, next).length > 0) {
      this.#saved.set(next);
      this.bus.send({ Prefs: publicPrefs(this.prefs) });
    }
    this.#options.log.info("logged in");
    // The new key's netmap is on its way; the old one's says nothing about it.
    this.#keyExpired = false;
    this.#update();
    this.#reconfigure();
    if (finished) this.bus.send({ LoginFinished: {} });
  }

  /** @param passing a matter of the network, that may mend itself: `up` goes on waiting. */
  #loginFailed(text: string, passing: boolean): void {
    this.#options.log.warn(`login: ${text}`);
    this.health.warn("login-state", this.now, { error: text });
    if (!passing) this.bus.send({ ErrMessage: text });
    this.#update();
  }

  #refused(error: ControlError): void {
    this.#setOnline(false);
    if (error.code === "server-key-changed") {
      this.health.warn("agent-server-key-changed", this.now, { error: error.message });
    }
    this.#update();
  }

  #gotPollState(state: PollState | { readonly kind: "ended" }): void {
    this.#setOnline(state.kind === "connected");
    if (state.kind === "retrying") {
      this.health.warn("agent-control-unreachable", this.now, { error: state.error.message });
      this.#options.log.warn(`map poll: ${state.error.message}`);
    } else if (state.kind === "connected") {
      this.health.clear("not-in-map-poll");
      this.health.clear("agent-control-unreachable");
    }
    this.#updateSoon();
  }

  #setOnline(online: boolean): void {
    this.#online = online;
    this.datapath.setControlOnline(online);
  }

  #gotNetmap(netmap: Netmap, netmapChange: NetmapChange): void {
    const oldView = this.#view;
    const first = this.#netmap === undefined;
    const selfChanged = this.#netmap?.self !== netmap.self;
    this.#netmap = netmap;
    this.#saved.keepLogin(netmap);
    this.lock.gotNetmap(netmap, this.#saved.profileId);
    const wasExpired = this.#keyExpired;
    this.#keyExpired = isExpired(netmap.self, this.controlNow);
    // An administrator extended the key.
    if (wasExpired && !this.#keyExpired) this.#blocked = false;
    this.health.setControlMessages(netmap.displayMessages);
    if (first) this.#options.log.info(`netmap: ${netmap.peers.size} peers, tailnet ${netmap.domain}`);
    if (isDown(this.#state)) this.#view = new NodeView(netmap, this.#acceptedWhileDown(netmap));
    this.#update();
    this.#reconfigure();
    if (selfChanged) this.bus.send({ SelfChange: netmap.self });
    const peerBits = WATCH.peerChanges | WATCH.peerPatches;
    if (this.#view === undefined || !this.bus.wants(peerBits)) return;
    const notice = peerNotice(oldView, this.#view, netmapChange);
    if (notice !== undefined) this.bus.send(notice, peerBits);
  }

  /** A node that is down shows its peers all the same; the lock decides which, as always. */
  #acceptedWhileDown(netmap: Netmap) {
    return [...this.datapath.accepted(netmap)];
  }

  #forgetNetmap(): void {
    this.#netmap = undefined;
    this.#view = undefined;
    this.#keyExpired = false;
    this.health.setControlMessages({});
    this.#down();
  }

  /** Gives the data path what follows from netmap and preferences, unless it is to be down. */
  #reconfigure(): void {
    const netmap = this.#netmap;
    const privateKey = this.prefs.persist?.nodeKey;
    if (netmap === undefined || privateKey === undefined || this.#blocked || isDown(this.#state)) return;
    const routed = this.datapath.configure(netmap, datapathPolicy(this.prefs, privateKey, this.controlNow));
    this.#view = new NodeView(netmap, routed.visible);
    this.dns.configure({
      view: this.#view,
      acceptDns: this.prefs.CorpDNS && !this.#keyExpired,
      exitNode: wantedExitNode(this.prefs) !== undefined,
    });
    this.#exitNode = routed.exitNode;
    this.#routes = routed.routes;
    this.health.set("agent-accept-routes-off", routed.routesOffered && !this.prefs.RouteAll, this.now);
    this.#expiry.arm(routed.nextExpiry === undefined ? undefined : routed.nextExpiry - this.controlNow);
  }

  /** Names first: what the machine asks must not lead to addresses that are gone. */
  #down(): void {
    this.#routes = [];
    this.dns.down();
    this.datapath.down(heldExit(this.prefs));
  }

  /** The lock's head, verdicts or condition are others now. */
  #lockChanged(): void {
    if (this.#closed) return;
    this.#session?.update({ tkaHead: this.lock.head });
    const netmap = this.#netmap;
    if (netmap !== undefined && isDown(this.#state)) this.#view = new NodeView(netmap, this.#acceptedWhileDown(netmap));
    this.#reconfigure();
    this.#updateSoon();
  }

  /** Changes the part of the profile the user does not set. */
  setPersist(change: Partial<Persist>): void {
    this.#saved.setPersist({ ...this.prefs.persist ?? EMPTY_PERSIST, ...change });
  }

  #lookAtExpiry(): void {
    if (this.#netmap === undefined) return;
    this.#keyExpired = isExpired(this.#netmap.self, this.controlNow);
    this.#update();
    this.#reconfigure();
  }

  #updateSoon(): void {
    if (this.#updateQueued) return;
    this.#updateQueued = true;
    queueMicrotask(() => {
      this.#updateQueued = false;
      if (!this.#closed) this.#update();
    });
  }

  /** Takes the state that follows from everything known, and does what entering it means. */
  #update(): void {
    const { WantRunning, LoggedOut, persist } = this.prefs;
    for (;;) {
      const old = this.#state;
      const next = nextState({
        state: old,
        wantRunning: WantRunning,
        loggedOut: LoggedOut,
        haveNodeKey: persist?.nodeKey !== undefined,
        blocked: this.#blocked,
        authCantContinue: this.#session?.authCantContinue ?? true,
        haveNetmap: this.#netmap !== undefined,
        keyExpired: this.#keyExpired,
        machineAuthorized: this.#netmap?.self.MachineAuthorized === true,
        live: this.#sawLive || this.datapath.relayed,
      });
      if (next === old) break;
      this.#enter(old, next);
    }
    this.#session?.setPaused(this.#wantsPause());
    this.#announceHealth();
  }

  #enter(old: BackendState, next: BackendState): void {
    this.#state = next;
    this.#options.log.info(`state ${old} -> ${next}`);
    this.bus.send({ State: STATE_NUMBER[next] });
    if (isDown(next)) {
      if (next === "NeedsLogin") this.#blocked = true;
      this.#sawLive = false;
      this.#expiry.cancel();
      this.#down();
      return;
    }
    if (next === "Running") this.#awaited.end();
    if (isDown(old)) this.#reconfigure();
  }

  #healthTick(): void {
    this.#announceHealth();
    const wait = Math.min(HEALTH_INTERVAL_MS, this.#watch.untilChange(this.now) ?? HEALTH_INTERVAL_MS);
    this.#healthTimer = this.#options.scheduler.after(wait, () => this.#healthTick());
  }

  #announceHealth(): void {
    this.#updateHealth();
    const changed = this.health.changed(this.now);
    if (changed === undefined) return;
    this.#healthLog.note(changed);
    this.bus.send({ Health: changed });
  }

  /** What keeps this machine from forwarding what it offers, "" for nothing. */
  forwardingProblem(): string {
    return this.#watch.forwardingProblem(this.prefs);
  }

  /** The exit node to suggest, of the peers the lock accepts. */
  suggestExitNode(): Node | undefined {
    return suggestExitNode(this.view?.peers ?? [], this.datapath.latency, this.#exitNode ?? "");
  }

  #updateHealth(): void {
    this.#watch.update({
      state: this.#state,
      prefs: this.prefs,
      exitNode: this.#exitNode,
      netmap: this.#netmap,
      keyExpired: this.#keyExpired,
      online: this.#online,
      controlNow: this.controlNow,
    }, this.now);
  }
}
