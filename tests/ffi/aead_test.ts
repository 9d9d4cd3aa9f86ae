import assert from "node:assert/strict";
import { createDecipheriv } from "node:crypto";
import type { AeadProvider } from "../../engine/ports.ts";
import { CHECK_SCRATCH, checkAead } from "../../ffi/aead_check.ts";
import { createLibcryptoFast } from "../../ffi/aead_libcrypto_fast.ts";
import { createNoble } from "../../ffi/aead_noble.ts";
import { createArena } from "../../ffi/arena.ts";
import { selectProvider } from "../../ffi/crypto_provider.ts";

const arena = createArena(8 << 20);
const scratch = arena.reserve(CHECK_SCRATCH);
const [left, right] = [arena.reserve(65536), arena.reserve(65536)];

function provider(name: string): AeadProvider | undefined {
  try {
    return selectProvider({ arena, force: name }).provider;
  } catch (error) {
    console.log(`skipped: ${error}`);
    return undefined;
  }
}

Deno.test("selectProvider() takes the first that passes and names what was passed over", () => {
  const { provider, tried } = selectProvider({ arena });
  console.log(`in use: ${provider.name}; passed over: ${JSON.stringify(tried)}`);
  for (const { failure } of tried) assert.notEqual(failure, "");
  assert.equal(selectProvider({ arena, force: "noble" }).provider.name, "noble");
});

Deno.test("selectProvider() refuses a name it does not know and falls back from no forced one", () => {
  assert.throws(
    () => selectProvider({ arena, force: "openssl" }),
    /want one of libcrypto-fast, libcrypto, wasm, noble/,
  );
  const original = WebAssembly.Instance;
  try {
    WebAssembly.Instance = class {
      constructor() {
        throw new Error("no WebAssembly today");
      }
    } as unknown as typeof WebAssembly.Instance;
    assert.throws(() => selectProvider({ arena, force: "wasm" }), /wasm: no WebAssembly today/);
  } finally {
    WebAssembly.Instance = original;
  }
});

for (const name of ["libcrypto-fast", "libcrypto", "wasm"]) {
  Deno.test(`AEAD ${name} agrees with noble and node:crypto on random packets under interleaved keys`, () => {
    const fast = provider(name);
    if (fast === undefined) return;
    const noble = createNoble(arena);
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] || 1;
    console.log(`seed ${seed}`);
    let state = seed;
    const random = (below: number) => {
      state ^= state << 13, state ^= state >>> 17, state ^= state << 5;
      return (state >>> 0) % below;
    };
    const keys = Array.from({ length: 4 }, () => Uint8Array.from({ length: 32 }, () => random(256)));
    const seals = keys.map((key) => [fast.createKey(key, "seal"), noble.createKey(key, "seal")]);
    const opens = keys.map((key) => [fast.createKey(key, "open"), noble.createKey(key, "open")]);
    for (let round = 0; round < 400; round++) {
      const k = random(4), length = round % 8 === 0 ? random(9000) : random(1500), shift = random(32);
      const [low, high] = [random(2 ** 32), random(2 ** 32)];
      const plain = Uint8Array.from({ length }, () => random(256));
      const at = left + shift;
      arena.u8.set(plain, at);
      arena.u8.set(plain, right);
      fast.seal(seals[k][0], at, length, low, high);
      noble.seal(seals[k][1], right, length, low, high);
      const sealed = arena.u8.slice(at, at + length + 16);
      assert.deepEqual(sealed, arena.u8.slice(right, right + length + 16), `round ${round}`);
      const nonce = new Uint8Array(12);
      new DataView(nonce.buffer).setUint32(4, low, true);
      new DataView(nonce.buffer).setUint32(8, high, true);
      const node = createDecipheriv("chacha20-poly1305", keys[k], nonce, { authTagLength: 16 });
      node.setAuthTag(sealed.subarray(length));
      assert.deepEqual(new Uint8Array(node.update(sealed.subarray(0, length))), plain);
      node.final();
      if (round % 3 === 0) {
        arena.u8[at + random(length + 16)] ^= 1 << random(8);
        assert.equal(fast.open(opens[k][0], at, length, low, high), false, `round ${round}: forged`);
        arena.u8.set(sealed, at);
      }
      assert.equal(fast.open(opens[(k + 1) % 4][0], at, length, low, high), false, `round ${round}: another key`);
      arena.u8.set(sealed, at);
      assert.equal(fast.open(opens[k][0], at, length, low, high), true, `round ${round}`);
      assert.deepEqual(arena.u8.slice(at, at + length), plain);
      assert.equal(noble.open(opens[k][1], right, length, low, high), true);
    }
    for (const [key] of [...seals, ...opens]) fast.freeKey(key);
  });

  Deno.test(`AEAD ${name} throws when a freed key is used, and reuses its number`, () => {
    const fast = provider(name);
    if (fast === undefined) return;
    const key = fast.createKey(new Uint8Array(32), "seal");
    fast.freeKey(key);
    assert.throws(() => fast.seal(key, left, 10, 0, 0), TypeError);
    assert.throws(() => fast.freeKey(key), TypeError);
    assert.equal(fast.createKey(new Uint8Array(32), "seal"), key);
    assert.throws(() => fast.createKey(new Uint8Array(31), "seal"), TypeError);
  });
}

Deno.test("AEAD libcrypto-fast gives the same in one part and in two, at each length around where they begin and end", () => {
  if (provider("libcrypto-fast") === undefined) return;
  const ways = [false, true].map((inParts) => createLibcryptoFast(arena, inParts));
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const seals = ways.map((way) => way.createKey(secret, "seal"));
  const opens = ways.map((way) => way.createKey(secret, "open"));
  for (let length = 1000; length <= 1300; length++) {
    const plain = crypto.getRandomValues(new Uint8Array(length));
    const [one, two] = ways.map((way, i) => {
      arena.u8.set(plain, left);
      way.seal(seals[i], left, length, length, 7);
      return arena.u8.slice(left, left + length + 16);
    });
    assert.deepEqual(two, one, `${length} bytes`);
    for (const [i, way] of ways.entries()) {
      arena.u8.set(one, left);
      assert.equal(way.open(opens[i], left, length, length, 7), true);
      assert.deepEqual(arena.u8.slice(left, left + length), plain);
      arena.u8.set(one, left);
      arena.u8[left + length - 1] ^= 1;
      assert.equal(way.open(opens[i], left, length, length, 7), false);
    }
  }
});

Deno.test("checkAead() finds a provider that ignores tags, repeats nothing, or forgets the high counter word", () => {
  const noble = createNoble(arena);
  const broken = (patch: Partial<AeadProvider>): AeadProvider => ({
    name: "noble",
    createKey: (key, use) => noble.createKey(key, use),
    freeKey: (key) => noble.freeKey(key),
    seal: (...args) => noble.seal(...args),
    open: (...args) => noble.open(...args),
    ...patch,
  });
  checkAead(broken({}), arena, scratch);
  const ignoresTags = broken({
    open: (key, offset, length, low, high) => (noble.open(key, offset, length, low, high), true),
  });
  assert.throws(() => checkAead(ignoresTags, arena, scratch), /altered, yet opened/);
  const forgetsHigh = broken({
    seal: (key, offset, length, low) => noble.seal(key, offset, length, low, 0),
    open: (key, offset, length, low) => noble.open(key, offset, length, low, 0),
  });
  assert.throws(() => checkAead(forgetsHigh, arena, scratch), /first ciphertext of RFC 8439/);
  let calls = 0;
  const onlyOnce = broken({ seal: (...args) => calls++ === 0 ? noble.seal(...args) : undefined });
  assert.throws(() => checkAead(onlyOnce, arena, scratch), /second ciphertext/);
});
