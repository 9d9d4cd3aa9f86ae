import assert from "node:assert/strict";
import { createJitter, PeerTimers } from "../../../engine/wg/timers.ts";
import { SeededRandom } from "../../support/random.ts";

const JITTER = 300;
const timers = () => new PeerTimers(() => JITTER);

Deno.test("createJitter() draws whole milliseconds below 334, over the whole range", () => {
  const jitter = createJitter(new SeededRandom(1).bytes);
  const drawn = Array.from({ length: 20_000 }, () => jitter());
  assert.equal(Math.min(...drawn), 0);
  assert.equal(Math.max(...drawn), 333);
  assert.ok(drawn.every(Number.isInteger));
  const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
  assert.ok(Math.abs(mean - 166.5) < 3, `mean ${mean}`);
});

Deno.test("PeerTimers: 6.4: an initiation is sent again after REKEY_TIMEOUT and jitter, unless the handshake completes", () => {
  const t = timers();
  t.initiationSent(1000);
  assert.equal(t.deadline(), 6300);
  assert.equal(t.takeDue(6299), undefined);
  assert.equal(t.takeDue(6300), "retransmit-handshake");
  assert.equal(t.handshakeUnderWay, false);
  t.initiationSent(6300);
  t.handshakeComplete();
  assert.equal(t.deadline(), Infinity);
});

Deno.test("PeerTimers: 6.4: the 18th initiation without an answer is the last, and residue is wiped 540 s later", () => {
  const t = timers();
  let now = 0;
  t.handshakeWanted();
  for (let sent = 1; sent < 18; sent++) {
    t.initiationSent(now);
    now = t.deadline();
    assert.equal(t.takeDue(now), "retransmit-handshake", `after ${sent}`);
  }
  t.initiationSent(now);
  t.dataReceived(now);
  now = t.deadline();
  assert.ok(now >= 90_000 && now <= 96_012, `${now}`);
  assert.equal(t.takeDue(now), "give-up-handshake");
  assert.equal(t.deadline(), now + 540_000);
  assert.equal(t.takeDue(now + 540_000), "zero-keys");
});

Deno.test("PeerTimers: 6.4: new traffic starts the count of attempts anew", () => {
  const t = timers();
  for (let sent = 1; sent <= 17; sent++) {
    t.initiationSent(0);
    assert.equal(t.takeDue(10_000), "retransmit-handshake");
  }
  t.handshakeWanted();
  for (let sent = 1; sent <= 17; sent++) {
    t.initiationSent(0);
    assert.equal(t.takeDue(10_000), "retransmit-handshake");
  }
  t.initiationSent(0);
  assert.equal(t.takeDue(10_000), "give-up-handshake");
});

Deno.test("PeerTimers: 6.5: data without any answer asks for a handshake 15 s and jitter after the first of it", () => {
  const t = timers();
  t.dataSent(0);
  t.dataSent(9000);
  assert.equal(t.deadline(), 15_300);
  t.anyReceived(10_000);
  assert.equal(t.deadline(), Infinity);
  t.dataSent(20_000);
  assert.equal(t.takeDue(35_300), "new-handshake");
  assert.equal(t.takeDue(35_300), undefined);
});

Deno.test("PeerTimers: 6.5: data received is answered by a keepalive after 10 s, unless something is sent", () => {
  const t = timers();
  t.dataReceived(0);
  t.anySent(9999);
  assert.equal(t.deadline(), Infinity);
  t.dataReceived(20_000);
  assert.equal(t.takeDue(30_000), "send-keepalive");
  assert.equal(t.deadline(), Infinity);
});

Deno.test("PeerTimers: 6.5: more data while a keepalive is pending is answered by another one 10 s later", () => {
  const t = timers();
  t.dataReceived(0);
  t.dataReceived(1000);
  t.dataReceived(2000);
  assert.equal(t.takeDue(10_000), "send-keepalive");
  assert.equal(t.deadline(), 20_000);
  assert.equal(t.takeDue(20_000), "send-keepalive");
  assert.equal(t.deadline(), Infinity);
});

Deno.test("PeerTimers: 6.3: keys are wiped 540 s after the newest session", () => {
  const t = timers();
  t.sessionDerived(0);
  t.sessionDerived(120_000);
  assert.equal(t.deadline(), 660_000);
  assert.equal(t.takeDue(660_000), "zero-keys");
  assert.equal(t.deadline(), Infinity);
});

Deno.test("PeerTimers: a persistent keepalive is due at once and then an interval after the last traffic", () => {
  const t = timers();
  t.setPersistentKeepalive(25_000, 1000);
  assert.equal(t.takeDue(1000), "persistent-keepalive");
  assert.equal(t.deadline(), 26_000);
  t.anyReceived(20_000);
  t.anySent(24_000);
  assert.equal(t.deadline(), 49_000);
  t.setPersistentKeepalive(0, 30_000);
  assert.equal(t.deadline(), Infinity);
});

Deno.test("PeerTimers.initiationDeferred() puts an initiation off without counting it", () => {
  const t = timers();
  t.initiationDeferred(5000);
  assert.equal(t.handshakeUnderWay, true);
  assert.equal(t.takeDue(5300), "retransmit-handshake");
});
