import assert from "node:assert/strict";
import { checkAuthKey, isTag, mintAuthKey, splitAuthKey } from "../../../control/server/auth_keys.ts";
import type { AuthKeyGrant } from "../../../control/server/auth_keys.ts";
import { Secret } from "../../../base/secret.ts";
import { SeededRandom } from "../../support/random.ts";

const NOW = Date.UTC(2026, 0, 1);
const GRANT: AuthKeyGrant = { userId: 1, reusable: false, ephemeral: false, tags: [], expiresAt: NOW + 1000 };

Deno.test("an auth key's text splits into what its record knows, and proves it", () => {
  const { record, text } = mintAuthKey(GRANT, NOW, new SeededRandom(1).bytes);
  assert.match(text.reveal(), /^tskey-auth-[1-9A-HJ-NP-Za-km-z]{12}-[1-9A-HJ-NP-Za-km-z]{32}$/);
  const parts = splitAuthKey(` ${text.reveal()}\n`)!;
  assert.equal(parts.id, record.id);
  assert.equal(checkAuthKey(record, parts.secret, NOW), record);
  assert.equal(splitAuthKey(`${text.reveal()}--TLbase64-base64`)?.id, record.id);
});

Deno.test("an auth key's secret is nowhere in its record, and its text prints redacted", () => {
  const { record, text } = mintAuthKey(GRANT, NOW, new SeededRandom(2).bytes);
  const secret = text.reveal().split("-").at(-1)!;
  assert.ok(!JSON.stringify(record).includes(secret));
  assert.ok(!new TextDecoder().decode(record.secretHash).includes(secret));
  assert.equal(
    `${text} ${JSON.stringify({ text })} ${Deno.inspect(text)}`,
    '[redacted] {"text":"[redacted]"} [redacted]',
  );
});

Deno.test("checkAuthKey() refuses a wrong secret and an unknown ID alike, then expiry, then a second use", () => {
  const { record } = mintAuthKey(GRANT, NOW, new SeededRandom(3).bytes);
  const secret = splitAuthKey(mintAuthKey(GRANT, NOW, new SeededRandom(3).bytes).text.reveal())!.secret;
  const wrong = checkAuthKey(record, new Secret("x".repeat(32)), NOW);
  assert.deepEqual(wrong, checkAuthKey(undefined, secret, NOW));
  assert.match((wrong as { refused: string }).refused, /no such key/);
  assert.match((checkAuthKey(record, secret, NOW + 1000) as { refused: string }).refused, /expired at 2026-01-01/);
  const used = { ...record, usedAt: NOW };
  assert.match((checkAuthKey(used, secret, NOW) as { refused: string }).refused, /has been used/);
  assert.equal("refused" in checkAuthKey({ ...used, reusable: true }, secret, NOW), false);
});

Deno.test("splitAuthKey() refuses other forms", () => {
  for (
    const text of [
      "",
      "tskey-auth-",
      "tskey-auth-a",
      "tskey-auth-a-",
      "tskey-client-a-b",
      "tskey-auth-a-b-c",
      "tskey-auth-a b",
    ]
  ) {
    assert.equal(splitAuthKey(text), undefined, text);
  }
});

Deno.test("isTag() is tailcfg.CheckTag", () => {
  for (const tag of ["tag:a", "tag:Prod-1", "tag:x--"]) assert.equal(isTag(tag), true, tag);
  for (const tag of ["", "tag:", "a", "tag:1a", "tag:-a", "tag:a_b", "tag:a b", "tag:ä"]) {
    assert.equal(isTag(tag), false, tag);
  }
});
