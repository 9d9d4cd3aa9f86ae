/**
 * Which implementation of ChaCha20-Poly1305 the data plane uses: the fastest that passes its known answer tests.
 *
 *   libcrypto-fast → libcrypto → wasm → noble
 */

import type { AeadProvider } from "../engine/ports.ts";
import { CHECK_SCRATCH, checkAead } from "./aead_check.ts";
import { createLibcrypto } from "./aead_libcrypto.ts";
import { createLibcryptoFast } from "./aead_libcrypto_fast.ts";
import { createNoble } from "./aead_noble.ts";
import { createWasm } from "./aead_wasm.ts";
import type { FfiArena } from "./arena.ts";

type Name = AeadProvider["name"];

const ORDER: readonly [Name, (arena: FfiArena) => AeadProvider][] = [
  ["libcrypto-fast", (arena) => createLibcryptoFast(arena)],
  ["libcrypto", createLibcrypto],
  ["wasm", createWasm],
  ["noble", createNoble],
];

/** The provider in use, and those before it in the order with the reason each was passed over: for status and the log. */
export interface SelectedProvider {
  readonly provider: AeadProvider;
  readonly tried: readonly { readonly name: Name; readonly failure: string }[];
}

/**
 * Selects and checks a provider. Each thread selects its own.
 *
 * @param force The one provider to use, as the operator named it; no other is then fallen back to.
 * @throws RangeError for an unknown name. @throws Error when no provider passes.
 */
export function selectProvider({ arena, force }: { arena: FfiArena; force?: string }): SelectedProvider {
  if (force !== undefined && !ORDER.some(([name]) => name === force)) {
    const names = ORDER.map(([name]) => name).join(", ");
    throw new RangeError(`Cannot use crypto provider "${force}": want one of ${names}`);
  }
  const tried: { name: Name; failure: string }[] = [];
  const scratch = arena.reserve(CHECK_SCRATCH);
  for (const [name, create] of ORDER) {
    if (force !== undefined && name !== force) continue;
    try {
      const provider = create(arena);
      checkAead(provider, arena, scratch);
      return { provider, tried };
    } catch (error) {
      tried.push({ name, failure: error instanceof Error ? error.message : String(error) });
    }
  }
  const reasons = tried.map(({ name, failure }) => `${name}: ${failure}`).join("; ");
  throw new Error(`Cannot use any crypto provider: ${reasons}`);
}
