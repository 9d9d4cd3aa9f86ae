/** Reads a configuration: every key that it has, in its one spelling, or everything that is wrong with it. */
import { checkPrefs } from "../check_prefs.ts";
import { isExitRoute } from "../exit_node.ts";
import { newPrefs } from "../prefs.ts";
import { parseHuJson } from "./hujson.ts";
import type { Problem, Tree } from "./hujson.ts";
import { CONFIG_KEYS, CONFIG_NAMES, CONFIG_SPELLINGS } from "./keys.ts";
import type { ConfigKey, ConfigKeyName, ConfigValues } from "./key.ts";
import { seen, unwanted } from "./kinds.ts";
import type { Report } from "./kinds.ts";
import { nearest } from "./near.ts";
import { wantedPrefs } from "./wanted.ts";

/** What a file says; a key that it leaves out, or gives as null, is not here. */
export type Config = Partial<ConfigValues>;

/** How reading ended. */
export type ReadConfig =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

const BY_LOWER_CASE = new Map(CONFIG_NAMES.map((name) => [name.toLowerCase(), name]));

/** Editors find the schema by it; it says nothing to us. */
const SCHEMA_KEY = "$schema";

function unknownKey(key: Tree): Problem {
  const near = nearest(key.value, CONFIG_SPELLINGS);
  const hint = near === undefined ? "'agent config schema' lists the keys" : `did you mean "${near}"?`;
  return { offset: key.offset, text: `unknown key ${JSON.stringify(key.value)}; ${hint}` };
}

/** An exit node's routes are its own key's. */
function splitExitRoutes(config: Config): Config {
  const routes = config.AdvertiseRoutes;
  if (routes?.some(isExitRoute) !== true) return config;
  return { AdvertiseExitNode: true, ...config, AdvertiseRoutes: routes.filter((route) => !isExitRoute(route)) };
}

/** What cannot be together, which no one key shows. */
function contradictions(config: Config): Problem[] {
  return checkPrefs({ ...newPrefs(), ...wantedPrefs(config, newPrefs(), []) }).map((text) => ({ text }));
}

/** Reads a file's text. Never throws. Problems come in the order of the text. */
export function readConfig(text: string): ReadConfig {
  const tree = parseHuJson(text);
  if (!("type" in tree)) return { ok: false, problems: tree };
  if (tree.type !== "object") {
    return { ok: false, problems: [{ offset: tree.offset, text: `saw ${seen(tree, false)}, want an object` }] };
  }
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const values: Record<string, unknown> = {};
  const found = new Set<string>();
  for (const { children: [key, value] = [] } of tree.children ?? []) {
    if (key.value === SCHEMA_KEY) continue;
    const name = BY_LOWER_CASE.get(String(key.value).toLowerCase());
    if (name === undefined) {
      problems.push(unknownKey(key));
      continue;
    }
    if (found.has(name)) problems.push({ offset: key.offset, text: `${name} is there twice` });
    found.add(name);
    if (value.type === "null") continue;
    const { kind, without } = CONFIG_KEYS[name] as ConfigKey<unknown>;
    const secret = name === "AuthKey";
    const report: Report = (at, want) => void problems.push(unwanted(name, at, want ?? kind.want, secret));
    const read = kind.read(value, report);
    if (read === undefined) continue;
    values[name] = read;
    const said = read !== false && !(Array.isArray(read) && read.length === 0);
    if (without !== undefined && said) warnings.push({ offset: key.offset, text: `${name} ${without}` });
  }
  if (!found.has("version")) {
    problems.unshift({ offset: tree.offset, text: 'no "version"; want "version": "alpha0"' });
  }
  if (problems.length > 0) return { ok: false, problems };
  const config = splitExitRoutes(values as Config);
  const contradicted = contradictions(config);
  return contradicted.length > 0 ? { ok: false, problems: contradicted } : { ok: true, config, warnings };
}

/** The names a configuration has. */
export function namesOf(config: Config): ConfigKeyName[] {
  return CONFIG_NAMES.filter((name) => config[name] !== undefined);
}
