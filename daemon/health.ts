/**
 * What is wrong with this node, as `status`, the bus and the metrics tell it.
 *
 * A warning (`warnables.ts` has them all) is shown only once it has lasted its time, and is silent while something it
 * depends on is wrong too. Source: health/health.go, health/state.go.
 */
import { createHash } from "node:crypto";
import type { DisplayMessage } from "../control/wire/tailcfg.ts";
import { WARNABLES } from "./warnables.ts";
import type { WarningArgs, WarningCode } from "./warnables.ts";
export type { WarningArgs, WarningCode } from "./warnables.ts";

interface Warning {
  readonly since: number;
  readonly args: WarningArgs;
}

/** One entry of Go's `health.State`. */
export interface UnhealthyState {
  readonly WarnableCode: string;
  readonly Severity: string;
  readonly Title: string;
  readonly Text: string;
  readonly BrokenSince?: string;
  readonly Args?: WarningArgs;
  readonly DependsOn?: readonly string[];
  readonly ImpactsConnectivity?: boolean;
  readonly PrimaryAction?: { readonly URL: string; readonly Label: string };
  /** Another text whenever anything above is another. */
  readonly ETag?: string;
}

/** Every frontend holds all warnings back while this one stands, and none of them needs to be told so twice. */
const STARTING: WarningCode = "warming-up";

function withETag(state: Omit<UnhealthyState, "ETag">): UnhealthyState {
  return { ...state, ETag: createHash("sha256").update(JSON.stringify(state)).digest("hex") };
}

/** Source: health.severityFromTailcfg. */
function severityOf(text: string): string {
  return text === "high" || text === "low" ? text : "medium";
}

/** Go's `health.State`. */
export interface HealthState {
  readonly Warnings: Readonly<Record<string, UnhealthyState>> | null;
}

/** The warnings that stand. Times are Unix milliseconds, given by the caller. */
export class Health {
  readonly #warnings = new Map<WarningCode, Warning>();
  #messages: Readonly<Record<string, DisplayMessage>> = {};
  #shown = "";

  /** A warning stands; `since` stays that of the first call. */
  warn(code: WarningCode, now: number, args: WarningArgs = {}): void {
    this.#warnings.set(code, { since: this.#warnings.get(code)?.since ?? now, args });
  }

  /** A warning stands; one that stands already keeps what it says. */
  warnOnce(code: WarningCode, now: number): void {
    if (!this.#warnings.has(code)) this.warn(code, now);
  }

  clear(code: WarningCode): void {
    this.#warnings.delete(code);
  }

  /** Warns when `bad`, clears otherwise. */
  set(code: WarningCode, bad: boolean, now: number, args: WarningArgs = {}): void {
    if (bad) this.warn(code, now, args);
    else this.clear(code);
  }

  /** Messages of the control server, all of them. */
  setControlMessages(messages: Readonly<Record<string, DisplayMessage>>): void {
    this.#messages = messages;
  }

  /** One sentence each, as `status` shows them. */
  strings(now: number): string[] {
    const own = this.#visible(now).map(([code, { args }]) => WARNABLES[code].text(args));
    const told = Object.values(this.#messages).map((message) => {
      const text = message.Title && message.Text
        ? `${message.Title}: ${message.Text}`
        : message.Text || `${message.Title}.`;
      return message.PrimaryAction ? `${text} ${message.PrimaryAction.Label}: ${message.PrimaryAction.URL}` : text;
    });
    return [...own, ...told.sort()];
  }

  /** The state for the bus. */
  state(now: number): HealthState {
    const warnings: Record<string, UnhealthyState> = {};
    for (const [code, { since, args }] of this.#visible(now)) {
      const { severity, title, text, dependsOn, impactsConnectivity } = WARNABLES[code];
      const causes = [...dependsOn ?? [], ...(code === STARTING ? [] : [STARTING])];
      warnings[code] = withETag({
        WarnableCode: code,
        Severity: severity,
        Title: title,
        Text: text(args),
        BrokenSince: new Date(since).toISOString(),
        ...(Object.keys(args).length > 0 && { Args: args }),
        ...(causes.length > 0 && { DependsOn: causes }),
        ...(impactsConnectivity && { ImpactsConnectivity: true }),
      });
    }
    for (const [id, message] of Object.entries(this.#messages)) {
      const code = `control-health.${id}`;
      warnings[code] = withETag({
        WarnableCode: code,
        Severity: severityOf(message.Severity),
        Title: message.Title,
        Text: message.Text,
        ...(message.ImpactsConnectivity && { ImpactsConnectivity: true }),
        ...(message.PrimaryAction && { PrimaryAction: message.PrimaryAction }),
      });
    }
    return { Warnings: Object.keys(warnings).length === 0 ? null : warnings };
  }

  /** The codes of the warnings that impact connectivity, undefined when none does. @param but is left out */
  impact(now: number, but: WarningCode): string | undefined {
    const all = Object.values(this.state(now).Warnings ?? {});
    const impacting = all.filter((one) => one.ImpactsConnectivity === true && one.WarnableCode !== but);
    return impacting.length === 0 ? undefined : impacting.map((one) => one.WarnableCode).join();
  }

  /** The state, when it is not what the last call gave; so that the bus hears of changes only. */
  changed(now: number): HealthState | undefined {
    const state = this.state(now);
    const text = JSON.stringify(state);
    if (text === this.#shown) return undefined;
    this.#shown = text;
    return state;
  }

  /** How long until one that stands has lasted its time, ms; undefined when none is waiting. */
  untilVisible(now: number): number | undefined {
    const waits = [...this.#warnings].map(([code, { since }]) => since + (WARNABLES[code].visibleAfterMs ?? 0) - now);
    const ahead = waits.filter((wait) => wait > 0);
    return ahead.length === 0 ? undefined : Math.min(...ahead);
  }

  #visible(now: number): [WarningCode, Warning][] {
    return [...this.#warnings].filter(([code, { since }]) => {
      return now - since >= (WARNABLES[code].visibleAfterMs ?? 0) && this.#stands(code);
    });
  }

  /** It stands, and nothing that stands is its cause. Source: health.Tracker.isEffectivelyHealthyLocked. */
  #stands(code: WarningCode): boolean {
    return this.#warnings.has(code) && !(WARNABLES[code].dependsOn ?? []).some((cause) => this.#stands(cause));
  }
}
