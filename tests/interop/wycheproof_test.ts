// Project Wycheproof's vectors (C2SP, Apache 2.0), read from Go's module cache, against the primitives in use.

import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { open, seal } from "../../base/aead.ts";
import { concat, fromHex, isZero, toHex } from "../../base/bytes.ts";
import { X25519Private } from "../../base/x25519.ts";
import { runLab } from "./support/lab.ts";
import { labTest } from "./support/lab_test_case.ts";

interface Case {
  readonly tcId: number;
  readonly comment: string;
  readonly result: "valid" | "invalid" | "acceptable";
  readonly [hex: string]: string | number | readonly string[];
}

interface Group {
  readonly tests: readonly Case[];
  readonly ivSize?: number;
  readonly publicKey?: { readonly pk: string };
}

async function groups(path: string, file: string): Promise<readonly Group[]> {
  const dir = await Deno.makeTempDir({ prefix: "wycheproof-" });
  try {
    await runLab({ path }, ["vectors", "wycheproof", `--out=${dir}`], 300_000);
    return JSON.parse(await Deno.readTextFile(`${dir}/${file}_test.json`)).testGroups;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function field(test: Case, name: string): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(String(test[name]));
  assert.ok(bytes, `case ${test.tcId} has no ${name}`);
  return bytes;
}

/** Runs all cases of the groups, and fails naming each that went wrong. */
function check(all: readonly Group[], least: number, holds: (test: Case, group: Group) => boolean): void {
  const wrong: string[] = [];
  let count = 0;
  for (const group of all) {
    for (const test of group.tests) {
      count++;
      if (!holds(test, group)) wrong.push(`${test.tcId} (${test.result}): ${test.comment}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count >= least, `${count} cases, want at least ${least}`);
}

labTest("Wycheproof: X25519", async (path) => {
  check(await groups(path, "x25519"), 500, (test) => {
    const shared = field(test, "shared");
    const secret = new X25519Private(field(test, "private")).sharedSecret(field(test, "public"));
    return isZero(shared) ? secret === undefined : secret !== undefined && toHex(secret) === test.shared;
  });
});

labTest("Wycheproof: ChaCha20-Poly1305", async (path) => {
  const all = (await groups(path, "chacha20_poly1305")).filter((group) => group.ivSize === 96);
  check(all, 250, (test) => {
    const [key, nonce, aad, message] = ["key", "iv", "aad", "msg"].map((name) => field(test, name));
    const sealed = concat(field(test, "ct"), field(test, "tag"));
    const opened = open(key, nonce, sealed, aad);
    if (test.result === "invalid") return opened === undefined;
    return opened !== undefined && toHex(opened) === test.msg &&
      toHex(seal(key, nonce, message, aad)) === toHex(sealed);
  });
});

labTest("Wycheproof: XChaCha20-Poly1305, which WireGuard's cookies use", async (path) => {
  const all = (await groups(path, "xchacha20_poly1305")).filter((group) => group.ivSize === 192);
  check(all, 200, (test) => {
    const [key, nonce, aad, message] = ["key", "iv", "aad", "msg"].map((name) => field(test, name));
    const sealed = concat(field(test, "ct"), field(test, "tag"));
    const cipher = () => xchacha20poly1305(key, nonce, aad);
    let opened: string | undefined;
    try {
      opened = toHex(cipher().decrypt(sealed));
    } catch {
      opened = undefined;
    }
    if (test.result === "invalid") return opened === undefined;
    return opened === test.msg && toHex(cipher().encrypt(message)) === toHex(sealed);
  });
});

labTest("Wycheproof: Ed25519, native and noble", async (path) => {
  const spki = fromHex("302a300506032b6570032100")!;
  check(await groups(path, "ed25519"), 100, (test, group) => {
    const key = fromHex(group.publicKey!.pk)!;
    const [message, signature] = [field(test, "msg"), field(test, "sig")];
    const native = (): boolean => {
      try {
        const pub = createPublicKey({ key: concat(spki, key) as never, format: "der", type: "spki" });
        return verify(null, message, pub as never, signature);
      } catch {
        return false;
      }
    };
    const noble = (): boolean => {
      try {
        return ed25519.verify(signature, message, key, { zip215: false });
      } catch {
        return false;
      }
    };
    const valid = test.result === "valid";
    return native() === valid && noble() === valid;
  });
});
