import assert from "node:assert/strict";
import { LiteUpdate } from "../../../control/client/lite_update.ts";
import { ControlError } from "../../../control/client/errors.ts";
import { DiscoPrivate, NodePrivate } from "../../../base/keys.ts";
import { mapCall } from "../../../control/client/map_call.ts";
import type { MapRequest } from "../../../control/wire/tailcfg.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { answerOf, FakeTransport } from "../../support/fake_transport.ts";
import { SeededRandom } from "../../support/random.ts";

const nodeKey = new NodePrivate(new Uint8Array(32).fill(1)).public;
const discoKey = new DiscoPrivate(new Uint8Array(32).fill(2)).public;

/** An updater whose state is a counter of endpoints. */
class Lite {
  readonly scheduler = new FakeScheduler();
  readonly transport = new FakeTransport();
  readonly sent: boolean[] = [];
  port = 0;
  readonly update: LiteUpdate;

  constructor() {
    const { scheduler, transport } = this;
    const endpoints = () => [{ addr: `192.0.2.1:${this.port}`, type: 1 }];
    this.update = new LiteUpdate({
      transport,
      scheduler,
      random: new SeededRandom(1).bytes,
      log: () => {},
      call: () => mapCall("lite", nodeKey, { hostinfo: {}, endpoints: endpoints(), discoKey, tkaHead: "HEAD" }, 113),
      sent: (ok) => this.sent.push(ok),
    });
  }

  get ports(): number[] {
    return this.transport.requests.map(({ body }) => Number((body as MapRequest).Endpoints![0].split(":")[1]));
  }

  async touch(port: number): Promise<void> {
    this.port = port;
    this.update.touch();
    await this.scheduler.settle();
  }
}

Deno.test("LiteUpdate says what changed and asks nothing", async () => {
  const lite = new Lite();
  lite.update.start();
  await lite.touch(7);
  await lite.scheduler.advance(50);
  const [{ body, path, method }] = lite.transport.requests;
  assert.deepEqual([method, path], ["POST", "/machine/map"]);
  const { Stream, OmitPeers, Endpoints, EndpointTypes, TKAHead } = body as MapRequest;
  assert.deepEqual({ Stream, OmitPeers, Endpoints, EndpointTypes, TKAHead }, {
    Stream: undefined,
    OmitPeers: true,
    Endpoints: ["192.0.2.1:7"],
    EndpointTypes: [1],
    TKAHead: "HEAD",
  });
});

Deno.test("LiteUpdate gathers changes, and sends the newest state", async () => {
  const lite = new Lite();
  lite.update.start();
  for (const port of [1, 2, 3]) await lite.touch(port);
  await lite.scheduler.advance(50);
  assert.deepEqual(lite.ports, [3]);
  await lite.touch(4);
  await lite.scheduler.advance(50);
  assert.deepEqual(lite.ports, [3, 4]);
  await lite.scheduler.advance(10_000);
  assert.equal(lite.ports.length, 2);
});

Deno.test("LiteUpdate: many changes while one is under way are one more", async () => {
  const lite = new Lite();
  const { promise, resolve } = Promise.withResolvers<void>();
  lite.transport.answer = () => promise.then(() => answerOf(200, ""));
  lite.update.start();
  await lite.touch(1);
  await lite.scheduler.advance(50);
  for (const port of [2, 3, 4]) await lite.touch(port);
  resolve();
  await lite.scheduler.advance(100);
  assert.deepEqual(lite.ports, [1, 4]);
});

Deno.test("LiteUpdate tries again with back-off until it got through, with the newest state", async () => {
  const lite = new Lite();
  let failures = 3;
  lite.transport.answer = () => {
    if (failures-- > 0) return Promise.reject(new ControlError("connection-lost", "gone"));
    return Promise.resolve(answerOf(200, ""));
  };
  lite.update.start();
  await lite.touch(1);
  await lite.scheduler.advance(50);
  lite.port = 9;
  await lite.scheduler.advance(60_000);
  assert.deepEqual(lite.sent, [false, false, false, true]);
  assert.equal(lite.ports.at(-1), 9);
});

Deno.test("LiteUpdate takes a status other than 200 as failed and obeys Retry-After", async () => {
  const lite = new Lite();
  let first = true;
  lite.transport.answer = () => {
    const answer = first ? answerOf(429, "slow", { "retry-after": "30" }) : answerOf(200, "");
    first = false;
    return Promise.resolve(answer);
  };
  lite.update.start();
  await lite.touch(1);
  await lite.scheduler.advance(29_000);
  assert.equal(lite.ports.length, 1);
  await lite.scheduler.advance(2_000);
  assert.equal(lite.ports.length, 2);
});

Deno.test("LiteUpdate sends nothing before start() and after stop(), and what was touched meanwhile at the next start", async () => {
  const lite = new Lite();
  await lite.touch(1);
  await lite.scheduler.advance(1000);
  assert.deepEqual(lite.ports, []);
  lite.update.start();
  await lite.scheduler.advance(50);
  assert.deepEqual(lite.ports, [1]);
  await lite.touch(2);
  lite.update.stop();
  await lite.scheduler.advance(1000);
  assert.deepEqual(lite.ports, [1]);
  assert.equal(lite.scheduler.pending, 0);
  lite.update.start();
  await lite.scheduler.advance(50);
  assert.deepEqual(lite.ports, [1, 2]);
});
