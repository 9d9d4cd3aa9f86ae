/**
 * What the operator demands of the lock, whatever control says (L5): that there is one, and which one.
 *
 *   --lock-required        no peer is spoken to before a lock is known
 *   --lock-pin=<pin>,…     the same, and the lock must be this one:
 *       <52 characters of base32>   hash of the AUM the node begins with, as a rule the genesis
 *       tlpub:<hex>                 a key that signed the AUM the node begins with
 *       <id1>:<id2>                 state ID of the lock; not a secret, so it guards against mistakes only
 *
 * Of several pins of one kind one must fit. A hash that fits is enough; else a key must fit, if keys are pinned, and the
 * state ID, if one is pinned. Kept beside the preferences, under `_agent-lock-policy`, where a program that does not know
 * of it cannot take it away.
 */
import { fromUtf8, toHex, utf8 } from "../../base/bytes.ts";
import { LockPublic } from "../../base/lock_key.ts";
import { parseAumHash } from "../../tka/aum_hash.ts";
import { StateFileError } from "../state_file.ts";
import type { StateStore } from "../state_file.ts";

/** The operator's demands. Pins are in their one spelling. */
export interface LockPolicy {
  readonly required: boolean;
  readonly pins: readonly string[];
}

/** What a node began with, when it came under the lock. */
export interface LockAnchor {
  /** Base32. */
  readonly hash: string;
  /** Key IDs in hex of who signed it. */
  readonly signers: readonly string[];
  /** "id1:id2". */
  readonly stateId: string;
}

export const NO_POLICY: LockPolicy = { required: false, pins: [] };

const KEY = "_agent-lock-policy";
const STATE_ID = /^(0|[1-9][0-9]{0,19}):(0|[1-9][0-9]{0,19})$/;

/** The pin in its one spelling; undefined when it is none. */
export function parsePin(text: string): string | undefined {
  const trimmed = text.trim();
  if (STATE_ID.test(trimmed)) return trimmed;
  return LockPublic.parse(trimmed)?.cliString() ?? parseAumHash(trimmed.toUpperCase());
}

/** Why this is not the lock that was pinned; undefined when it is, or nothing is pinned. */
export function pinProblem({ pins }: LockPolicy, anchor: LockAnchor): string | undefined {
  if (pins.length === 0 || pins.includes(anchor.hash)) return undefined;
  const keys = pins.filter((pin) => pin.startsWith("tlpub:"));
  const states = pins.filter((pin) => STATE_ID.test(pin));
  if (keys.length === 0 && states.length < pins.length) {
    return `it begins with AUM ${anchor.hash}, want one of the pinned hashes`;
  }
  if (keys.length > 0 && !anchor.signers.some((id) => keys.includes(`tlpub:${id}`))) {
    const seen = anchor.signers.map((id) => `tlpub:${id}`).join(", ") || "nobody";
    return `it begins with an AUM signed by ${seen}, want one of the pinned keys`;
  }
  if (states.length > 0 && !states.includes(anchor.stateId)) {
    return `its state ID is ${anchor.stateId}, want ${states.join(" or ")}`;
  }
  return undefined;
}

/** Reads JSON `{required, pins}`; a text says what is wrong. */
export function readPolicy(value: unknown): LockPolicy | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "the lock policy is not an object";
  const { required = false, pins = [] } = value as Record<string, unknown>;
  if (typeof required !== "boolean") return "required is not true or false";
  if (!Array.isArray(pins)) return "pins is not a list";
  const read: string[] = [];
  for (const text of pins) {
    const pin = typeof text === "string" ? parsePin(text) : undefined;
    if (pin === undefined) {
      return `cannot use lock pin ${
        JSON.stringify(text)
      }: want an AUM hash (52 characters of base32), tlpub:… or id1:id2`;
    }
    if (!read.includes(pin)) read.push(pin);
  }
  return { required, pins: read };
}

/** @throws StateFileError when what is stored is damaged: it may have demanded a lock. */
export function loadPolicy(store: StateStore): LockPolicy {
  const bytes = store.read(KEY);
  if (bytes === undefined) return NO_POLICY;
  let policy: LockPolicy | string;
  try {
    policy = readPolicy(JSON.parse(fromUtf8(bytes) ?? ""));
  } catch {
    policy = "it is not JSON";
  }
  if (typeof policy !== "string") return policy;
  throw new StateFileError(`Cannot use the saved state: the value of ${JSON.stringify(KEY)} is damaged (${policy})`);
}

/** @throws StateFileError when it could not be stored. */
export function savePolicy(store: StateStore, policy: LockPolicy): void {
  const none = !policy.required && policy.pins.length === 0;
  store.write(KEY, none ? undefined : utf8(JSON.stringify(policy)));
}

/** The operator wants a lock before anything is let through. */
export function demandsLock(policy: LockPolicy): boolean {
  return policy.required || policy.pins.length > 0;
}

/** Key IDs as a record keeps them. */
export function signerIds(signatures: readonly { readonly keyId: Uint8Array | null }[]): string[] {
  return signatures.map(({ keyId }) => toHex(keyId ?? new Uint8Array(0)));
}
