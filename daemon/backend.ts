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
 * All methods run on the main thread. What the node does is in the parts; here they are put together, and asked.
 *
 *   sessions.ts        who the node is, one at a time     current_netmap.ts  the netmap, and what follows from it
 *   control_link.ts    the session with control           node_state.ts      the state, and what entering one means
 *   node_login.ts      how it comes to be logged in       health_news.ts     what is wrong, told
 *   prefs_edits.ts     who may change preferences, and what follows
 *
 * Source: ipn/ipnlocal/local.go.
 */
import type { Secret } from "../base/secret.ts";
import type { Netmap, NetmapChange } from "../control/client/netmap.ts";
import type { Node } from "../control/wire/tailcfg.ts";
import type { LocalEndpoint } from "../engine/config.ts";
import type { BackendState } from "./backend_state.ts";
import { BackendError } from "./backend_options.ts";
import type { BackendOptions, StartOptions } from "./backend_options.ts";
import { Bus, WATCH } from "./bus.ts";
import { ControlLink } from "./control_link.ts";
import { CurrentNetmap } from "./current_netmap.ts";
import type { Datapath } from "./datapath.ts";
import { heldExit } from "./datapath_policy.ts";
import type { Dns } from "./dns/dns.ts";
import { suggestExitNode } from "./exit_node.ts";
import { Health } from "./health.ts";
import { HealthNews } from "./health_news.ts";
import { HealthWatch } from "./health_watch.ts";
import type { BackendFacts, ReportedProblem } from "./health_watch.ts";
import type { TailnetLock } from "./lock/tailnet_lock.ts";
import { KeyRenewal } from "./key_renewal.ts";
import type { RenewedKey } from "./key_renewal.ts";
import type { LoginProfile } from "./login_profile.ts";
import { NodeLogin } from "./node_login.ts";
import { NodeState } from "./node_state.ts";
import type { NodeView } from "./node_view.ts";
import { peerNotice } from "./peer_notices.ts";
import { ping } from "./ping.ts";
import type { PingResult, PingType } from "./ping.ts";
import { EMPTY_PERSIST } from "./persist.ts";
import type { Persist } from "./persist.ts";
import { publicPrefs } from "./prefs.ts";
import type { MaskedPrefs, Prefs } from "./prefs.ts";
import type { PrefValues } from "./pref_fields.ts";
import { PrefsEdits } from "./prefs_edits.ts";
import { SavedPrefs } from "./saved_prefs.ts";
import { Sessions } from "./sessions.ts";

/** The node. */
export class Backend {
  readonly bus = new Bus();
  readonly health = new Health();
  readonly dns: Dns;
  readonly datapath: Datapath;
  readonly #options: BackendOptions;
  readonly #saved: SavedPrefs;
  readonly #state: NodeState;
  readonly #current: CurrentNetmap;
  readonly #login: NodeLogin;
  readonly #link: ControlLink;
  readonly #edits: PrefsEdits;
  readonly #sessions: Sessions;
  readonly #renewal: KeyRenewal;
  readonly #watch: HealthWatch;
  readonly #news: HealthNews;
  #closed = false;

  constructor(options: BackendOptions) {
    this.#options = options;
    const { profiles, log, scheduler, lock, dns } = options;
    const { bus, health } = this;
    const prefs = () => this.prefs;
    const session = () => this.#sessions.current;
    const saved = this.#saved = new SavedPrefs(profiles, health, log, () => scheduler.wall());
    this.dns = dns;
    const datapath = this.datapath = options.datapath({
      live: () => this.#state.sawLive(),
      endpointsChanged: (endpoints) => session()?.update({ endpoints: [...endpoints] }),
      netInfoChanged: () => session()?.update({ hostinfo: this.#link.hostinfo() }),
      relaysChanged: () => this.#state.updateSoon(),
      failed: options.failed,
    });
    const state = this.#state = new NodeState({
      datapath,
      bus,
      log,
      prefs,
      session,
      login: () => this.#login,
      current: () => this.#current,
      turned: () => this.#news.announce(),
    });
    const current = this.#current = new CurrentNetmap({
      datapath,
      dns,
      health,
      scheduler,
      prefs,
      controlNow: () => this.controlNow,
      isDown: () => state.isDown,
      isBlocked: () => this.#login.blocked,
      expired: () => state.update(),
    });
    const update = () => state.update();
    const login = this.#login = new NodeLogin({ saved, current, health, bus, log, now: () => this.now, update });
    const link = this.#link = new ControlLink({
      ...options,
      saved,
      datapath,
      health,
      login,
      state,
      netmap: (netmap, change) => this.#gotNetmap(netmap, change),
      ping: (ip, type) => this.ping(ip, type, 0),
    });
    const edits = this.#edits = new PrefsEdits({ saved, session, link, login, datapath, current, state, bus, log });
    this.#sessions = new Sessions({
      saved,
      lock,
      log,
      edits,
      open: (authKey) => link.open(authKey),
      forgetNetmap: () => current.forget(),
      unblock: () => login.unblock(),
      reset: () => {
        state.reset();
        login.end();
        link.setOffline();
      },
      begun: () => {
        bus.send({ Prefs: publicPrefs(this.prefs) });
        update();
      },
    });
    this.#renewal = new KeyRenewal({
      ...options,
      prefs,
      session,
      self: () => current.netmap?.self,
      loginWaits: () => this.authUrl !== "",
      authUrl: (url) => login.renewAt(url),
    });
    const watch = this.#watch = new HealthWatch(health, { ...options, datapath, changed: () => state.updateSoon() });
    lock.onChange(() => this.#lockChanged());
    this.#news = new HealthNews({ health, watch, bus, log, scheduler, facts: () => this.#facts() });
    this.#news.begin();
  }

  get version(): string {
    return this.#options.version;
  }
  /** Names this run of the daemon in its own log and to control. */
  get logId(): string {
    return this.#link.logId;
  }
  get state(): BackendState {
    return this.#state.value;
  }
  get prefs(): Prefs {
    return this.#saved.current;
  }
  /** Whether the configuration file alone may change preferences. */
  get configLocked(): boolean {
    return this.#edits.locked;
  }
  set configLocked(locked: boolean) {
    this.#edits.locked = locked;
  }
  /** A restart finds the preferences as they are. */
  get prefsStored(): boolean {
    return this.#saved.stored;
  }
  /** The netmap after the lock; undefined before the first. */
  get view(): NodeView | undefined {
    return this.#current.view;
  }
  /** Where a person is to log in, "" for nowhere. */
  get authUrl(): string {
    return this.#login.url;
  }
  /** The map poll is connected. */
  get online(): boolean {
    return this.#link.online;
  }
  get hostname(): string {
    return this.prefs.Hostname || this.#options.host.hostname;
  }
  /** Unix milliseconds by our clock, and by control's where that can be true. */
  get now(): number {
    return this.#options.scheduler.wall();
  }
  get controlNow(): number {
    return this.#link.now();
  }
  /** Stable ID of the exit node in use, "" while the one that is set is not there, undefined while none is set. */
  get exitNode(): string | undefined {
    return this.#current.exitNode;
  }
  /** Prefixes that lead to peers. */
  get routes(): readonly string[] {
    return this.#current.routes;
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
    return this.#news.strings();
  }

  /**
   * Begins (again) with these preferences: a new session with the control server they name. The daemon calls it once by
   * itself, `up` calls it for everything but a plain change of preferences. @throws BackendError
   */
  start(options: StartOptions = {}, by: "user" | "config" = "user"): Promise<void> {
    return this.#sessions.start(options, by);
  }

  /** Changes preferences. @throws BackendError when they cannot be taken; nothing is changed then. */
  editPrefs(masked: MaskedPrefs, by: "user" | "config" = "user"): Prefs {
    return this.#edits.edit(masked, by);
  }

  /** Begins a login by a person, or names again the URL of the one that is waiting. @throws BackendError */
  loginInteractive(): void {
    const session = this.#sessions.current;
    if (session === undefined) {
      throw new BackendError("Cannot log in: no control server is configured that can be used");
    }
    this.#login.beginInteractive(session);
  }

  /** Puts a new node key in the place of the old one, which works until control has taken the new. @throws BackendError */
  renewKey(authKey: Secret | undefined, signal: AbortSignal): Promise<RenewedKey> {
    return this.#renewal.run(authKey, signal);
  }

  /** Expires the node key at control and forgets it here. @throws BackendError when control could not be told. */
  logout(signal: AbortSignal): Promise<void> {
    return this.#sessions.logout(signal);
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
    return this.#sessions.switchProfile(id);
  }

  /** Leaves this login for a new one, which is stored once somebody logs in; until then a restart returns to the old. */
  newProfile(): Promise<void> {
    return this.#sessions.newProfile();
  }

  /** Forgets a login, its keys and its part of the lock, without a word to control. @throws BackendError */
  deleteProfile(id: string): Promise<void> {
    return this.#sessions.deleteProfile(id);
  }

  /** Pings a peer by its address. Never rejects: what goes wrong is in the result. */
  ping(ip: string, type: PingType, size: number): Promise<PingResult> {
    const ports = { engine: this.datapath.engine, icmpEcho: this.#options.icmpEcho };
    return ping(ports, this.view, ip, type, size, this.controlNow);
  }

  /** Links, addresses or rules of the machine changed. */
  networkChanged(addressesChanged: boolean): void {
    this.datapath.networkChanged(addressesChanged);
    if (addressesChanged) this.#sessions.current?.reconnect();
  }

  /** A part of the node tells what is wrong with it, "" when it is well again. */
  problem(code: ReportedProblem, text: string): void {
    this.#watch.problem(code, text, this.now);
    this.#state.updateSoon();
  }

  /**
   * Ends everything: routes restored, engine closed, an ephemeral node logged out. @param faulty after a fault: what keeps
   * packets on the way to an exit node that is set stays.
   */
  async close(faulty = false): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#state.close();
    this.#current.cancelExpiry();
    this.#news.close();
    await this.#sessions.idle();
    this.lock.close();
    await this.dns.close();
    const session = await this.#sessions.release(this.#options.ephemeral);
    await Promise.all([session?.close(), this.datapath.close(faulty && heldExit(this.prefs) !== undefined)]);
    this.bus.close();
  }

  /** @throws BackendError when preferences cannot be taken, or not from this side. */
  checkUsable(prefs: PrefValues, by: "user" | "config"): void {
    this.#edits.checkUsable(prefs, by);
  }

  #gotNetmap(netmap: Netmap, netmapChange: NetmapChange): void {
    const { view: oldView, netmap: old } = this.#current;
    this.#current.take(netmap);
    this.#saved.keepLogin(netmap);
    this.lock.gotNetmap(netmap, this.#saved.profileId);
    if (this.#current.lookAtKey()) this.#login.unblock();
    this.health.setControlMessages(netmap.displayMessages);
    if (old === undefined) this.#options.log.info(`netmap: ${netmap.peers.size} peers, tailnet ${netmap.domain}`);
    this.#current.showWhileDown();
    this.#state.update();
    this.#current.configure();
    if (old?.self !== netmap.self) this.bus.send({ SelfChange: netmap.self });
    const peerBits = WATCH.peerChanges | WATCH.peerPatches;
    if (this.view === undefined || !this.bus.wants(peerBits)) return;
    const notice = peerNotice(oldView, this.view, netmapChange);
    if (notice !== undefined) this.bus.send(notice, peerBits);
  }

  /** The lock's head, verdicts or condition are others now. */
  #lockChanged(): void {
    if (this.#closed) return;
    this.#sessions.current?.update({ tkaHead: this.lock.head });
    this.#current.showWhileDown();
    this.#current.configure();
    this.#state.updateSoon();
  }

  /** Changes the part of the profile the user does not set. */
  setPersist(change: Partial<Persist>): void {
    this.#saved.setPersist({ ...this.prefs.persist ?? EMPTY_PERSIST, ...change });
  }

  /** What keeps this machine from forwarding what it offers, "" for nothing. */
  forwardingProblem(): string {
    return this.#watch.forwardingProblem(this.prefs);
  }

  /** The exit node to suggest, of the peers the lock accepts. */
  suggestExitNode(): Node | undefined {
    return suggestExitNode(this.view?.peers ?? [], this.datapath.latency, this.exitNode ?? "");
  }

  #facts(): BackendFacts {
    const { exitNode, netmap, keyExpired } = this.#current;
    const { prefs, controlNow } = this;
    return { state: this.state, prefs, exitNode, netmap, keyExpired, online: this.online, controlNow };
  }
}
