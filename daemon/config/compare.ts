/** A running node as a configuration, and where it differs from one. */
import { samePref } from "../pref_fields.ts";
import { CONFIG_KEYS, CONFIG_NAMES } from "./keys.ts";
import type { ConfigKey, ConfigKeyName, Running } from "./key.ts";
import type { Config } from "./read.ts";
import { wantedValue } from "./wanted.ts";

/** Values as JSON by the names of the file; a key that stands for nothing is not there. */
export type Settings = Readonly<Record<string, unknown>>;

/** A key that differs. Undefined is "left out". */
export interface Difference {
  readonly key: ConfigKeyName;
  readonly file: unknown;
  readonly running: unknown;
}

/** As the file writes it. */
function written(name: ConfigKeyName, value: unknown): unknown {
  return name === "AppConnector" && typeof value === "boolean" ? { Advertise: value } : value;
}

/** Everything a node runs with. */
export function settingsOf(running: Running): Settings {
  const entries = CONFIG_NAMES.flatMap((name) => {
    const value = (CONFIG_KEYS[name] as ConfigKey<unknown>).get?.(running);
    return value === undefined ? [] : [[name, written(name, value)]];
  });
  return Object.fromEntries(entries);
}

/**
 * A file that makes a new node what these settings say. What a new node has anyway is left out.
 * @param locked whether the file is to be the only one to change the node.
 */
export function configText(settings: Settings, locked: boolean): string {
  const entries = CONFIG_NAMES.flatMap((name) => {
    const initial = written(name, CONFIG_KEYS[name].initial);
    if (!Object.hasOwn(settings, name) || samePref(settings[name], initial)) return [];
    return [[name, settings[name]]];
  });
  const value = { version: "alpha0", ...!locked && { Locked: false }, ...Object.fromEntries(entries) };
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/**
 * Where a running node is not as the file says. @param applied names the file had when last applied; with "all" what
 * the file never named is compared with what a new node has.
 */
export function differences(config: Config, settings: Settings, applied: readonly string[] | "all"): Difference[] {
  const names = applied === "all" ? CONFIG_NAMES : applied;
  return CONFIG_NAMES.flatMap((key) => {
    if ((CONFIG_KEYS[key] as ConfigKey<unknown>).get === undefined) return [];
    const wanted = wantedValue(config, key, names);
    if (wanted === undefined) return [];
    const file = written(key, wanted.value);
    const running = settings[key];
    return samePref(file ?? null, running ?? null) ? [] : [{ key, file, running }];
  });
}
