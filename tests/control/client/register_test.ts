import assert from "node:assert/strict";
import { utf8 } from "../../../base/bytes.ts";
import { NodePrivate } from "../../../base/keys.ts";
import { LockPrivate } from "../../../base/lock_key.ts";
import { Secret } from "../../../base/secret.ts";
import type { Answer } from "../../../control/client/connection.ts";
import { ControlError } from "../../../control/client/errors.ts";
import { LOGOUT_EXPIRY, registerCall, registerOutcome, registerRequest } from "../../../control/client/register.ts";
import type { RegisterInput } from "../../../control/client/types.ts";
import { decodeRegisterRequest, isMalformed } from "../../../control/wire/decode.ts";
import { ZERO_NODE_KEY, ZERO_TIME } from "../../../control/wire/tailcfg.ts";
import vectors from "../../vectors/tailscale_tailcfg.json" with { type: "json" };

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const node = (byte: number) => new NodePrivate(new Uint8Array(32).fill(byte)).public;
const input: RegisterInput = {
  nodeKey: node(1),
  lockKey: new LockPrivate(new Uint8Array(32).fill(2)).public,
  hostinfo: { BackendLogID: "log", Hostname: "host", RequestTags: ["tag:a"] },
  ephemeral: false,
};
const random = (length: number) => new Uint8Array(length);
const answer = (body: unknown, status = 200, headers = {}): Answer => ({
  status,
  headers,
  body: utf8(typeof body === "string" ? body : JSON.stringify(body)),
});
const outcome = (body: unknown) => registerOutcome(answer(body), NOW, random);

Deno.test("registerRequest() has what Go always writes, and is taken by our own server's decoder", () => {
  const request = registerRequest(input, 113, NOW);
  assert.deepEqual(request, {
    Version: 113,
    NodeKey: node(1).toString(),
    OldNodeKey: ZERO_NODE_KEY,
    NLKey: input.lockKey.toString(),
    Expiry: ZERO_TIME,
    Followup: "",
    Hostinfo: input.hostinfo,
    NodeKeySignature: null,
    Timestamp: "2026-01-02T03:04:06.000Z",
  });
  assert.ok(!isMalformed(decodeRegisterRequest(utf8(JSON.stringify(request)))));
  const golden = vectors.values.find(({ type }) => type === "*tailcfg.RegisterRequest")!.json;
  for (const name of Object.keys(request)) assert.ok(name in golden || name === "Timestamp", `${name} is not in Go's`);
});

Deno.test("registerRequest(): auth key, old key, followup, ephemeral, expiry, signature", () => {
  const request = registerRequest(
    {
      ...input,
      oldNodeKey: node(9),
      authKey: new Secret("tskey-x"),
      followup: "https://login/a",
      ephemeral: true,
      expiry: LOGOUT_EXPIRY,
      nodeKeySignature: Uint8Array.of(1, 2, 3),
    },
    113,
    NOW,
  );
  assert.equal(request.OldNodeKey, node(9).toString());
  assert.deepEqual(request.Auth, { AuthKey: "tskey-x" });
  assert.equal(request.Followup, "https://login/a");
  assert.equal(request.Ephemeral, true);
  assert.equal(request.Expiry, "1970-01-01T00:02:03.000Z");
  assert.equal(request.NodeKeySignature, "AQID");
});

Deno.test("registerRequest() never sends what is behind --TL", () => {
  const secret = new Uint8Array(64).fill(3).toBase64({ omitPadding: true });
  const wrapped = (text: string) => registerRequest({ ...input, authKey: new Secret(text) }, 113, NOW);
  const text = JSON.stringify(wrapped(`tskey-x--TLAQID-${secret}`));
  assert.ok(text.includes('"tskey-x"'));
  assert.equal(text.includes(secret.slice(0, 10)), false);
  assert.throws(() => wrapped(`tskey-x--TLAQID-${secret}x`), { code: "bad-auth-key" });
});

Deno.test("registerRequest() wants a BackendLogID, as Go does", () => {
  assert.throws(() => registerRequest({ ...input, hostinfo: {} }, 113, NOW), /BackendLogID/);
});

Deno.test("registerCall(): old then new key for the load balancer; a followup has no timeout", () => {
  const call = registerCall({ ...input, oldNodeKey: node(9) }, 113, NOW);
  assert.deepEqual(call.nodeKeys!.map(String), [node(9).toString(), node(1).toString()]);
  assert.equal(call.timeoutMs, undefined);
  assert.equal(registerCall({ ...input, followup: "https://x/" }, 113, NOW).timeoutMs, 0);
});

Deno.test("registerOutcome() of the answers Go writes", () => {
  const golden = vectors.values.filter(({ type }) => type === "*tailcfg.RegisterResponse").map(({ json }) =>
    outcome(json)
  );
  assert.deepEqual(golden.map(({ kind }) => kind).sort(), ["auth-url", "needs-signature", "rejected"]);
});

Deno.test("registerOutcome(): the order in which an answer is looked at", () => {
  const all = { Error: "no", NodeKeySignature: "AQI=", NodeKeyExpired: true, AuthURL: "https://x/" };
  assert.deepEqual(outcome(all), { kind: "rejected", reason: "no" });
  const signed = outcome({ ...all, Error: "" });
  assert.deepEqual(signed, { kind: "needs-signature", oldSignature: Uint8Array.of(1, 2) });
  assert.deepEqual(outcome({ ...all, Error: "", NodeKeySignature: null }), { kind: "key-expired" });
  assert.deepEqual(outcome({ AuthURL: "https://x/" }), { kind: "auth-url", url: "https://x/" });
  const user = { ID: 1, DisplayName: "A" };
  assert.deepEqual(outcome({ User: user, MachineAuthorized: false }), {
    kind: "registered",
    user,
    login: undefined,
    machineAuthorized: false,
  });
});

Deno.test("W11 registerOutcome() refuses a login URL that is not http(s)", () => {
  for (const url of ["javascript:alert(1)", "file:///etc/passwd", "ssh://host", "not a url", "tailscale://x"]) {
    assert.throws(
      () => outcome({ AuthURL: url }),
      (error) => error instanceof ControlError && error.code === "malformed",
    );
  }
});

Deno.test("registerOutcome(): 429, other statuses, malformed answers", () => {
  const fail = (reply: Answer): ControlError => {
    try {
      registerOutcome(reply, NOW, random);
    } catch (error) {
      return error as ControlError;
    }
    throw new Error("no error");
  };
  const limited = fail(answer("slow down", 429, { "retry-after": "9" }));
  assert.deepEqual([limited.code, limited.retryAfterMs, limited.retryable], ["rate-limited", 9000, true]);
  const refused = fail(answer("who are you?", 403));
  assert.deepEqual([refused.code, refused.status, refused.retryable], ["http", 403, false]);
  assert.equal(refused.message, "Cannot register: HTTP 403: who are you?");
  assert.equal(fail(answer("x", 502)).retryable, true);
  assert.ok(fail(answer("x".repeat(5000), 500)).message.length < 300);
  assert.equal(fail(answer("<html>")).code, "malformed");
  assert.equal(fail(answer({ AuthURL: 7 })).code, "malformed");
});
