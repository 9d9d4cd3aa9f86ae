/**
 * What `up` has to do, decided from what the daemon says and what was typed; nothing here talks to anybody.
 *
 *   Running, only preferences change ──────────────▶ edit    PATCH prefs, done
 *   logged in and down, or a login still waits ────▶ resume  PATCH prefs (login-interactive), wait for Running
 *   new server, key, tags, re-authentication, none ▶ start   POST start (login-interactive), wait for Running
 *
 * Flags that are not given keep their values; `--reset` gives them their defaults. Source: cmd/tailscale/cli/up.go
 * updatePrefs, which asks to repeat them instead.
 */
import { CliError } from "./exit_codes.ts";
import type { Prefs, Status } from "./local_types.ts";
import { maskedPrefs } from "./pref_flags.ts";
import type { MaskedPrefs, PrefValues } from "./pref_flags.ts";
import { applyEdits, controlUrl, DEFAULT_CONTROL_URL, resetEdits } from "./prefs_merge.ts";

/** What was typed, as far as the plan depends on it. */
export interface UpRequest {
  readonly values: PrefValues;
  readonly given: ReadonlySet<string>;
  /** `--login-server`, undefined when not given. */
  readonly loginServer: string | undefined;
  readonly hasAuthKey: boolean;
  readonly forceReauth: boolean;
  readonly reset: boolean;
}

/** The way to Running. */
export type UpPlan =
  | { readonly kind: "edit"; readonly edits: MaskedPrefs; readonly prefs: Prefs }
  | { readonly kind: "resume"; readonly edits: MaskedPrefs; readonly prefs: Prefs; readonly login: boolean }
  | { readonly kind: "start"; readonly prefs: Prefs; readonly login: boolean };

const RUN: MaskedPrefs = { WantRunning: true, WantRunningSet: true, LoggedOut: false, LoggedOutSet: true };

function sameList(a: readonly string[] | null, b: readonly string[] | null): boolean {
  return JSON.stringify(a ?? []) === JSON.stringify(b ?? []);
}

/** Decides. @throws CliError or UsageError when it cannot be meant. */
export function planUp(request: UpRequest, status: Status, current: Prefs): UpPlan {
  const base: MaskedPrefs = request.reset ? resetEdits() : {};
  const named = maskedPrefs(request.values, request.given, applyEdits(current, base), status);
  const server = request.loginServer ?? (request.reset ? DEFAULT_CONTROL_URL : undefined);
  const edits: MaskedPrefs = { ...base, ...named };
  const ControlURL = server ?? current.ControlURL;
  const prefs: Prefs = { ...applyEdits(applyEdits(current, edits), RUN), ControlURL };

  const serverChanged = controlUrl(ControlURL) !== controlUrl(current.ControlURL);
  const running = status.BackendState === "Running";
  if (serverChanged && running && !request.forceReauth) {
    throw new CliError("can't change --login-server without --force-reauth");
  }
  const anew = serverChanged || request.forceReauth || request.hasAuthKey ||
    !sameList(prefs.AdvertiseTags, current.AdvertiseTags);
  if (running && !anew) return { kind: "edit", edits: { ...edits, WantRunning: true, WantRunningSet: true }, prefs };
  const needsLogin = status.BackendState === "NeedsLogin";
  if (!anew && !needsLogin && status.HaveNodeKey) {
    return { kind: "resume", edits: { ...edits, ...RUN }, prefs, login: false };
  }
  if (!anew && needsLogin && status.AuthURL !== "") {
    return { kind: "resume", edits: { ...edits, WantRunning: true, WantRunningSet: true }, prefs, login: true };
  }
  return { kind: "start", prefs, login: request.forceReauth || !status.HaveNodeKey };
}
