/**
 * A profile's preferences: the values a user sets, and the keys that belong to them.
 *
 * The JSON is Go's `ipn.Prefs`, field for field, so that the state file and the LocalAPI serve Tailscale's own programs.
 * Fields of versions we do not know are kept and written back. Source: ipn/prefs.go.
 */
import { PREF_FIELDS, PREF_NAMES, readPref, samePref } from "./pref_fields.ts";
import type { PrefName, PrefValues } from "./pref_fields.ts";
import { publicPersist, readPersist, revealPersist } from "./persist.ts";
import type { Persist } from "./persist.ts";

/** Tailscale's own control server (ipn.DefaultControlURL). */
export const DEFAULT_CONTROL_URL = "https://controlplane.tailscale.com";

/** Preferences of one profile; immutable. */
export interface Prefs extends PrefValues {
  /** Keys and login, undefined in a profile that never had any. */
  readonly persist: Persist | undefined;
  /** Fields of other versions. */
  readonly unknown: Readonly<Record<string, unknown>>;
}

/** A change of some preferences (ipn.MaskedPrefs). */
export interface MaskedPrefs {
  readonly values: Partial<PrefValues>;
  /** Which halves of `AutoUpdate` are meant, when it is among the values. */
  readonly autoUpdate: { readonly check: boolean; readonly apply: boolean };
}

type Fields = Record<string, unknown>;

function fill(pick: "zero" | "initial"): PrefValues {
  return Object.fromEntries(PREF_NAMES.map((name) => {
    const field = PREF_FIELDS[name];
    return [name, pick === "initial" && "initial" in field ? field.initial : field.zero];
  })) as unknown as PrefValues;
}

/** Preferences of a new profile (ipn.NewPrefs). */
export function newPrefs(): Prefs {
  return { ...fill("initial"), persist: undefined, unknown: {} };
}

/** The URL to speak to, with the default for "" (Prefs.ControlURLOrDefault). */
export function controlUrl(prefs: PrefValues): string {
  const url = prefs.ControlURL.replace(/\/+$/, "");
  return url === "" || url === "https://login.tailscale.com" ? DEFAULT_CONTROL_URL : url;
}

function asFields(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Fields : undefined;
}

function readValues(fields: Fields, base: PrefValues): PrefValues | string {
  const values: Fields = { ...base };
  for (const name of PREF_NAMES) {
    if (!Object.hasOwn(fields, name)) continue;
    const value = readPref(name, fields[name]);
    if (value === undefined) return `${name} has the wrong type: ${JSON.stringify(fields[name])}`;
    values[name] = value;
  }
  return values as unknown as PrefValues;
}

/**
 * Decodes preferences. An absent field has the initial value of a profile (`saved`, the state file) or Go's zero value
 * (`sent`, a request's body). A string says what is wrong.
 */
export function readPrefs(value: unknown, origin: "saved" | "sent"): Prefs | string {
  const fields = asFields(value);
  if (fields === undefined) return "the preferences are not an object";
  const values = readValues(fields, fill(origin === "saved" ? "initial" : "zero"));
  if (typeof values === "string") return values;
  const persist = readPersist(fields.Config);
  if (typeof persist === "string") return persist;
  const unknown = Object.entries(fields).filter(([name]) => name !== "Config" && !Object.hasOwn(PREF_FIELDS, name));
  return { ...values, persist, unknown: Object.fromEntries(unknown) };
}

function valuesJson(values: PrefValues): Fields {
  const out: Fields = {};
  for (const name of PREF_NAMES) {
    const field = PREF_FIELDS[name];
    if (field.omitZero && samePref(values[name], field.zero)) continue;
    out[name] = values[name];
  }
  return out;
}

/** JSON with keys, for the state file alone: the bytes of Go's `Prefs.ToBytes`. */
export function savedPrefsText(prefs: Prefs): string {
  const Config = prefs.persist ? revealPersist(prefs.persist) : null;
  return JSON.stringify({ ...valuesJson(prefs), ...prefs.unknown, Config }, undefined, "\t");
}

/** JSON without keys, for the LocalAPI and the bus. */
export function publicPrefs(prefs: Prefs): Fields {
  const Config = prefs.persist ? publicPersist(prefs.persist) : null;
  return { ...valuesJson(prefs), ...prefs.unknown, Config };
}

/** Decodes a change. A string says what is wrong. */
export function readMaskedPrefs(value: unknown): MaskedPrefs | string {
  const fields = asFields(value);
  if (fields === undefined) return "the change of preferences is not an object";
  const all = readValues(fields, fill("zero"));
  if (typeof all === "string") return all;
  const values: Fields = {};
  for (const name of PREF_NAMES) {
    const mask = fields[`${name}Set`];
    if (mask === undefined || mask === null) continue;
    if (name === "AutoUpdate" ? asFields(mask) === undefined : typeof mask !== "boolean") {
      return `${name}Set has the wrong type: ${JSON.stringify(mask)}`;
    }
    if (name !== "AutoUpdate" && mask === true) values[name] = all[name];
  }
  const half = asFields(fields.AutoUpdateSet);
  const autoUpdate = { check: half?.CheckSet === true, apply: half?.ApplySet === true };
  if (autoUpdate.check || autoUpdate.apply) values.AutoUpdate = all.AutoUpdate;
  return { values: values as Partial<PrefValues>, autoUpdate };
}

/** A change of these values. */
export function change(values: Partial<PrefValues>): MaskedPrefs {
  return { values, autoUpdate: { check: true, apply: true } };
}

/**
 * The preferences after a change, with the consequences Go adds: naming an exit node ends its automatic choice, and
 * naming none forgets the one before. Source: Prefs.ApplyEdits, LocalBackend.adjustEditPrefsLocked.
 */
export function applyChange(prefs: Prefs, { values, autoUpdate }: MaskedPrefs): Prefs {
  const next: Fields = { ...prefs, ...values };
  if (values.AutoUpdate !== undefined) {
    next.AutoUpdate = {
      Check: autoUpdate.check ? values.AutoUpdate.Check : prefs.AutoUpdate.Check,
      Apply: autoUpdate.apply ? values.AutoUpdate.Apply : prefs.AutoUpdate.Apply,
    };
  }
  const exitNamed = values.ExitNodeID !== undefined || values.ExitNodeIP !== undefined;
  if (exitNamed && values.AutoExitNode === undefined) next.AutoExitNode = "";
  if (values.ExitNodeID === "" && values.InternalExitNodePrior === undefined) next.InternalExitNodePrior = "";
  return next as unknown as Prefs;
}

/** The names of the values that differ; keys and unknown fields are not compared. */
export function changedPrefs(a: PrefValues, b: PrefValues): PrefName[] {
  return PREF_NAMES.filter((name) => !samePref(a[name], b[name]));
}
