/**
 * Disablement secrets: 32 random bytes each, written on paper when the lock is made; whoever shows one ends the lock.
 * The state holds only what they derive to, by Argon2i (RFC 9106) with upstream's parameters. Source: tka.DisablementKDF.
 */
import { argon2i } from "@noble/hashes/argon2.js";
import { equalBytes, utf8 } from "../base/bytes.ts";
import { DISABLEMENT_LENGTH } from "./limits.ts";
import type { State } from "./state.ts";

const SALT = utf8("tailscale network-lock disablement salt");

/** Four passes over 16 MiB in four lanes. */
const PARAMETERS = { t: 4, m: 16 * 1024, p: 4, dkLen: DISABLEMENT_LENGTH } as const;

/** The disablement value of a secret, 32 bytes. Takes about 0.4 s of computing: call it off the serving thread. */
export function disablementValue(secret: Uint8Array): Uint8Array {
  return argon2i(secret, SALT, PARAMETERS);
}

/**
 * Whether a derived value is one of the state's, in time that does not depend on which. Apart from the derivation so
 * that a worker derives and the thread with the state compares.
 */
export function isDisablementValue(state: State, derived: Uint8Array): boolean {
  let found = false;
  for (const value of state.disablementValues ?? []) {
    if (value !== null && equalBytes(value, derived)) found = true;
  }
  return found;
}
