/**
 * The state of the node as `status` prints it, and the one rule by which it changes.
 *
 * ```
 *                    ┌────────────── up ───────────────┐
 *                    │                                 │
 *   NoState ──▶ NeedsLogin ──login──▶ Starting ──▶ Running
 *      │          ▲  ▲                 ▲   ▲  │        │ │
 *      │          │  └── key expired, ─┼───┼──┴────────┘ │
 *      │          │      logout        │   │             │
 *      │          └── NeedsMachineAuth ┘   └── up ── Stopped
 *      └──────────────── saved, down ─────────────────▶ ▲ └──── down, from any
 * ```
 *
 * The next state is a pure function of what is known: nothing else sets it. Source: ipnlocal.LocalBackend.nextStateLocked,
 * ipn.State.
 */

/** Names and numbers of ipn.State. */
export const STATE_NUMBER = {
  NoState: 0,
  InUseOtherUser: 1,
  NeedsLogin: 2,
  NeedsMachineAuth: 3,
  Stopped: 4,
  Starting: 5,
  Running: 6,
} as const;

/** A state this program takes; `InUseOtherUser` is Windows' own. */
export type BackendState = Exclude<keyof typeof STATE_NUMBER, "InUseOtherUser">;

/** All that the state depends on. */
export interface StateInputs {
  readonly state: BackendState;
  readonly wantRunning: boolean;
  readonly loggedOut: boolean;
  /** A node key is stored. */
  readonly haveNodeKey: boolean;
  /** The data plane may not be configured: a login is being waited for. */
  readonly blocked: boolean;
  /** The login waits for a person or for a command (controlclient.AuthCantContinue). */
  readonly authCantContinue: boolean;
  /** A netmap is known. */
  readonly haveNetmap: boolean;
  /** The netmap says that the own key has expired. */
  readonly keyExpired: boolean;
  /** The netmap says that an administrator has approved this machine. */
  readonly machineAuthorized: boolean;
  /** A handshake with a peer succeeded or a relay is connected. */
  readonly live: boolean;
}

/** The state that follows from the inputs. */
export function nextState(inputs: StateInputs): BackendState {
  const { state, wantRunning, loggedOut, haveNodeKey, blocked, haveNetmap } = inputs;
  if (!wantRunning && !loggedOut && !blocked && haveNodeKey) return "Stopped";
  if (!haveNetmap) {
    if (inputs.authCantContinue || loggedOut) return "NeedsLogin";
    // Stopped means that the login was in order, so there is no need to wait for control before saying Starting.
    return state === "Stopped" ? "Starting" : state;
  }
  if (!wantRunning) return "Stopped";
  if (inputs.keyExpired) return "NeedsLogin";
  if (!inputs.machineAuthorized) return "NeedsMachineAuth";
  if (state === "Running") return "Running";
  if (state === "Starting") return inputs.live ? "Running" : "Starting";
  return "Starting";
}

/** In these states the data plane has no addresses and no peers. */
export function isDown(state: BackendState): boolean {
  return state === "NoState" || state === "NeedsLogin" || state === "Stopped";
}
