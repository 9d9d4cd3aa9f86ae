import assert from "node:assert/strict";
import { toHex } from "../../base/bytes.ts";
import { checkDeeplink, newDeeplink } from "../../tka/deeplink.ts";
import { disablementValue, isDisablementValue } from "../../tka/disablement.ts";
import type { State } from "../../tka/state.ts";
import { drawChain } from "../support/chain_dsl.ts";

Deno.test("disablementValue() is upstream's Argon2i, and only its secret derives it", () => {
  const secret = new Uint8Array(32).fill(0xa5);
  const value = disablementValue(secret);
  const { genesis: { state } } = drawChain("G", { disablementValues: [new Uint8Array(32), value] });
  assert.equal(toHex(value), "c3fea8a0d70ede2555990ca60d70a8a03cbe627d2c9f3cb0e2ba7093d0884e2f");
  assert.ok(isDisablementValue(state as State, value));
  assert.ok(!isDisablementValue(state as State, disablementValue(new Uint8Array(32))));
  assert.ok(!isDisablementValue(state as State, value.subarray(1)));
});

Deno.test("a deep link is good for the lock it was made for, unchanged", () => {
  const state = drawChain("G").genesis.state as State;
  const params = {
    nodeKey: `nodekey:${"1".repeat(64)}`,
    lockKey: `tlpub:${"2".repeat(64)}`,
    deviceName: "a box & more",
    osName: "linux",
    loginName: "ann@example.com",
  };
  const link = newDeeplink(state, params);
  assert.deepEqual(checkDeeplink(state, link), { valid: true, params });
  assert.ok(!checkDeeplink({ ...state, stateId1: 1n }, link).valid);
  assert.ok(!checkDeeplink(state, link.replace("linux", "linus")).valid);
  for (const bad of ["", "x", "https://sign-device/v1/", "tailscale://sign-device/v1/", link.replace("/v1/", "/v2/")]) {
    assert.ok(!checkDeeplink(state, bad).valid, bad);
  }
  assert.throws(() => newDeeplink(state, { ...params, osName: "" }), { code: "invalid" });
  assert.throws(() => newDeeplink(state, { ...params, nodeKey: "x" }), { code: "invalid" });
});
