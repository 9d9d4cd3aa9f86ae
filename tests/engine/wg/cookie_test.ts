import assert from "node:assert/strict";
import { NodePrivate } from "../../../base/keys.ts";
import { COOKIE_REFRESH_TIME } from "../../../engine/wg/constants.ts";
import { CookieChecker, CookieGenerator } from "../../../engine/wg/cookie.ts";
import { INITIATION_LENGTH, RESPONSE_LENGTH } from "../../../engine/wg/messages.ts";
import { SeededRandom } from "../../support/random.ts";
import { sourceNamed } from "../../support/wg_pair.ts";

const SOURCE = sourceNamed("a").bytes;

/** A checker, a generator for it, and a message with its MACs. */
function setUp(seed: number) {
  const random = new SeededRandom(seed);
  const key = NodePrivate.generate(random.bytes).public;
  const message = random.bytes(seed % 2 === 0 ? INITIATION_LENGTH : RESPONSE_LENGTH).fill(0, -32);
  return { random, message, checker: new CookieChecker(key, random.bytes), generator: new CookieGenerator(key) };
}

Deno.test("CookieChecker.checkMac1() refuses a message changed anywhere before mac2, or made for another key", () => {
  const { message, checker, generator } = setUp(2);
  generator.addMacs(message, 0);
  assert.equal(checker.checkMac1(message), true);
  for (let at = 0; at < message.length; at++) {
    const changed = message.slice();
    changed[at] ^= 1;
    assert.equal(checker.checkMac1(changed), at >= message.length - 16, `byte ${at}`);
  }
  assert.equal(setUp(4).checker.checkMac1(message), false);
});

Deno.test("W6: a cookie holds for one address and one port", () => {
  const { message, checker, generator } = setUp(3);
  generator.addMacs(message, 0);
  assert.equal(checker.checkMac2(message, SOURCE, 0), false);
  assert.equal(generator.consumeReply(checker.createReply(message, 1, SOURCE, 0), 0), true);
  generator.addMacs(message, 0);
  assert.equal(checker.checkMac2(message, SOURCE, 0), true);
  assert.equal(checker.checkMac2(message, sourceNamed("a", 41642).bytes, 0), false);
  assert.equal(checker.checkMac2(message, sourceNamed("b").bytes, 0), false);
  for (let at = 0; at < message.length; at++) {
    const changed = message.slice();
    changed[at] ^= 0x80;
    assert.equal(checker.checkMac2(changed, SOURCE, 0), false, `byte ${at}`);
  }
});

Deno.test("The cookie secret is changed when it is older than 120 s, and cookies made from it end with it", () => {
  const { message, checker, generator } = setUp(5);
  generator.addMacs(message, 0);
  generator.consumeReply(checker.createReply(message, 1, SOURCE, 0), 0);
  generator.addMacs(message, COOKIE_REFRESH_TIME);
  assert.equal(checker.checkMac2(message, SOURCE, COOKIE_REFRESH_TIME), true);
  assert.equal(checker.checkMac2(message, SOURCE, COOKIE_REFRESH_TIME + 1), false);
  checker.createReply(message, 1, SOURCE, COOKIE_REFRESH_TIME + 1);
  assert.equal(checker.checkMac2(message, SOURCE, COOKIE_REFRESH_TIME + 2), false);
});

Deno.test("CookieGenerator leaves mac2 zero without a cookie and once its cookie is older than 120 s", () => {
  const { message, checker, generator } = setUp(6);
  const mac2 = () => message.subarray(-16).some((byte) => byte !== 0);
  generator.addMacs(message, 0);
  assert.equal(mac2(), false);
  generator.consumeReply(checker.createReply(message, 1, SOURCE, 0), 1000);
  generator.addMacs(message, 1000 + COOKIE_REFRESH_TIME);
  assert.equal(mac2(), true);
  message.fill(0, -32);
  generator.addMacs(message, 1001 + COOKIE_REFRESH_TIME);
  assert.equal(mac2(), false);
});

Deno.test("CookieGenerator.consumeReply() refuses a forged reply, one to another message, and one not asked for", () => {
  const { message, checker, generator } = setUp(7);
  assert.equal(generator.consumeReply(checker.createReply(message, 1, SOURCE, 0), 0), false);
  generator.addMacs(message, 0);
  const reply = checker.createReply(message, 1, SOURCE, 0);
  for (let at = 8; at < reply.length; at++) {
    const forged = reply.slice();
    forged[at] ^= 1;
    assert.equal(generator.consumeReply(forged, 0), false, `byte ${at}`);
  }
  const other = message.slice();
  other[5] ^= 1;
  generator.addMacs(other, 0);
  assert.equal(generator.consumeReply(reply, 0), false);
  generator.addMacs(message, 0);
  assert.equal(generator.consumeReply(reply, 0), true);
});
