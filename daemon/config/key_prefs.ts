/** What keys of a configuration make of preferences, and how they show them. */
import { parseIp } from "../../base/ip.ts";
import { EXIT_ROUTES, isExitRoute } from "../exit_node.ts";
import type { PrefValues } from "../pref_fields.ts";
import type { Running } from "./key.ts";

/** A preference of the same type under another name. */
export function pref<K extends keyof PrefValues>(name: K): {
  readonly put: (value: PrefValues[K]) => Partial<PrefValues>;
  readonly get: (running: Running) => PrefValues[K];
} {
  return { put: (value) => ({ [name]: value } as Partial<PrefValues>), get: ({ prefs }) => prefs[name] };
}

/** A list of preferences, null for none. */
export function list(name: "AdvertiseTags" | "AdvertiseServices" | "RelayServerStaticEndpoints"): {
  readonly put: (value: readonly string[]) => Partial<PrefValues>;
  readonly get: (running: Running) => readonly string[];
} {
  return {
    put: (value) => ({ [name]: value.length === 0 ? null : value }),
    get: ({ prefs }) => prefs[name] ?? [],
  };
}

/** Routes of its own that a node offers, those of an exit node left out. */
export const ownRoutes = (prefs: PrefValues) => (prefs.AdvertiseRoutes ?? []).filter((route) => !isExitRoute(route));
/** Offers to be an exit node. */
export const offersExit = (prefs: PrefValues) => (prefs.AdvertiseRoutes ?? []).some(isExitRoute);

/** Offers these routes, and to be an exit node or not. */
export function advertised(exit: boolean, routes: readonly string[]): Partial<PrefValues> {
  const all = [...exit ? EXIT_ROUTES : [], ...routes];
  return { AdvertiseRoutes: all.length === 0 ? null : all };
}

/** Uses the exit node that a word names; none for "". */
export function exitNode(word: string): Partial<PrefValues> {
  const none = { ExitNodeID: "", ExitNodeIP: "", AutoExitNode: "" };
  if (word.startsWith("auto:")) return { ...none, AutoExitNode: word.slice(5) };
  return parseIp(word) === undefined ? { ...none, ExitNodeID: word } : { ...none, ExitNodeIP: word };
}
