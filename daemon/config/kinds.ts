/**
 * The kinds of values a configuration has. Each says once what it takes: as JSON Schema for editors, as a reader that
 * gives the value in its one spelling, and in words for whoever wrote something else.
 */
import { INSTANCE_NAME, INSTANCE_WANTED } from "../../base/instance_name.ts";
import { formatPrefix, isMasked, masked, parseAddrPort, parseIp, parsePrefix } from "../../base/ip.ts";
import { Secret } from "../../base/secret.ts";
import { controlUrlError, tagError } from "../check_prefs.ts";
import { instanceOf } from "../instance.ts";
import { LOG_LEVELS } from "../log_level.ts";
import { parsePin } from "../lock/policy.ts";
import type { AutoUpdatePrefs } from "../pref_fields.ts";
import type { Problem, Tree } from "./hujson.ts";

/** A part of a JSON Schema, 2020-12. */
export type Schema = Readonly<Record<string, unknown>>;

/** How a reader says that something is not as it must be. @param want What would be, "" for the kind's own words. */
export type Report = (at: Tree, want?: string) => undefined;

/** One kind of value. */
export interface Kind<T> {
  /** What is wanted, to stand behind "want". */
  readonly want: string;
  readonly schema: Schema;
  /** The value, or undefined after a report. */
  read(tree: Tree, report: Report): T | undefined;
}

function kind<T>(want: string, schema: Schema, read: Kind<T>["read"]): Kind<T> {
  return { want, schema, read };
}

function textKind<T = string>(want: string, schema: Schema, parse: (text: string) => T | undefined): Kind<T> {
  return kind(want, { type: "string", ...schema }, (tree, report) => {
    const value = tree.type === "string" ? parse(tree.value) : undefined;
    return value === undefined ? report(tree) : value;
  });
}

function listKind(want: string, items: Schema, parse: (text: string) => string | undefined): Kind<readonly string[]> {
  const schema = { type: "array", items: { type: "string", ...items } };
  return kind(`a list of ${want}`, schema, (tree, report) => {
    if (tree.type !== "array") return report(tree);
    const found = (tree.children ?? []).map((item) => {
      const value = item.type === "string" ? parse(item.value) : undefined;
      return value === undefined ? report(item, want) : value;
    });
    const values = found.filter((value) => value !== undefined);
    return values.length === found.length ? [...new Set(values)] : undefined;
  });
}

/** The members of an object, which may have no others. */
function members(tree: Tree, names: readonly string[], report: Report): Map<string, Tree> | undefined {
  if (tree.type !== "object") return report(tree);
  const found = new Map<string, Tree>();
  for (const { children: [key, value] = [] } of tree.children ?? []) {
    const name = names.find((one) => one.toLowerCase() === String(key.value).toLowerCase());
    if (name === undefined || value === undefined) return report(key, names.join(" or "));
    if (value.type !== "null") found.set(name, value);
  }
  return found;
}

function flag(tree: Tree | undefined, report: Report): boolean | null | undefined {
  if (tree === undefined) return null;
  return tree.type === "boolean" ? tree.value : report(tree, "true or false");
}

const LABEL = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

function route(text: string): string | undefined {
  const prefix = text.includes("/") ? parsePrefix(text) : undefined;
  return prefix === undefined || !isMasked(prefix) ? undefined : formatPrefix(prefix);
}

/** The same with the host's bits gone, when that is all that is wrong. */
function meantRoute(tree: Tree): string {
  const prefix = tree.type === "string" && tree.value.includes("/") ? parsePrefix(tree.value) : undefined;
  return prefix === undefined ? "a prefix, as 10.1.0.0/24" : `${formatPrefix(masked(prefix))}: no bits of a host`;
}

function count(most: number, want: string): Kind<number> {
  return kind(want, { type: "integer", minimum: 0, maximum: most }, (tree, report) => {
    const ok = tree.type === "number" && Number.isInteger(tree.value) && tree.value >= 0 && tree.value <= most;
    return ok ? tree.value : report(tree);
  });
}

function choice<T extends string>(...words: readonly T[]): Kind<T> {
  const want = words.map((word) => JSON.stringify(word)).join(" or ");
  return textKind(want, { enum: words }, (text) => words.find((word) => word === text));
}

const addrPort = (text: string) => (parseAddrPort(text)?.port ?? 0) > 0 ? text : undefined;

/** All kinds. */
export const KINDS = {
  version: choice("alpha0"),
  bool: kind(
    "true or false",
    { type: "boolean" },
    (tree, report) => tree.type === "boolean" ? tree.value : report(tree),
  ),
  text: textKind("text", {}, (text) => text),
  logFormat: choice("text", "json"),
  span: textKind(
    "a time like 14d or 36h, or never",
    { pattern: "^(never|0|[0-9]{1,5}[smhdw])$" },
    (text) => /^(never|0|[0-9]{1,5}[smhdw])$/.test(text) ? text : undefined,
  ),
  logLevel: choice(...LOG_LEVELS),
  netfilterMode: choice("on", "nodivert", "off"),
  port: count(65535, "a port, 0 to 65535"),
  secret: textKind("an auth key, or file: and the path of a file with it", {}, (text) => new Secret(text)),
  path: textKind("an absolute path", { pattern: "^/" }, (text) => text.startsWith("/") ? text : undefined),
  url: textKind(
    "an https:// or http:// URL",
    { pattern: "^(https?://.*)?$" },
    (text) => controlUrlError(text) === undefined ? text : undefined,
  ),
  instance: textKind(
    INSTANCE_WANTED,
    { pattern: `^(${INSTANCE_NAME})?$` },
    (text) => instanceOf(text)?.name,
  ),
  hostname: textKind(
    "a host name: labels of up to 63 letters, digits and inner dashes",
    { maxLength: 253 },
    (text) =>
      text === "" || (text.length <= 253 && text.split(".").every((label) => LABEL.test(label))) ? text : undefined,
  ),
  exitNode: textKind(
    "an address, a node's stable ID or name, or auto:any",
    {},
    (text) =>
      /^auto:(?!any$)/.test(text) || /\s/.test(text)
        ? undefined
        : parseIp(text) === undefined
        ? text.replace(/\.$/, "")
        : text,
  ),
  tags: listKind(
    "tags, as tag:server",
    { pattern: "^tag:[A-Za-z][A-Za-z0-9-]*$" },
    (text) => tagError(text) === undefined ? text : undefined,
  ),
  services: listKind(
    "services, as svc:web",
    { pattern: "^svc:" },
    (text) => /^svc:[a-z0-9-]+$/.test(text) ? text : undefined,
  ),
  lockPins: listKind("lock pins: an AUM hash (52 characters of base32), tlpub:… or id1:id2", {}, parsePin),
  addrPorts: listKind("IP:port", {}, addrPort),
  routes: kind<readonly string[]>(
    "a list of prefixes, as 10.1.0.0/24",
    { type: "array", items: { type: "string", pattern: "/[0-9]+$" } },
    (tree, report) => {
      if (tree.type !== "array") return report(tree);
      const found = (tree.children ?? []).map((item) => {
        const value = item.type === "string" ? route(item.value) : undefined;
        return value === undefined ? report(item, meantRoute(item)) : value;
      });
      const values = found.filter((value) => value !== undefined);
      return values.length === found.length ? [...new Set(values)].sort() : undefined;
    },
  ),
  appConnector: kind<boolean>(
    'an object {"Advertise": true or false}',
    { type: "object", properties: { Advertise: { type: "boolean" } }, additionalProperties: false },
    (tree, report) => {
      const found = members(tree, ["Advertise"], report);
      const advertise = found && flag(found.get("Advertise"), report);
      return advertise === undefined ? undefined : advertise ?? false;
    },
  ),
  autoUpdate: kind<AutoUpdatePrefs>(
    'an object {"Check": true or false, "Apply": false}',
    {
      type: "object",
      properties: { Check: { type: "boolean" }, Apply: { enum: [false, null] } },
      additionalProperties: false,
    },
    (tree, report) => {
      const found = members(tree, ["Check", "Apply"], report);
      if (found === undefined) return undefined;
      const check = flag(found.get("Check"), report);
      const apply = flag(found.get("Apply"), report);
      if (apply === true) return report(found.get("Apply")!, "false: auto-updates are not supported on this platform");
      return check === undefined || apply === undefined ? undefined : { Check: check ?? false, Apply: apply };
    },
  ),
  anyObject: kind<true>(
    "an object",
    { type: "object" },
    (tree, report) => tree.type === "object" ? true : report(tree),
  ),
} as const satisfies Readonly<Record<string, Kind<unknown>>>;

/** What was seen at a place, short, and never a secret. */
export function seen(tree: Tree, secret: boolean): string {
  if (secret) return tree.type === "string" ? "a text" : `a ${tree.type}`;
  if (tree.type === "object") return "an object";
  if (tree.type === "array") return "a list";
  const text = JSON.stringify(tree.value) ?? tree.type;
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The problem at a place. */
export function unwanted(key: string, tree: Tree, want: string, secret = false): Problem {
  return { offset: tree.offset, text: `${key}: saw ${seen(tree, secret)}, want ${want}` };
}
