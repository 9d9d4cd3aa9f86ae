import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { GoBetween } from "../../base/go_between.ts";
import { socketPair } from "../support/socket_pair.ts";

const never = new AbortController().signal;
const opened = () => socketPair()[0] as Socket;

Deno.test("GoBetween gives what the way ends in, and closes nothing of it", async () => {
  const proxy = opened();
  const socket = await GoBetween.through("the proxy", never, async (way) => {
    const tcp = await way.tcp(Promise.resolve(proxy));
    await way.step("", Promise.resolve());
    return tcp;
  });
  assert.equal(socket, proxy);
  assert.equal(socket.destroyed, false);
  socket.destroy();
});

Deno.test("GoBetween closes what was opened when a step fails, and names whose fault it is", async () => {
  for (const late of [false, true]) {
    const proxy = opened();
    await assert.rejects(
      GoBetween.through("the proxy", never, async (way) => {
        const tcp = await way.tcp(Promise.resolve(proxy));
        if (late) throw way.fault("refused");
        await way.step("stutters: ", Promise.reject(new Error("what?")));
        return tcp;
      }),
      { message: late ? "the proxy refused" : "the proxy stutters: what?" },
    );
    assert.equal(proxy.destroyed, true);
    // An error that it tells late would end the process.
    proxy.emit("error", new Error("late"));
  }
});

Deno.test("GoBetween that was given up ends with the signal's reason, whatever the step says", async () => {
  const giveUp = new AbortController();
  const reason = new Error("no more");
  const going = GoBetween.through("the proxy", giveUp.signal, (way) => {
    giveUp.abort(reason);
    return way.tcp(Promise.reject<Socket>(new Error("connection reset")));
  });
  await assert.rejects(going, reason);
});
