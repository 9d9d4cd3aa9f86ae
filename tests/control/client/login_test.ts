import assert from "node:assert/strict";
import { NodePrivate } from "../../../base/keys.ts";
import { LockPrivate } from "../../../base/lock_key.ts";
import { ControlError } from "../../../control/client/errors.ts";
import { login, type LoginInput, type LoginOutcome, type LoginPorts } from "../../../control/client/login.ts";
import type { RegisterInput, RegisterOutcome } from "../../../control/client/types.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";

const OLD = new NodePrivate(new Uint8Array(32).fill(1));
const REGISTERED: RegisterOutcome = { kind: "registered", user: undefined, login: undefined, machineAuthorized: true };
const never = new AbortController().signal;

/** A control server that answers from a list, and all that was asked. */
class Scripted {
  readonly asked: RegisterInput[] = [];
  readonly askedAt: number[] = [];
  readonly urls: string[] = [];
  readonly retries: number[] = [];
  readonly scheduler = new FakeScheduler();
  readonly ports: LoginPorts;
  readonly #answers: (RegisterOutcome | ControlError)[];

  constructor(answers: (RegisterOutcome | ControlError)[], more: Partial<LoginPorts> = {}) {
    this.#answers = answers;
    this.ports = {
      control: {
        register: (input) => {
          this.asked.push(input);
          this.askedAt.push(this.scheduler.monotonic());
          const answer = this.#answers.shift()!;
          return answer instanceof ControlError ? Promise.reject(answer) : Promise.resolve(answer);
        },
      },
      scheduler: this.scheduler,
      random: new SeededRandom(7).bytes,
      authUrl: (url) => this.urls.push(url),
      retrying: (_, atMs) => this.retries.push(atMs - this.scheduler.wall()),
      ...more,
    };
  }

  async run(more: Partial<LoginInput> = {}, signal = never): Promise<LoginOutcome> {
    const lockKey = new LockPrivate(new Uint8Array(32).fill(2)).public;
    const input = { nodeKey: OLD, renew: false, lockKey, hostinfo: { BackendLogID: "x" }, ephemeral: false, ...more };
    const running = login(input, this.ports, signal);
    running.catch(() => {});
    for (let i = 0; i < 40; i++) await this.scheduler.advance(2500);
    return await running;
  }
}

function key(outcome: LoginOutcome): string {
  assert.equal(outcome.kind, "registered");
  return outcome.kind === "registered" ? outcome.nodeKey.public.hex : "";
}

Deno.test("login() tries the key it has first", async () => {
  const server = new Scripted([REGISTERED]);
  assert.equal(key(await server.run()), OLD.public.hex);
  assert.equal(server.asked[0].oldNodeKey, undefined);
});

Deno.test("login() makes a key when there is none, and a new one with the old named when asked to renew", async () => {
  const fresh = new Scripted([REGISTERED]);
  const made = key(await fresh.run({ nodeKey: undefined }));
  assert.equal(fresh.asked[0].nodeKey.hex, made);
  assert.equal(fresh.asked[0].oldNodeKey, undefined);
  const renewed = new Scripted([REGISTERED]);
  assert.notEqual(key(await renewed.run({ renew: true })), OLD.public.hex);
  assert.ok(renewed.asked[0].oldNodeKey!.equals(OLD.public));
});

Deno.test("login() renews an expired key once; a second time it gives up", async () => {
  const server = new Scripted([{ kind: "key-expired" }, REGISTERED]);
  assert.notEqual(key(await server.run()), OLD.public.hex);
  assert.ok(server.asked[1].oldNodeKey!.equals(OLD.public));
  const stubborn = new Scripted([{ kind: "key-expired" }, { kind: "key-expired" }]);
  assert.equal((await stubborn.run()).kind, "rejected");
  assert.equal(stubborn.asked.length, 2);
});

Deno.test("login() shows the URL and waits with followup, with the same key", async () => {
  const server = new Scripted([{ kind: "auth-url", url: "https://a/1" }, REGISTERED]);
  const made = key(await server.run({ nodeKey: undefined }));
  assert.deepEqual(server.urls, ["https://a/1"]);
  assert.equal(server.asked[1].followup, "https://a/1");
  assert.deepEqual(server.asked.map(({ nodeKey }) => nodeKey.hex), [made, made]);
});

Deno.test("login() asks less and less often a server that answers followups at once, and shows each URL once", async () => {
  const again = { kind: "auth-url", url: "https://a/1" } as const;
  const server = new Scripted([again, again, again, again, REGISTERED]);
  await server.run();
  const waits = server.askedAt.slice(2).map((at, i) => at - server.askedAt[i + 1]);
  assert.equal(waits.length, 3);
  waits.forEach((wait, i) => assert.ok(wait >= 500 * (i + 1) ** 2, `${waits}`));
  assert.deepEqual(server.urls, ["https://a/1"]);
});

Deno.test("login() wraps the old signature for a new key when asked", async () => {
  const server = new Scripted([{ kind: "needs-signature", oldSignature: Uint8Array.of(1) }, REGISTERED], {
    resign: (nodeKey, old) => Uint8Array.of(...old, nodeKey.bytes[0]),
  });
  const outcome = await server.run();
  assert.ok(outcome.kind === "registered");
  assert.deepEqual(server.asked[1].nodeKeySignature, Uint8Array.of(1, outcome.nodeKey.public.bytes[0]));
  assert.ok(server.asked[1].oldNodeKey!.equals(OLD.public));
});

Deno.test("login() wraps the old signature for the key it tries already, and names the key that has it", async () => {
  const tried: string[] = [];
  const server = new Scripted([{ kind: "needs-signature", oldSignature: Uint8Array.of(1) }, REGISTERED], {
    resign: (nodeKey, old) => Uint8Array.of(...old, nodeKey.bytes[0]),
    trying: (nodeKey) => tried.push(nodeKey.public.hex),
  });
  const made = key(await server.run({ renew: true }));
  assert.deepEqual(server.asked.map(({ nodeKey }) => nodeKey.hex), [made, made]);
  assert.deepEqual(server.asked.map(({ oldNodeKey }) => oldNodeKey?.hex), [OLD.public.hex, OLD.public.hex]);
  assert.deepEqual(server.asked[1].nodeKeySignature, Uint8Array.of(1, server.asked[1].nodeKey.bytes[0]));
  assert.deepEqual(tried, [made, made]);
});

Deno.test("login() signs a new key by the auth key's credential", async () => {
  const server = new Scripted([REGISTERED], { signNew: () => Uint8Array.of(9) });
  await server.run({ nodeKey: undefined });
  assert.deepEqual(server.asked[0].nodeKeySignature, Uint8Array.of(9));
});

Deno.test("login() gives the server's words of a refusal", async () => {
  const server = new Scripted([{ kind: "rejected", reason: "invalid authkey" }]);
  assert.deepEqual(await server.run(), { kind: "rejected", reason: "invalid authkey" });
});

Deno.test("login() waits as the server says, and by back-off otherwise", async () => {
  const limited = new ControlError("rate-limited", "429", { retryAfterMs: 7000 });
  const lost = new ControlError("connection-lost", "gone");
  const server = new Scripted([limited, lost, lost, REGISTERED]);
  await server.run();
  assert.equal(server.retries[0], 7000);
  assert.ok(server.retries[1] >= 500 && server.retries[1] <= 1500);
  assert.ok(server.retries[2] >= 2000 && server.retries[2] <= 6000);
});

Deno.test("login() does not try again what cannot help, and stops when aborted", async () => {
  const changed = new ControlError("server-key-changed", "other key");
  await assert.rejects(new Scripted([changed]).run(), /other key/);
  const stop = new AbortController();
  const server = new Scripted([new ControlError("unreachable", "down")]);
  const running = server.run({}, stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(running, /enough/);
});
