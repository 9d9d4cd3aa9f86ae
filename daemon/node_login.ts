/**
 * How the node comes to be logged in, as control and a person bring it about: where the person is awaited, and whether
 * the data path has to wait for them.
 *
 * ```
 *   begin ──register──┬─ auth-url ──▶ awaited: the URL is shown, and again while it is fresh ──▶ logged in
 *                     ├─ logged in ─▶ preferences, data path, LoginFinished
 *                     └─ failed ────▶ health, ErrMessage
 * ```
 * Source: ipnlocal (blockEngineUpdatesLocked, setControlClientStatusLocked).
 */
import type { Bus } from "./bus.ts";
import { BackendError } from "./backend_options.ts";
import type { CurrentNetmap } from "./current_netmap.ts";
import type { ControlSession } from "./control_session.ts";
import type { Health } from "./health.ts";
import type { Log } from "./log.ts";
import { AwaitedLogin, isLoginUrl } from "./login_url.ts";
import { applyChange, change, changedPrefs, controlUrl, publicPrefs } from "./prefs.ts";
import type { SavedPrefs } from "./saved_prefs.ts";

/** What a login changes. */
export interface LoginPorts {
  readonly saved: SavedPrefs;
  readonly current: CurrentNetmap;
  readonly health: Health;
  readonly bus: Bus;
  readonly log: Log;
  /** Unix milliseconds. */
  now(): number;
  /** Takes the state that follows. */
  update(): void;
}

/** The login of the current profile. */
export class NodeLogin {
  readonly #ports: LoginPorts;
  readonly #awaited = new AwaitedLogin();
  #blocked = false;

  constructor(ports: LoginPorts) {
    this.#ports = ports;
  }

  /** Where a person is to log in, "" for nowhere. */
  get url(): string {
    return this.#awaited.url;
  }

  /** Nothing may be configured before the login has succeeded. */
  get blocked(): boolean {
    return this.#blocked;
  }

  block(): void {
    this.#blocked = true;
  }

  unblock(): void {
    this.#blocked = false;
  }

  /** Nobody is awaited any more. */
  end(): void {
    this.#awaited.end();
  }

  /** Why the last attempt failed says nothing about a new one. */
  begin(session: ControlSession, interactive: boolean): void {
    this.#ports.health.clear("login-state");
    session.login(interactive);
  }

  /** Begins a login by a person, or names again the URL of the one that is waiting. */
  beginInteractive(session: ControlSession): void {
    const { bus, now, update } = this.#ports;
    if (this.#awaited.isFresh(now())) return bus.send({ BrowseToURL: this.url });
    this.begin(session, true);
    update();
  }

  gotUrl(url: string): void {
    const { bus, current, log, now, update } = this.#ports;
    if (!this.#isTrusted(url)) return this.failed(untrusted(url), false);
    this.#awaited.begin(url, now());
    log.info(`to log in, open ${url}`);
    if (current.keyExpired) {
      this.#blocked = true;
      current.down();
    }
    update();
    bus.send({ BrowseToURL: url });
  }

  /** Control wants a page shown that has nothing to do with a login. */
  openUrl(url: string): void {
    if (this.#isTrusted(url)) this.#ports.bus.send({ BrowseToURL: url });
  }

  /** A person is to confirm a renewal; the node goes on meanwhile. @throws BackendError */
  renewAt(url: string): void {
    if (!this.#isTrusted(url)) throw new BackendError(untrusted(url));
    this.#ports.log.info(`to renew the node key, open ${url}`);
    this.#ports.bus.send({ BrowseToURL: url });
  }

  succeeded(): void {
    const { bus, current, health, log, saved, update } = this.#ports;
    health.clear("login-state");
    const waited = this.url !== "";
    const finished = waited || this.#blocked;
    this.#blocked = false;
    this.#awaited.end();
    const prefs = saved.current;
    const values = { ...(prefs.LoggedOut && { LoggedOut: false }), ...(waited && { WantRunning: true }) };
    const next = applyChange(prefs, change({ ...values, ControlURL: controlUrl(prefs) }));
    if (changedPrefs(prefs, next).length > 0) {
      saved.set(next);
      bus.send({ Prefs: publicPrefs(saved.current) });
    }
    log.info("logged in");
    current.keyChanged();
    update();
    current.configure();
    if (finished) bus.send({ LoginFinished: {} });
  }

  /** @param passing a matter of the network, that may mend itself: `up` goes on waiting. */
  failed(text: string, passing: boolean): void {
    const { bus, health, log, now, update } = this.#ports;
    log.warn(`login: ${text}`);
    health.warn("login-state", now(), { error: text });
    if (!passing) bus.send({ ErrMessage: text });
    update();
  }

  #isTrusted(url: string): boolean {
    return isLoginUrl(url, controlUrl(this.#ports.saved.current));
  }
}

function untrusted(url: string): string {
  return `the control server sent a login URL that is not to be trusted: ${url}`;
}
