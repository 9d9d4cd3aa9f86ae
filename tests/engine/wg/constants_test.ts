import assert from "node:assert/strict";
import {
  COUNTER_LIMIT,
  MAX_TIMER_HANDSHAKES,
  REJECT_AFTER_MESSAGES,
  REKEY_AFTER_COUNTER,
  REKEY_AFTER_MESSAGES,
  REKEY_ON_RECEIVE_AFTER_TIME,
  REPLAY_WINDOW,
} from "../../../engine/wg/constants.ts";

Deno.test("W2: our counter limits come before the protocol's, and are exact as numbers", () => {
  assert.equal(REJECT_AFTER_MESSAGES, 0xffff_ffff_ffff_dfffn);
  assert.equal(BigInt(REKEY_AFTER_MESSAGES), 1n << 60n);
  assert.ok(COUNTER_LIMIT < REKEY_AFTER_MESSAGES && REKEY_AFTER_COUNTER < COUNTER_LIMIT);
  assert.ok(Number.isSafeInteger(COUNTER_LIMIT - 1));
});

Deno.test("Derived constants are those of wireguard-go", () => {
  assert.deepEqual([MAX_TIMER_HANDSHAKES, REKEY_ON_RECEIVE_AFTER_TIME, REPLAY_WINDOW], [18, 165_000, 8128]);
});
