/**
 * Auth keys: `tskey-auth-<id>-<secret>`.
 *
 * The ID finds the record, the secret proves it. The store has the SHA-256 of the secret only (a secret of 190 random
 * bits needs no slow hash), so the text is shown once, at creation, and a stolen database joins no one.
 */
import { createHash } from "node:crypto";
import { equalBytes, utf8 } from "../../base/bytes.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { Secret } from "../../base/secret.ts";
import type { AuthKeyRecord } from "./node_record.ts";
import { randomText } from "./random_text.ts";

const ID_LENGTH = 12;
const SECRET_LENGTH = 32;
const FORM = /^tskey-auth-([0-9A-Za-z]{1,64})-([0-9A-Za-z]{1,128})$/;

/** What a key grants, as the operator asked for it. */
export interface AuthKeyGrant {
  readonly userId: number;
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly tags: readonly string[];
  /** Undefined: never. */
  readonly expiresAt: number | undefined;
}

/** A new key: the record to store and the text to show once. */
export interface MintedAuthKey {
  readonly record: AuthKeyRecord;
  readonly text: Secret;
}

/** Why a key does not register a node. The text goes to the node's operator as it is. */
export type AuthKeyRefusal = { readonly refused: string };

function hashOf(secret: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(utf8(secret)).digest());
}

/** Makes a key. @param now Unix milliseconds. */
export function mintAuthKey(grant: AuthKeyGrant, now: number, random: RandomBytes): MintedAuthKey {
  const id = randomText(ID_LENGTH, random);
  const secret = randomText(SECRET_LENGTH, random);
  return {
    record: { ...grant, id, secretHash: hashOf(secret), createdAt: now, usedAt: undefined },
    text: new Secret(`tskey-auth-${id}-${secret}`),
  };
}

/** The two parts of a key's text, or undefined for another form. The secret is only to be given to `checkAuthKey`. */
export function splitAuthKey(text: string): { readonly id: string; readonly secret: Secret } | undefined {
  // A tailnet-lock credential may follow the key; the node signs with it, the coordinator has no use for it.
  const match = FORM.exec(text.trim().split("--TL")[0]);
  return match === null ? undefined : { id: match[1], secret: new Secret(match[2]) };
}

/**
 * Whether a key may register a node now: the record when it may.
 *
 * An unknown ID and a wrong secret get the same answer after the same work. A used one-off key is only noticed here;
 * `AuthKeyTable.consume` is what guarantees one use.
 */
export function checkAuthKey(
  record: AuthKeyRecord | undefined,
  secret: Secret,
  now: number,
): AuthKeyRecord | AuthKeyRefusal {
  const matches = equalBytes(hashOf(secret.reveal()), record?.secretHash ?? new Uint8Array(32));
  if (record === undefined || !matches) {
    return {
      refused: "invalid auth key: this coordinator has no such key; create one with `agent coordinator keys create`",
    };
  }
  if (record.expiresAt !== undefined && record.expiresAt <= now) {
    const when = new Date(record.expiresAt).toISOString();
    return { refused: `auth key ${record.id} expired at ${when}; create one with \`agent coordinator keys create\`` };
  }
  if (!record.reusable && record.usedAt !== undefined) return { refused: usedText(record.id) };
  return record;
}

/** How it stands with a key, for people and for `lock prune`. */
export function authKeyState(record: AuthKeyRecord, now: number): "valid" | "used" | "expired" {
  if (record.expiresAt !== undefined && record.expiresAt <= now) return "expired";
  return !record.reusable && record.usedAt !== undefined ? "used" : "valid";
}

/** What a second user of a one-off key is told. */
export function usedText(id: string): string {
  return `auth key ${id} was for one use and has been used; create one with \`agent coordinator keys create\``;
}

/** `tag:` and a name that begins with a letter and has letters, digits and hyphens. Source: tailcfg.CheckTag. */
export function isTag(text: string): boolean {
  return /^tag:[A-Za-z][A-Za-z0-9-]*$/.test(text);
}
