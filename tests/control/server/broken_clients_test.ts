/** Clients whose connections break at any moment, many at once. */
import assert from "node:assert/strict";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { ControlNode } from "../../support/control_node.ts";
import { SeededRandom } from "../../support/random.ts";
import { RunningCoordinator, until } from "../../support/running_coordinator.ts";

const CLIENTS = 200;
const AT_ONCE = 20;
/** Long enough for some to come as far as a netmap. */
const LONGEST_MS = 200;

/** Hands connections on, and breaks each after a while: by an end, or by a reset. */
class BreakingProxy implements Disposable {
  readonly #server: net.Server;
  broken = 0;

  constructor(to: number, random: SeededRandom) {
    this.#server = net.createServer((client) => {
      const server = net.connect(to, "127.0.0.1");
      for (const [from, other] of [[client, server], [server, client]]) {
        from.on("error", () => {});
        from.on("close", () => other.destroy());
        from.pipe(other);
      }
      const reset = random.chance(0.5);
      setTimeout(() => {
        this.broken++;
        if (reset) server.resetAndDestroy();
        else server.destroy();
      }, random.int(LONGEST_MS));
    });
  }

  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => {
        resolve(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
      });
    });
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}

const openFiles = () => [...Deno.readDirSync("/proc/self/fd")].length;

Deno.test(`a coordinator that ${CLIENTS} breaking clients used holds nothing of theirs, and serves the next`, async () => {
  const seed = Date.now() >>> 0;
  console.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  await using running = await RunningCoordinator.start();
  const { key: authKey } = await running.coordinator.createKey({ reusable: true, ephemeral: true });
  const before = openFiles();
  {
    using proxy = new BreakingProxy(Number(new URL(running.url).port), random);
    const url = await proxy.listen();
    let next = 0;
    const clients = Array.from({ length: AT_ONCE }, async () => {
      while (next < CLIENTS) {
        await using node = new ControlNode({ url, hostname: `broken-${next++}` });
        const registered = await node.register(authKey).catch(() => undefined);
        if (registered?.kind !== "registered") continue;
        node.poll();
        await until(() => node.netmap !== undefined || node.state?.kind === "retrying", "a netmap or a break");
      }
    });
    await Promise.all(clients);
    assert.ok(proxy.broken > 0);
  }
  await until(() => openFiles() <= before, "the last connection to be given up");
  await using node = new ControlNode({ url: running.url, hostname: "whole" });
  assert.equal((await node.register(authKey)).kind, "registered");
  node.poll();
  await until(() => node.netmap !== undefined, "a netmap");
});
