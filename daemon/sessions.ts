/**
 * Who the node is: the one session with the control server of the current login, and what puts another in its place. One
 * of these at a time, each whole.
 *
 * ```
 *   start (up, a configuration, the daemon itself) ─┐
 *   logout ─────────── told to control ─────────────┤
 *   switch, new, delete profile ────────────────────┴─▶ old session ended ─▶ preferences ─▶ new session
 * ```
 * Source: ipnlocal (Start, Logout, SwitchProfile, NewProfile, DeleteProfile, resetForProfileChangeLocked).
 */
import type { Secret } from "../base/secret.ts";
import { ControlError } from "../control/client/errors.ts";
import { BackendError } from "./backend_options.ts";
import type { StartOptions } from "./backend_options.ts";
import type { ControlSession } from "./control_session.ts";
import type { TailnetLock } from "./lock/tailnet_lock.ts";
import type { Log } from "./log.ts";
import { change, controlUrl } from "./prefs.ts";
import type { Editor, PrefsEdits } from "./prefs_edits.ts";
import type { SavedPrefs } from "./saved_prefs.ts";

/** How long a logout may take at the end of an ephemeral node. */
const LOGOUT_MS = 5_000;

/** What sessions are opened by, and what is theirs to undo. */
export interface SessionsPorts {
  readonly saved: SavedPrefs;
  readonly lock: TailnetLock;
  readonly log: Log;
  /** Connects. @throws BackendError for a control server that cannot be used */
  open(authKey: Secret | undefined): ControlSession;
  readonly edits: PrefsEdits;
  /** The netmap is another's. */
  forgetNetmap(): void;
  /** No login is waited for, no poll connected, no state known. */
  reset(): void;
  /** A session begins: tells watchers of the preferences, and takes the state that follows. */
  begun(): void;
  /** What kept the data path from being configured was the old login's. */
  unblock(): void;
}

/** The session, and its successors. */
export class Sessions {
  readonly #ports: SessionsPorts;
  #session: ControlSession | undefined;
  #serial: Promise<void> = Promise.resolve();

  constructor(ports: SessionsPorts) {
    this.#ports = ports;
  }

  /** Undefined between two, and where the server cannot be used. */
  get current(): ControlSession | undefined {
    return this.#session;
  }

  /** Begins (again) with these preferences. @throws BackendError where they cannot be taken */
  start({ updatePrefs, authKey }: StartOptions, by: Editor): Promise<void> {
    return this.#serialise(async () => {
      const { saved, lock, edits } = this.#ports;
      if (updatePrefs !== undefined) edits.checkUsable(updatePrefs, by);
      const old = this.#session;
      this.#session = undefined;
      const oldUrl = controlUrl(saved.current);
      lock.connect(undefined);
      await old?.close();
      if (updatePrefs !== undefined) {
        const { persist, unknown } = saved.current;
        saved.set({ ...updatePrefs, persist, unknown: { ...unknown, ...updatePrefs.unknown } });
      }
      if (controlUrl(saved.current) !== oldUrl) this.#ports.forgetNetmap();
      this.#begin(authKey);
    });
  }

  /** Expires the node key at control and forgets it here. @throws BackendError when control could not be told. */
  logout(signal: AbortSignal): Promise<void> {
    return this.#serialise(async () => {
      const { saved, lock, log } = this.#ports;
      if (saved.current.persist?.nodeKey === undefined) return;
      this.#ports.edits.edit(change({ WantRunning: false, LoggedOut: true }), "user");
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
        log.warn(text);
      }
      await this.#becomeAnother(() => {
        lock.forget();
        saved.forget();
      });
    });
  }

  /** Changes to another login and connects with it if it was connected. @throws BackendError when there is none. */
  switchProfile(id: string): Promise<void> {
    return this.#serialise(async () => {
      const { saved } = this.#ports;
      if (id === saved.profile.ID) return;
      this.#ports.edits.assertUnlocked();
      if (!saved.profiles.some((profile) => profile.ID === id)) throw new BackendError("profile not found");
      await this.#becomeAnother(() => saved.switchTo(id));
    });
  }

  /** Leaves this login for a new one, which is stored once somebody logs in; until then a restart returns to the old. */
  newProfile(): Promise<void> {
    return this.#serialise(() => {
      this.#ports.edits.assertUnlocked();
      return this.#becomeAnother(() => this.#ports.saved.startNew());
    });
  }

  /** Forgets a login, its keys and its part of the lock, without a word to control. @throws BackendError */
  deleteProfile(id: string): Promise<void> {
    return this.#serialise(async () => {
      const { saved, lock } = this.#ports;
      // The ID becomes a path below the state directory, so it has to be one of ours.
      if (!saved.profiles.some((profile) => profile.ID === id)) return;
      if (id !== saved.profile.ID) {
        saved.delete(id);
        lock.forgetProfile(id);
        return;
      }
      this.#ports.edits.assertUnlocked();
      await this.#becomeAnother(() => {
        lock.forget();
        saved.forget();
      });
    });
  }

  /** Resolves when nothing of this is under way. */
  idle(): Promise<void> {
    return this.#serial.catch(() => {});
  }

  /** There is no more session; an ephemeral node logs out. Never rejects. @returns the last one, to be closed */
  async release(ephemeral: boolean): Promise<ControlSession | undefined> {
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined && ephemeral && session.loggedIn) {
      await session.logout(AbortSignal.timeout(LOGOUT_MS)).catch((error) =>
        this.#ports.log.warn(`could not log out: ${error instanceof Error ? error.message : error}`)
      );
    }
    return session;
  }

  #serialise(run: () => Promise<void>): Promise<void> {
    const done = this.#serial.catch(() => {}).then(run);
    this.#serial = done;
    return done;
  }

  /** Ends the session and all that came of it; `change` says who the node is from now on. */
  async #becomeAnother(change: () => void): Promise<void> {
    this.#ports.lock.connect(undefined);
    await this.#session?.close();
    this.#session = undefined;
    try {
      change();
    } finally {
      this.#ports.forgetNetmap();
      this.#ports.unblock();
      this.#begin(undefined);
    }
  }

  #begin(authKey: Secret | undefined): void {
    this.#ports.reset();
    this.#session = this.#ports.open(authKey);
    this.#ports.begun();
  }
}
