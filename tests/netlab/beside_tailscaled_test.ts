// Ours and a real tailscaled on one machine, each in a tailnet of its own: whichever starts first, stops, crashes or comes
// back, both reach their peers, and neither loses a rule to the other.

import assert from "node:assert/strict";
import { instanceOf } from "../../daemon/instance.ts";
import { type AgentNode, until } from "../interop/support/agent.ts";
import { buildTailscaled } from "../interop/support/build.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import { TailscaledNode } from "../interop/support/tailscaled.ts";
import { tableRoutes } from "./kernel_state.ts";
import type { LabNamespace } from "./lab.ts";
import { groundTest, reaches, type TailnetGround } from "./tailnet_ground.ts";

const tailscaled = await buildTailscaled();
const WORK = instanceOf("work")!;

/** Both tailnets: ours by the ground's coordinator, the other by one of its own on another machine. */
interface Neighbours extends AsyncDisposable {
  readonly alpha: LabNamespace;
  /** Ours on alpha, an instance of its own, and its peer. */
  readonly ours: AgentNode;
  readonly home: LabNamespace;
  readonly homeIp: string;
  readonly theirs: TailscaledNode;
  readonly office: LabNamespace;
  readonly officeIp: string;
  joinOurs(): Promise<void>;
  joinTheirs(): Promise<void>;
}

async function neighbours(ground: TailnetGround, firewall: "nftables" | "iptables"): Promise<Neighbours> {
  const stack = new AsyncDisposableStack();
  await ground.startCoordinator();
  const server = ground.machine("server");
  const [alpha, home, office] = [ground.machine("alpha"), ground.machine("home"), ground.machine("office")];
  const dir = `${ground.dir}/second`;
  await Deno.mkdir(dir);
  const second = stack.use(await CoordinatorProcess.start({ namespace: server, dir, host: "10.90.1.2" }));
  const key = await second.createKey("--reusable");
  const his = await ground.agent(office, "his");
  // The second tailnet's first addresses are given away and gone, so that no address is in both.
  const spares = await Promise.all(["spare", "other"].map((tun) => ground.agent(server, tun, { tun })));
  for (const spare of spares) await spare.up(second.url, key, "--accept-dns=false");
  await his.up(second.url, key, "--accept-dns=false");
  for (const spare of spares) {
    await spare.stop();
    await second.command("nodes", "delete", spare.name);
  }
  const hers = await ground.joined(home, "hers");
  const ours = await ground.agent(alpha, "ours", { args: ["--instance", "work"], tun: "agent-work" });
  await ours.stop();
  const theirs = stack.use(await TailscaledNode.start({ namespace: alpha, dir, name: "theirs", firewall }));
  await theirs.stop();
  return {
    alpha,
    ours,
    home,
    homeIp: (await hers.ips())[0],
    theirs,
    office,
    officeIp: (await his.ips())[0],
    joinOurs: async () => {
      await ours.run();
      await ground.join(ours);
    },
    joinTheirs: async () => {
      await theirs.run();
      await theirs.up(second.url, key);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Rules of a base chain in order, as iptables' and nft's words for a jump: its target. */
async function jumps(ns: LabNamespace, chain = "INPUT"): Promise<string[]> {
  const text = await ns.run(["nft", "-s", "list", "chain", "ip", "filter", chain]);
  return [...text.stdout.matchAll(/jump (\S+)/g)].map(([, target]) => target);
}

/** Policy rules that are tailscaled's, or ours, in `ip rule`'s words. */
async function policyRules(ns: LabNamespace): Promise<{ ours: string[]; theirs: string[] }> {
  const families = await Promise.all([ns.must(["ip", "-4", "rule"]), ns.must(["ip", "-6", "rule"])]);
  const lines = families.flatMap((text) => text.trim().split("\n")).filter((line) => /^5[23]\d\d:/.test(line));
  const isTheirs = (line: string) => /^52(10|30|50|70):/.test(line);
  return { ours: lines.filter((line) => !isTheirs(line)), theirs: lines.filter(isTheirs) };
}

/** Three by the mark, those of its address and of where it answers DNS, one for the table; in both families. */
const RULES_OF_OURS = 12;
const RULES_OF_THEIRS = [5210, 5230, 5250, 5270, 5210, 5230, 5250, 5270];

async function bothWork({ alpha, ours, home, homeIp, theirs, office, officeIp }: Neighbours): Promise<void> {
  await ours.awaitPeer(homeIp, 40_000);
  const [[ourIp], [theirIp]] = await Promise.all([ours.ips(), theirs.ips()]);
  await reaches(alpha, homeIp);
  await reaches(alpha, officeIp);
  await reaches(home, ourIp);
  await reaches(office, theirIp);
  const { ours: mine, theirs: his } = await policyRules(alpha);
  assert.deepEqual(his.map((line) => Number(line.split(":")[0])), RULES_OF_THEIRS, "none of theirs is lost, or twice");
  assert.equal(mine.length, RULES_OF_OURS, mine.join("\n"));
  await until("our jump stands ahead of theirs", 20_000, async () => {
    const [input, forward] = [await jumps(alpha), await jumps(alpha, "FORWARD")];
    return input.indexOf("agent-work-input") === 0 && input.includes("ts-input") &&
      forward.indexOf("agent-work-forward") === 0 && forward.includes("ts-forward");
  });
  await until("status names their tunnel", 20_000, async () => {
    return (await ours.status()).Agent.Netfilter.Exempt.join().includes("tailscale0");
  });
}

/** Nothing of ours, all of theirs. */
async function onlyTheirs({ alpha, theirs, office, officeIp }: Neighbours): Promise<void> {
  await until("nothing of ours is left in the filter", 20_000, async () => {
    return !/agent/.test(await alpha.must(["nft", "list", "ruleset"]));
  });
  const { ours, theirs: his } = await policyRules(alpha);
  assert.deepEqual(ours, []);
  assert.deepEqual(tableRoutes(alpha, WORK.table), []);
  assert.deepEqual(his.map((line) => Number(line.split(":")[0])), RULES_OF_THEIRS);
  assert.deepEqual(await jumps(alpha), ["ts-input"]);
  await reaches(alpha, officeIp);
  await reaches(office, (await theirs.ips())[0]);
}

for (const firewall of ["nftables", "iptables"] as const) {
  groundTest(
    `beside a real tailscaled (its ${firewall}): started before, after and again, both tailnets work`,
    async (ground) => {
      await using both = await neighbours(ground, firewall);
      const { ours, theirs, alpha } = both;
      await both.joinTheirs();
      await both.joinOurs();
      await bothWork(both);
      console.log(`  INPUT with tailscaled first: ${(await jumps(alpha)).join(" ")}`);

      // Theirs again, after ours: it inserts its jump ahead of ours.
      await theirs.stop();
      assert.equal((await policyRules(alpha)).ours.length, RULES_OF_OURS);
      await reaches(alpha, both.homeIp);
      await theirs.run();
      await until("theirs is connected", 40_000, async () => (await theirs.status()).BackendState === "Running");
      await bothWork(both);
      console.log(`  INPUT with tailscaled last: ${(await jumps(alpha)).join(" ")}`);

      // A crash of either, and back.
      await theirs.kill();
      await reaches(both.home, (await ours.ips())[0]);
      await theirs.run();
      await until("theirs is connected", 40_000, async () => (await theirs.status()).BackendState === "Running");
      await bothWork(both);
      await ours.kill();
      await reaches(both.office, (await theirs.ips())[0]);
      await ours.run();
      await bothWork(both);

      assert.equal(await ours.stop(), 0);
      await onlyTheirs(both);
      await ours.run();
      await bothWork(both);
      await ours.stop();
      await onlyTheirs(both);
    },
    [tailscaled],
  );
}
