/**
 * A node killed at random moments: while it starts, while it runs, right after it has said that something is done. It
 * comes back by itself each time, nothing that was said to be done is lost, and in the end nothing is left behind.
 */
import assert from "node:assert/strict";
import { AgentNode, until } from "../interop/support/agent.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import type { SeededRandom } from "../support/random.ts";
import { daemonTraces } from "./kernel_state.ts";
import { Lab } from "./lab.ts";

/** Longest time of a start that is cut short, ms: most are ready in a third of it. */
const START_MS = 1_500;

/** Kills a node `count` times. @throws Error that names the seed, when it does not come back as it was. */
export async function killAtRandom(count: number, random: SeededRandom): Promise<void> {
  const float = () => random.u32() / 2 ** 32;
  const dir = await Deno.makeTempDir({ prefix: "agent-crashes-" });
  await using lab = await Lab.create();
  const [server, here, there] = ["server", "here", "there"].map((name) => lab.namespace(name));
  lab.link(here, "10.33.1.2/24", server, "10.33.1.1/24");
  lab.link(there, "10.33.2.2/24", server, "10.33.2.1/24");
  lab.router(server);
  here.route("0.0.0.0/0", "10.33.1.1");
  there.route("0.0.0.0/0", "10.33.2.1");
  try {
    await using coordinator = await CoordinatorProcess.start({ namespace: server, dir, host: "10.33.1.1" });
    const key = await coordinator.createKey("--reusable");
    await Deno.mkdir(`${dir}/here`);
    const untouched = daemonTraces(here);
    await using node = await AgentNode.start({ namespace: here, dir: `${dir}/here`, name: "here" });
    await using peer = await AgentNode.start({ namespace: there, dir, name: "there" });
    await Promise.all([node.up(coordinator.url, key), peer.up(coordinator.url, key)]);
    const [own] = await node.ips();
    const [other] = await peer.ips();
    let hostname = "here";

    const works = async () => {
      await until(`${node.name} reaches its peer after a crash`, 60_000, async () => {
        return (await node.command("ping", "--timeout", "5s", "--c", "1", other)).code === 0;
      });
      assert.deepEqual((await node.ips())[0], own, "the same node");
      assert.equal((await node.cli("get", "hostname")).trim(), hostname, "what was said to be done");
    };
    await works();
    let starts = 0;
    for (let round = 0; round < count; round++) {
      if (float() < 0.5) {
        hostname = `round-${round}`;
        await node.cli("set", "--hostname", hostname);
        await node.kill();
        await node.run();
      } else {
        await node.kill();
        const start = node.run().catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, float() * START_MS));
        await node.kill();
        await start;
        await node.run();
        starts++;
      }
      if (round % 5 === 4) await works();
    }
    await works();
    // The peer has not had to forget anything either: it reaches us by a handshake of its own.
    assert.match(await peer.cli("ping", "--timeout", "20s", own), /pong from/);
    assert.equal(await node.stop(), 0);
    assert.deepEqual(daemonTraces(here), untouched, "device, rules and routes");
    const files = [...Deno.readDirSync(`${dir}/here`)].map(({ name }) => name).sort();
    const unfinished = files.filter((name) => /tmp|new|\.sock$/.test(name));
    assert.deepEqual(unfinished, [], `in the state directory: ${files.join(" ")}`);
    console.log(
      `  killed ${count} times and ${starts} times while starting: same node, same peers, nothing lost or left`,
    );
  } finally {
    await lab.dispose();
    await Deno.remove(dir, { recursive: true });
  }
}
