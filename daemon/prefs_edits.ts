/** Changes of preferences: who may make them, which can be taken, and what follows at once. */
import { BackendError, CONFIG_LOCKED } from "./backend_options.ts";
import type { Bus } from "./bus.ts";
import { checkPrefs } from "./check_prefs.ts";
import type { ControlLink } from "./control_link.ts";
import type { ControlSession } from "./control_session.ts";
import type { CurrentNetmap } from "./current_netmap.ts";
import type { Datapath } from "./datapath.ts";
import { changesDatapath, heldExit } from "./datapath_policy.ts";
import type { Log } from "./log.ts";
import type { NodeLogin } from "./node_login.ts";
import type { NodeState } from "./node_state.ts";
import type { PrefValues } from "./pref_fields.ts";
import { applyChange, changedPrefs, publicPrefs } from "./prefs.ts";
import type { MaskedPrefs, Prefs } from "./prefs.ts";
import type { SavedPrefs } from "./saved_prefs.ts";

/** Who changes them: somebody by the LocalAPI, or the configuration file. */
export type Editor = "user" | "config";

/** What a change reaches. */
export interface EditPorts {
  readonly saved: SavedPrefs;
  readonly link: ControlLink;
  readonly login: NodeLogin;
  readonly datapath: Datapath;
  readonly current: CurrentNetmap;
  readonly state: NodeState;
  readonly bus: Bus;
  readonly log: Log;
  session(): ControlSession | undefined;
}

/** The one way to change them while a session stands. */
export class PrefsEdits {
  readonly #ports: EditPorts;
  /** The configuration file alone may change them. */
  locked = false;

  constructor(ports: EditPorts) {
    this.#ports = ports;
  }

  /** @throws BackendError when preferences cannot be taken, or not from this side. */
  checkUsable(prefs: PrefValues, by: Editor): void {
    if (by === "user") this.assertUnlocked();
    const errors = checkPrefs(prefs);
    if (errors.length > 0) throw new BackendError(errors.join("\n"));
  }

  /** What the file declares is this login's. @throws BackendError */
  assertUnlocked(): void {
    if (this.locked) throw new BackendError(CONFIG_LOCKED);
  }

  /** @throws BackendError when they cannot be taken; nothing is changed then. */
  edit(masked: MaskedPrefs, by: Editor): Prefs {
    const { saved, link, login, datapath, current, state, bus, log } = this.#ports;
    if (masked.values.InternalExitNodePrior !== undefined) throw new BackendError("can't set Internal fields");
    const old = saved.current;
    const next = applyChange(old, masked);
    this.checkUsable(next, by);
    const changed = changedPrefs(old, next);
    if (changed.length === 0) {
      saved.retry();
      return old;
    }
    log.info(`preferences changed: ${changed.join(", ")}`);
    saved.set(next);
    const session = this.#ports.session();
    session?.update({ hostinfo: link.hostinfo() });
    if (!old.WantRunning && next.WantRunning && session?.loggedIn === false) login.begin(session, false);
    datapath.hold(heldExit(saved.current));
    if (changesDatapath(changed)) current.configure();
    bus.send({ Prefs: publicPrefs(saved.current) });
    state.update();
    return saved.current;
  }
}
