// Two nodes on one machine, each in a tailnet of its own: neither cuts the other off, and each leaves the other's be.

import assert from "node:assert/strict";
import { readSysctl } from "../../daemon/forwarding.ts";
import { instanceOf, ONE_NODE } from "../../daemon/instance.ts";
import type { Instance } from "../../daemon/instance.ts";
import { allowMarkedAnswers, restoreMarkedAnswers, writeSysctl } from "../../daemon/marked_answers.ts";
import { exitTables } from "../../daemon/netlink_routing.ts";
import { deleteRoute, replaceRoute } from "../../ffi/rt_route.ts";
import type { Route } from "../../ffi/rt_route.ts";
import { AgentNode, until } from "../interop/support/agent.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import { deviceAddresses, tableRoutes } from "./kernel_state.ts";
import { Lab, privilegedTest } from "./lab.ts";
import { groundTest, isCutOff, reaches } from "./tailnet_ground.ts";

const WORK = instanceOf("work")!;

groundTest(
  "two instances at once under two coordinators: both reach their peers, and neither touches the other",
  async (ground) => {
    await ground.startCoordinator();
    const server = ground.machine("server");
    const [alpha, home, office] = [ground.machine("alpha"), ground.machine("home"), ground.machine("office")];
    const dir = `${ground.dir}/second`;
    await Deno.mkdir(dir);
    const host = "10.90.1.2";
    await using second = await CoordinatorProcess.start({ namespace: server, dir, host });
    // The second tailnet's first addresses are taken, so that the two have different ones to begin with.
    const key = await second.createKey("--reusable");
    for (const name of ["spare", "second"]) {
      const spare = await ground.agent(server, name, { tun: name });
      await spare.up(second.url, key, "--accept-dns=false");
      await spare.stop();
    }

    const one = await ground.joined(alpha, "one");
    const hers = await ground.joined(home, "hers");
    const two = await ground.agent(alpha, "two", { args: ["--instance", "work"], tun: "agent-work" });
    await two.up(second.url, key, "--accept-dns=false");
    const his = await ground.agent(office, "his");
    await his.up(second.url, key, "--accept-dns=false");
    const [[herIp], [hisIp], [oneIp], [twoIp]] = await Promise.all([hers, his, one, two].map((agent) => agent.ips()));
    assert.notEqual(oneIp, twoIp);
    await one.awaitPeer(herIp);
    await two.awaitPeer(hisIp);
    assert.deepEqual([deviceAddresses(alpha, "agent0")[0], deviceAddresses(alpha, "agent-work")[0]], [
      `${oneIp}/32`,
      `${twoIp}/32`,
    ]);
    assert.ok(tableRoutes(alpha, ONE_NODE.table).includes(`${herIp}/32`));
    assert.ok(tableRoutes(alpha, WORK.table).includes(`${hisIp}/32`));
    // Both ways: each filter lets in what comes out of the other's tunnel.
    await reaches(home, oneIp);
    await reaches(office, twoIp);
    await reaches(alpha, herIp);
    const conflict = await until("health names the addresses in both", 20_000, async () => {
      return (await two.status()).Health?.find((text: string) => text.includes("two tailnets"));
    });
    assert.ok(conflict.includes(herIp) || conflict.includes(oneIp), conflict);
    await until("each names the other", 10_000, async () => {
      const exempt = async (agent: AgentNode) => (await agent.status()).Agent.Netfilter.Exempt.join();
      return /agent-work/.test(await exempt(one)) && /agent0/.test(await exempt(two));
    });

    const rules = async () =>
      (await alpha.must(["ip", "rule"])).split("\n").filter((line) => /52[0-9]{2}|53[0-9]{2}/.test(line));
    const mine = (lines: string[]) => lines.filter((line) => /0x80000\/|lookup 52 *$/.test(line));
    const before = mine(await rules());
    assert.equal(before.length, 4);
    assert.ok((await rules()).some((line) => line.includes(`from ${twoIp} lookup ${WORK.table}`)));
    assert.equal(await two.stop(), 0);
    assert.deepEqual(await rules(), before, "the other's rules stay, ours are gone");
    const filter = () => alpha.must(["nft", "list", "ruleset"]);
    await until("nothing of it is in the filter, the other's exemption included", 15_000, async () => {
      return !/agent-work/.test(await filter());
    });
    await reaches(home, oneIp);
    await two.run();
    await reaches(office, twoIp);
    await one.stop();
    assert.deepEqual(mine(await rules()), []);
    await until("nothing of the first is left", 15_000, async () => !/agent0|jump agent-input/.test(await filter()));
    await reaches(office, twoIp);
    assert.equal(await isCutOff(home, oneIp), true);
  },
);

privilegedTest(
  "two instances with an exit node each: who goes leaves src_valid_mark to the other, by the kernel's tables",
  async () => {
    await using lab = await Lab.create();
    const ns = lab.namespace("alpha");
    const end = (table: number): Route => ({
      destination: { ip: new Uint8Array(4), bits: 0 },
      table,
      type: "unreachable",
      metric: 0xffffffff,
    });
    // An operator's own is none of ours.
    replaceRoute(ns.netlink, end(700));
    const value = () => ns.within(() => readSysctl("net/ipv4/conf/all/src_valid_mark"))?.trim();
    const restore = (instance: Instance) =>
      ns.within(() => restoreMarkedAnswers(instance, writeSysctl, readSysctl, () => exitTables(instance)));
    for (const instance of [ONE_NODE, WORK]) {
      replaceRoute(ns.netlink, end(instance.table));
      ns.within(() => allowMarkedAnswers(instance, writeSysctl, readSysctl));
    }
    assert.equal(value(), String(ONE_NODE.table));
    deleteRoute(ns.netlink, end(ONE_NODE.table));
    assert.equal(restore(ONE_NODE), WORK.table);
    assert.equal(value(), String(WORK.table));
    deleteRoute(ns.netlink, end(WORK.table));
    assert.equal(restore(WORK), 0);
    assert.equal(value(), "0");
  },
);
