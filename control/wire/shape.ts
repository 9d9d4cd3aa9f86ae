/**
 * Checks that decoded JSON has the types a Go struct would take, where the answer comes from the network.
 *
 * As Go does: unknown fields are let be, null is the same as absent, a wrong type spoils the whole document. Checked
 * values are changed in place: a null field becomes undefined, so that readers know one "nothing"; a null in a list of
 * structs is taken out, a null in a map stays, since maps use it for "delete".
 */
import { fromBase64 } from "../../base/bytes.ts";
import { parseAddrPort, parseIp, parsePrefix } from "../../base/ip.ts";

/** What is wrong with a value, from the outside in ("Peers[3].Key is 7, want text"), or undefined. */
export type Shape = (value: unknown) => string | undefined;

type Fields = Record<string, unknown>;

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** At most 40 characters of the value, never more: it may be a secret or a megabyte. */
function seen(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (isFields(value)) return "an object";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

function scalar(want: string, accept: (value: unknown) => boolean): Shape {
  return (value) => accept(value) ? undefined : ` is ${seen(value)}, want ${want}`;
}

const isText = (value: unknown): value is string => typeof value === "string";

export const text: Shape = scalar("text", isText);
export const bool: Shape = scalar("true or false", (value) => typeof value === "boolean");
export const number: Shape = scalar("a number", (value) => typeof value === "number");
/** Exact; `json.ts` has folded the IDs that would not be. */
export const integer: Shape = scalar("an integer below 2^53", Number.isSafeInteger);
export const port: Shape = scalar(
  "0 to 65535",
  (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65535,
);
/** RFC 3339. */
export const time: Shape = scalar("an RFC 3339 time", (value) => isText(value) && !Number.isNaN(Date.parse(value)));
export const base64: Shape = scalar("base64", (value) => isText(value) && fromBase64(value) !== undefined);
/** With its length, as `netip.ParsePrefix` wants it. */
export const prefix: Shape = scalar(
  "an IP prefix",
  (value) => isText(value) && value.includes("/") && parsePrefix(value) !== undefined,
);
/** An address, or "" for Go's zero `netip.Addr`. */
export const address: Shape = scalar(
  "an IP address",
  (value) => value === "" || (isText(value) && parseIp(value) !== undefined),
);
export const addrPort: Shape = scalar("ip:port", (value) => isText(value) && parseAddrPort(value) !== undefined);
/** An integer, or its decimal text when beyond 2^53. */
export const exactInteger: Shape = scalar(
  "an integer",
  (value) => Number.isSafeInteger(value) || (isText(value) && /^-?[0-9]{16,19}$/.test(value)),
);
/** Anything. */
export const raw: Shape = () => undefined;

/** `<prefix>` and 64 hex digits. */
export function key(keyPrefix: string): Shape {
  const pattern = new RegExp(`^${keyPrefix}[0-9a-fA-F]{64}$`);
  return scalar(`${keyPrefix}<64 hex digits>`, (value) => isText(value) && pattern.test(value));
}

/** A field that must be there. */
export interface Required {
  readonly required: Shape;
}

/** A field that Go always writes; `zero` stands in for one that a server left out. */
export interface Defaulted {
  readonly shape: Shape;
  readonly zero: unknown;
}

export type FieldShape = Shape | Required | Defaulted;

/** A struct: the named fields have these shapes, all others are let be. */
export function struct(fields: Readonly<Record<string, FieldShape>>): Shape {
  const entries = Object.entries(fields);
  return (value) => {
    if (!isFields(value)) return ` is ${seen(value)}, want an object`;
    for (const [name, field] of entries) {
      const found = value[name] ?? undefined;
      const shape = typeof field === "function" ? field : "required" in field ? field.required : field.shape;
      if (found !== undefined) {
        const wrong = shape(found);
        if (wrong !== undefined) return `.${name}${wrong}`;
      } else if (typeof field !== "function" && "required" in field) {
        return `.${name} is missing`;
      } else if (typeof field !== "function") {
        value[name] = field.zero;
      } else if (value[name] === null) {
        value[name] = undefined;
      }
    }
    return undefined;
  };
}

/** A list of such values; nulls are taken out. */
export function list(item: Shape): Shape {
  return (value) => {
    if (!Array.isArray(value)) return ` is ${seen(value)}, want a list`;
    let kept = 0;
    for (let i = 0; i < value.length; i++) {
      if (value[i] === null) continue;
      const wrong = item(value[i]);
      if (wrong !== undefined) return `[${i}]${wrong}`;
      value[kept++] = value[i];
    }
    value.length = kept;
    return undefined;
  };
}

/** A map from text to such values; nulls stay. */
export function map(item: Shape): Shape {
  return (value) => {
    if (!isFields(value)) return ` is ${seen(value)}, want an object`;
    for (const [name, entry] of Object.entries(value)) {
      const wrong = entry === null ? undefined : item(entry);
      if (wrong !== undefined) return `[${seen(name)}]${wrong}`;
    }
    return undefined;
  };
}

/** A map whose keys are decimal integers. */
export function integerMap(item: Shape): Shape {
  const inner = map(item);
  return (value) => {
    const wrong = inner(value);
    if (wrong !== undefined) return wrong;
    const bad = Object.keys(value as Fields).find((name) => !/^-?[0-9]{1,19}$/.test(name));
    return bad === undefined ? undefined : `[${seen(bad)}] is not an integer key`;
  };
}
