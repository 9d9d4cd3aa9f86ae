// Networks behind nodes: a host behind one reaches a host behind another, with and without source NAT; a second router
// takes over; and who is not to enter the tailnet does not.

import assert from "node:assert/strict";
import { until } from "../interop/support/agent.ts";
import { countSources } from "./count_sources.ts";
import { groundTest, isCutOff, reaches } from "./tailnet_ground.ts";

groundTest(
  "subnet routers: host to host with source NAT and without; a second router takes over; incident TS-2024-005",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "10.1.0.0/16");
    const [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map((name) => ground.machine(name));
    const lana = ground.behind(alpha, "lana", "10.1.0");
    const stranger = ground.behind(alpha, "stranger", "10.7.0");
    const lanb = ground.behind(beta, "lanb", "10.2.0");
    ground.behind(gamma, "lanc", "10.2.0");
    const a = await ground.joined(alpha, "alpha", "--accept-routes", "--advertise-routes", "10.1.0.0/24");
    const b = await ground.joined(beta, "beta", "--accept-routes", "--advertise-routes", "10.2.0.0/24");
    const { coordinator } = ground;
    assert.match(
      await coordinator.command("routes", "list"),
      /10\.2\.0\.0\/24 +2 +beta +online +no +waits for approval/,
    );
    assert.ok(await isCutOff(lana, "10.2.0.2"), "nothing leads to a route that nobody approved");
    assert.match(await coordinator.command("routes", "approve", "beta", "all"), /beta carries 10\.2\.0\.0\/24/);
    await reaches(lana, "10.2.0.2");

    const seen = await countSources(lanb, ["10.2.0.1", "10.1.0.2"]);
    await reaches(lana, "10.2.0.2");
    const [router, host] = await seen();
    assert.ok(router > 0 && host === 0, "with source NAT the router is seen");
    await b.cli("set", "--snat-subnet-routes=false");
    await until("without source NAT the host itself is seen", 20_000, async () => {
      await lana.run(["ping", "-n", "-c", "1", "-W", "1", "10.2.0.2"]);
      const [router, host] = await seen();
      return router === 0 && host > 0;
    });
    await reaches(lanb, "10.1.0.2");

    // A machine that merely has us as its gateway is in no network that we offer.
    assert.ok(await isCutOff(stranger, "10.2.0.2"));
    await a.cli("set", "--stateful-filtering=false");
    await lanb.must(["ping", "-n", "-c", "1", "10.1.0.2"]);
    assert.match(await a.namespace.must(["nft", "list", "chain", "ip", "agent", "forward"]), /100\.64\.0\.0\/10/);
    await a.cli("set", "--stateful-filtering");
    assert.ok(await isCutOff(lana, "10.2.0.2"), "strict: nothing new, from nobody");
    await a.cli("set", "--stateful-filtering=false");
    await reaches(lana, "10.2.0.2");

    const c = await ground.joined(gamma, "gamma", "--accept-routes", "--advertise-routes", "10.2.0.0/24");
    await coordinator.command("routes", "approve", "gamma", "10.2.0.0/24");
    assert.match(await coordinator.command("routes", "list"), /gamma +online +yes +standby/);
    // gamma does not send to its own network by another router.
    await gamma.must(["ping", "-n", "-c", "1", "10.2.0.2"]);
    const startedAt = performance.now();
    await b.kill();
    await until("gamma carries the route", 60_000, async () => {
      return /gamma +online +yes +carried/.test(await coordinator.command("routes", "list"));
    }, 500);
    await reaches(lana, "10.2.0.2");
    console.log(`  the other router carries after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    assert.deepEqual((await c.local("check-ip-forwarding")).Warning, "");
    gamma.sysctl("net/ipv4/ip_forward", "0");
    assert.match((await c.local("check-ip-forwarding")).Warning, /sysctl -w net\.ipv4\.ip_forward=1/);
    await until("health says so", 10_000, async () => /ip_forward/.test((await c.status()).Health?.join() ?? ""));
  },
);
