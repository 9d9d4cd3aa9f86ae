/**
 * OpenSSL's libcrypto: the EVP calls of ChaCha20-Poly1305, loaded once a thread at module scope.
 *
 * Loading never throws: where there is no libcrypto, `evp` is undefined and `evpFailure` says why.
 * 1.1 has no OSSL_PARAM calls, so its symbols of 3.0 are optional. Source: EVP_EncryptInit(3), OSSL_PARAM(3).
 */

const SONAMES = ["libcrypto.so.3", "libcrypto.so.1.1"] as const;

const SYMBOLS = {
  EVP_chacha20_poly1305: { parameters: [], result: "pointer" },
  EVP_CIPHER_fetch: { parameters: ["pointer", "buffer", "pointer"], result: "pointer", optional: true },
  EVP_CIPHER_CTX_new: { parameters: [], result: "pointer" },
  EVP_CIPHER_CTX_free: { parameters: ["pointer"], result: "void" },
  EVP_CIPHER_CTX_ctrl: { parameters: ["pointer", "i32", "i32", "pointer"], result: "i32" },
  EVP_CIPHER_CTX_set_params: { parameters: ["pointer", "pointer"], result: "i32", optional: true },
  EVP_CIPHER_CTX_get_params: { parameters: ["pointer", "pointer"], result: "i32", optional: true },
  /** For keying: the key and nonce are ordinary buffers. */
  encrypt_key: {
    name: "EVP_EncryptInit_ex",
    parameters: ["pointer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  decrypt_key: {
    name: "EVP_DecryptInit_ex",
    parameters: ["pointer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  /** For a packet: only the nonce changes, and lies in the arena. */
  EVP_EncryptInit_ex: { parameters: ["pointer", "pointer", "pointer", "pointer", "pointer"], result: "i32" },
  EVP_DecryptInit_ex: { parameters: ["pointer", "pointer", "pointer", "pointer", "pointer"], result: "i32" },
  EVP_EncryptUpdate: { parameters: ["pointer", "pointer", "pointer", "pointer", "i32"], result: "i32" },
  EVP_DecryptUpdate: { parameters: ["pointer", "pointer", "pointer", "pointer", "i32"], result: "i32" },
  EVP_EncryptFinal_ex: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  EVP_DecryptFinal_ex: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
} as const;

type Evp = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

function load(): { evp?: Evp; failure: string } {
  const failures: string[] = [];
  for (const soname of SONAMES) {
    try {
      return { evp: Deno.dlopen(soname, SYMBOLS).symbols, failure: "" };
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { failure: failures.join("; ") };
}

const loaded = load();

/** The EVP calls, or undefined where libcrypto is missing. */
export const evp: Evp | undefined = loaded.evp;
/** Why `evp` is undefined. */
export const evpFailure: string = loaded.failure;

// Fetched once: each fetch takes a reference for good, and a node makes keys for years.
const cipher = loaded.evp === undefined
  ? null
  : loaded.evp.EVP_CIPHER_fetch?.(null, new TextEncoder().encode("ChaCha20-Poly1305\0"), null) ??
    loaded.evp.EVP_chacha20_poly1305();

/** A context keyed once for the life of a session key. The provider clears the key when it is freed. */
export function keyedContext(calls: Evp, key: Uint8Array, use: "seal" | "open"): Deno.PointerObject {
  if (key.length !== 32) throw new TypeError(`Cannot key ChaCha20-Poly1305 with ${key.length} bytes: want 32`);
  const context = calls.EVP_CIPHER_CTX_new();
  if (cipher === null || context === null) throw new Error("Cannot use ChaCha20-Poly1305: libcrypto does not offer it");
  const own = key.slice();
  const init = use === "seal" ? calls.encrypt_key : calls.decrypt_key;
  const keyed = init(context, cipher, null, own, new Uint8Array(12));
  own.fill(0);
  if (keyed !== 1) {
    calls.EVP_CIPHER_CTX_free(context);
    throw new Error("Cannot key ChaCha20-Poly1305: libcrypto refused the key");
  }
  return context;
}
