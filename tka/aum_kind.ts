/** What an authority update message does. Source: tka.AUMKind; the numbers are on the wire and never change. */

export const AUM_KIND = { INVALID: 0, ADD_KEY: 1, REMOVE_KEY: 2, NO_OP: 3, UPDATE_KEY: 4, CHECKPOINT: 5 } as const;

/** One byte. Kinds not in `AUM_KIND` are of a later version: they move the head and change nothing else (L11). */
export type AumKind = number;

const NAMES = ["invalid", "add-key", "remove-key", "no-op", "update-key", "checkpoint"];

/** "add-key" and so on, "AUM?<9>" for a kind of a later version: the words of `lock log`. */
export function aumKindName(kind: AumKind): string {
  return NAMES[kind] ?? `AUM?<${kind}>`;
}
