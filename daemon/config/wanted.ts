/**
 * What a configuration wants of a node.
 *
 * ```
 *   the file names a key            ──▶ its value
 *   it named it when last applied   ──▶ what a new node has
 *   it never did                    ──▶ as it is, whoever set it
 * ```
 * So a key that is taken out of the file is taken back, and a first file takes nothing away that it does not speak of.
 */
import type { LockPolicy } from "../lock/policy.ts";
import { applyChange, change } from "../prefs.ts";
import type { Prefs } from "../prefs.ts";
import { PREF_NAMES, samePref } from "../pref_fields.ts";
import type { PrefValues } from "../pref_fields.ts";
import { CONFIG_KEYS, CONFIG_NAMES } from "./keys.ts";
import type { ConfigKey, ConfigKeyName } from "./key.ts";
import type { Config } from "./read.ts";

/** The value a configuration gives a key: its own, or what a new node has; undefined when it has no say. */
export function wantedValue(
  config: Config,
  name: ConfigKeyName,
  applied: readonly string[],
): { readonly value: unknown } | undefined {
  const { initial, always, sticky } = CONFIG_KEYS[name] as ConfigKey<unknown>;
  if (config[name] !== undefined) return { value: config[name] };
  return always || (applied.includes(name) && !sticky) ? { value: initial } : undefined;
}

/** The preferences that differ from `prefs` under the configuration. @param applied names it had when last applied */
export function wantedPrefs(config: Config, prefs: PrefValues, applied: readonly string[]): Partial<PrefValues> {
  let next = prefs as Prefs;
  for (const name of CONFIG_NAMES) {
    const { put } = CONFIG_KEYS[name] as ConfigKey<unknown>;
    const wanted = put && wantedValue(config, name, applied);
    // What has no initial value is null then, "not set".
    if (wanted !== undefined) next = applyChange(next, change(put!(wanted.value ?? null, next)));
  }
  // A key to log in by is the wish to be logged in.
  if (config.AuthKey !== undefined) next = { ...next, LoggedOut: false };
  return Object.fromEntries(
    PREF_NAMES.filter((name) => !samePref(next[name], prefs[name])).map((name) => [name, next[name]]),
  );
}

/** What a configuration demands of Tailnet Lock, in place of what is demanded now. */
export function wantedPolicy(config: Config, policy: LockPolicy, applied: readonly string[]): LockPolicy {
  const required = wantedValue(config, "LockRequired", applied);
  const pins = wantedValue(config, "LockPins", applied);
  return {
    required: required === undefined ? policy.required : required.value as boolean,
    pins: pins === undefined ? policy.pins : pins.value as readonly string[],
  };
}

/** What a configuration that cannot be taken demands of it all the same: nothing that was demanded before is dropped. */
export function demandedAnyway(config: Config, policy: LockPolicy): LockPolicy {
  const { LockRequired = false, LockPins = [] } = config;
  return { required: policy.required || LockRequired, pins: LockPins.length > 0 ? LockPins : policy.pins };
}
