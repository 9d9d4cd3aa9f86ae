// Routes that change a thousand times a minute, by the host's own programs and by the tailnet, and a link that goes and
// comes back: nothing is lost, nothing leaks, and the daemon does not spend its time on it.

import assert from "node:assert/strict";
import { type AgentNode, until } from "../interop/support/agent.ts";
import { Capture, leaked, type OwnTraffic } from "./capture.ts";
import { tableRoutes } from "./kernel_state.ts";
import type { LabNamespace } from "./lab.ts";
import { groundTest, INTERNET, reaches } from "./tailnet_ground.ts";

const CHANGES = 1_000;
/** Routes replaced at once by what a router offers: half of them go, half come. */
const ROUTES_A_ROUND = 20;

/** What the agent of alpha sends itself: by this port, and to coordinator, relay and router. */
const OWN: OwnTraffic = { port: 41641, servers: ["10.90.0.1.9080", "10.90.0.1.9443"], router: "10.90.1.1" };

/** Seconds of CPU a process has had, all its threads (proc_pid_stat(5), fields 14 and 15; 100 ticks a second). */
function cpuSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Pings 20 times a second until it is stopped. @returns the end of it, which gives how many were sent and answered */
function pinging(from: LabNamespace, address: string): () => Promise<{ sent: number; answered: number }> {
  const child = from.spawn(["ping", "-n", "-q", "-i", "0.05", address], {
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  });
  const output = child.output();
  return async () => {
    child.kill("SIGINT");
    const text = new TextDecoder().decode((await output).stdout);
    const [, sent, answered] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
    return { sent: Number(sent), answered: Number(answered) };
  };
}

async function useExit(agent: AgentNode, router: AgentNode): Promise<void> {
  const [exit] = await router.ips();
  await until("the exit node offers", 20_000, async () => {
    return (await agent.peer(exit).catch(() => ({ ExitNodeOption: false }))).ExitNodeOption === true;
  });
  await agent.cli("set", "--exit-node", exit);
}

async function offer(router: AgentNode, routes: readonly string[]): Promise<void> {
  const exit = ["0.0.0.0/0", "::/0"];
  await router.local("prefs", "PATCH", { AdvertiseRoutes: [...exit, ...routes], AdvertiseRoutesSet: true });
}

groundTest(
  "1,000 route changes a minute, by the host and by the tailnet: no loss, no leak, little CPU",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "10.0.0.0/8,exit");
    const alpha = ground.machine("alpha");
    const beta = ground.machine("beta");
    ground.lab.router(beta);
    const b = await ground.joined(beta, "beta", "--advertise-exit-node");
    const a = await ground.agent(alpha, "alpha", { port: OWN.port });
    await ground.join(a, "--accept-routes");
    await useExit(a, b);
    await reaches(alpha, INTERNET, 40_000);

    await using capture = await Capture.start(alpha, "eth0");
    const [startedAt, cpuBefore] = [performance.now(), cpuSeconds(a.pid)];
    const stopped = pinging(alpha, INTERNET);
    // By the host: half added, half deleted, as a routing daemon would, no faster than a thousand in half a minute.
    for (let round = 0; round < 10; round++) {
      const routes = Array.from({ length: CHANGES / 20 }, (_, i) => `172.20.${round}.${i}/32`);
      for (const word of ["add", "del"]) {
        const batch = routes.map((route) => `route ${word} ${route} via 10.90.1.1`).join("\n");
        await alpha.must(["ip", "-batch", "-"], { input: `${batch}\n` });
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
    // By the tailnet: each time all routes of the router are other ones.
    let changes = 0;
    for (let round = 0; changes < CHANGES; round++) {
      const routes = Array.from({ length: ROUTES_A_ROUND }, (_, i) => `10.${100 + round % 100}.${i}.0/24`);
      await offer(b, routes);
      changes += round === 0 ? ROUTES_A_ROUND : 2 * ROUTES_A_ROUND;
      await until(`round ${round} is in the table`, 20_000, () => {
        const present = tableRoutes(alpha).filter((route) => /^10\./.test(route));
        return Promise.resolve(present.length === routes.length && routes.every((route) => present.includes(route)));
      });
    }
    const { sent, answered } = await stopped();
    const seconds = (performance.now() - startedAt) / 1000;
    const cpu = cpuSeconds(a.pid) - cpuBefore;
    console.log(
      `  ${2 * CHANGES} changes in ${seconds.toFixed(1)} s: ${answered} of ${sent} pings answered, ${
        cpu.toFixed(1)
      } s of CPU`,
    );
    assert.ok(sent > 50 && answered >= sent - 1, `${answered} of ${sent} answered`);
    assert.ok(cpu < seconds / 2, `${cpu} s of CPU in ${seconds} s`);
    await offer(b, []);
    await until("none is left", 20_000, () => {
      return Promise.resolve(!tableRoutes(alpha).some((route) => /^10\./.test(route)));
    });
    assert.deepEqual(leaked(capture.packets, OWN), []);
  },
  ["tcpdump"],
);

groundTest(
  "a link down and up while an exit node is used: nothing leaks, and all is as before",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "exit");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    ground.lab.router(beta);
    const b = await ground.joined(beta, "beta", "--advertise-exit-node");
    const a = await ground.agent(alpha, "alpha", { port: OWN.port });
    await ground.join(a);
    await useExit(a, b);
    await reaches(alpha, INTERNET, 40_000);
    await using capture = await Capture.start(alpha, "eth0");
    alpha.setUp("eth0", false);
    await until("nothing is reached", 20_000, async () => {
      return (await alpha.run(["ping", "-n", "-c", "1", "-W", "1", INTERNET])).code !== 0;
    });
    alpha.setUp("eth0", true);
    // Routes by a link go with it; a DHCP client puts them back. Without its device the gateway would be looked for in the
    // tunnel: the kernel asks the same rules.
    await alpha.must(["ip", "route", "replace", "default", "via", "10.90.1.1", "dev", "eth0"]);
    await reaches(alpha, INTERNET, 60_000);
    assert.deepEqual(leaked(capture.packets, OWN), []);
    assert.ok(capture.packets.some((line) => line.includes(`.${OWN.port} > `)), "the capture saw what it was to see");
  },
  ["tcpdump"],
);
