/**
 * JSON with Go's int64 in it.
 *
 * IDs of nodes and users are int64, and Tailscale's own control allocated ones beyond 2^53 until March 2023, which
 * `JSON.parse` would round, so that two nodes could become one. Source: tailcfg.ID. They are keys within a map and no
 * more, so those are folded into 53 bits; where an ID goes back to control it is kept as text.
 */

/** Where an ID beyond 2^53 may stand: under these names, and in lists (`PeersRemoved`). */
const ID_NAMES: ReadonlySet<string> = new Set(["ID", "NodeID", "User", "Sharer"]);
const LONG_INTEGER = /[:,[]\s*-?[0-9]{16}/;
const FOLD_BASE = 2 ** 52;

/**
 * The integer itself when it is below 2^53, else one of 2^52 to 2^53 made of its low 52 bits. Two IDs of one tailnet
 * become the same with a chance of 2^-52; who would do it on purpose, control, may alter any node anyway.
 * @param digits decimal, perhaps with a sign.
 */
export function foldInt64(digits: string): number {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : FOLD_BASE + Number(BigInt.asUintN(52, BigInt(digits)));
}

type Reviver = (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown;

/**
 * `JSON.parse` that keeps IDs apart.
 * @param large what becomes of an ID beyond 2^53: folded, or its decimal text.
 * @throws SyntaxError as `JSON.parse`.
 */
export function parseJson(text: string, large: "fold" | "text" = "fold"): unknown {
  if (!LONG_INTEGER.test(text)) return JSON.parse(text);
  const reviver: Reviver = function (key, value, { source }) {
    if (typeof value !== "number" || source === undefined || Number.isSafeInteger(value)) return value;
    if (!/^-?[0-9]+$/.test(source) || !(ID_NAMES.has(key) || Array.isArray(this))) return value;
    return large === "fold" ? foldInt64(source) : source;
  };
  return JSON.parse(text, reviver as Parameters<typeof JSON.parse>[1]);
}
