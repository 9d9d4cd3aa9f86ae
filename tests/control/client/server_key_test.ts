import assert from "node:assert/strict";
import { utf8 } from "../../../base/bytes.ts";
import { MachinePublic } from "../../../base/keys.ts";
import { ControlError } from "../../../control/client/errors.ts";
import type { FetchAnswer } from "../../../control/client/http_fetch.ts";
import {
  fetchServerKey,
  recheckServerKey,
  serverKey,
  type ServerKeyOptions,
} from "../../../control/client/server_key.ts";

const key = (byte: number) => new MachinePublic(new Uint8Array(32).fill(byte));
const never = new AbortController().signal;
const URL_BASE = "http://control.example:8080";

function keyAnswer(byte: number): FetchAnswer {
  return { status: 200, headers: {}, body: utf8(JSON.stringify({ publicKey: key(byte).toString() })) };
}

/** Options whose server gives the answers in turn, the last for ever. */
function setUp(answers: readonly FetchAnswer[], more: Partial<ServerKeyOptions> = {}) {
  const kept = new Map<string, MachinePublic>();
  const asked: string[] = [];
  const log: string[] = [];
  const options: ServerKeyOptions = {
    serverUrl: URL_BASE,
    ca: [],
    capabilityVersion: 113,
    store: { load: (url) => kept.get(url), save: (url, key) => kept.set(url, key) },
    acceptNew: false,
    fetch: (_, url) => {
      asked.push(url.href);
      return Promise.resolve(answers[Math.min(asked.length, answers.length) - 1]);
    },
    log: (_, text) => log.push(text),
    ...more,
  };
  return { options, kept, asked, log };
}

async function failure(promise: Promise<unknown>): Promise<ControlError> {
  const error = await promise.then(() => undefined, (error) => error);
  assert.ok(error instanceof ControlError, String(error));
  return error;
}

Deno.test("serverKey() asks at first contact, keeps the key and asks no more", async () => {
  const { options, kept, asked } = setUp([keyAnswer(1)]);
  assert.ok((await serverKey(options, never)).equals(key(1)));
  assert.deepEqual(asked, [`${URL_BASE}/key?v=113`]);
  assert.ok(kept.get(URL_BASE)!.equals(key(1)));
  assert.ok((await serverKey(options, never)).equals(key(1)));
  assert.equal(asked.length, 1);
});

Deno.test("W12 a swapped control key is refused with one clear line, and the kept one stays", async () => {
  const { options, kept } = setUp([keyAnswer(2)]);
  kept.set(URL_BASE, key(1));
  const error = await failure(recheckServerKey(options, key(1), never));
  assert.equal(error.code, "server-key-changed");
  assert.equal(error.retryable, false);
  assert.equal(
    error.message,
    `Cannot trust control server ${URL_BASE}: its key is ${key(2)}, want ${key(1)} as at first contact; ` +
      "if its operator confirms the change, run once with --accept-new-server-key",
  );
  assert.equal(error.message.includes("\n"), false);
  assert.ok(kept.get(URL_BASE)!.equals(key(1)));
});

Deno.test("W12 --accept-new-server-key takes and keeps the new key, and says so", async () => {
  const { options, kept, log } = setUp([keyAnswer(2)], { acceptNew: true });
  kept.set(URL_BASE, key(1));
  assert.ok((await recheckServerKey(options, key(1), never))!.equals(key(2)));
  assert.ok(kept.get(URL_BASE)!.equals(key(2)));
  assert.match(log[0], /has a new key/);
});

Deno.test("recheckServerKey() with the same key says that the key is not the trouble", async () => {
  const { options } = setUp([keyAnswer(1)]);
  assert.equal(await recheckServerKey(options, key(1), never), undefined);
});

Deno.test("fetchServerKey() refuses what is not a control server's answer", async () => {
  const answer = (status: number, body: string): FetchAnswer => ({ status, headers: {}, body: utf8(body) });
  const cases: [FetchAnswer, RegExp][] = [
    [answer(404, "nope"), /answered 404: is this a Tailscale control server\?/],
    [answer(200, "<html>"), /not JSON, begins "<html>": is this a Tailscale control server\?/],
    [answer(200, "{}"), /publicKey is missing/],
    [answer(200, JSON.stringify({ publicKey: key(0).toString() })), /publicKey is zero/],
  ];
  for (const [reply, text] of cases) {
    const error = await failure(fetchServerKey(setUp([reply]).options, never));
    assert.equal(error.code, "not-control");
    assert.match(error.message, text);
  }
});

Deno.test("W11 fetchServerKey() follows ten redirects, never from https down to http or to another scheme", async () => {
  const to = (location: string): FetchAnswer => ({ status: 302, headers: { location }, body: new Uint8Array(0) });
  const { options, asked } = setUp([to("/other"), to("https://b.example/key"), keyAnswer(3)]);
  assert.ok((await fetchServerKey(options, never)).equals(key(3)));
  assert.deepEqual(asked.slice(1), [`${URL_BASE}/other`, "https://b.example/key"]);
  const endless = setUp([to("/again")]);
  assert.match((await failure(fetchServerKey(endless.options, never))).message, /more than 10 redirects/);
  assert.equal(endless.asked.length, 11);
  for (const location of ["http://b.example/", "file:///etc/passwd", "ftp://x/"]) {
    const down = setUp([to("https://a.example/"), to(location)]);
    assert.match((await failure(fetchServerKey(down.options, never))).message, /redirected to/);
    assert.equal(down.asked.length, 2);
  }
});
