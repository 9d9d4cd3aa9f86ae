// Ours and a real tailscaled on one machine, each in a tailnet of its own: whichever starts first, stops, crashes or comes
// back, both reach their peers, and neither loses a rule to the other.

import assert from "node:assert/strict";
import { type Instance, instanceOf, ONE_NODE } from "../../daemon/instance.ts";
import { type AgentNode, until } from "../interop/support/agent.ts";
import { buildTailscaled } from "../interop/support/build.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import { TailscaledNode } from "../interop/support/tailscaled.ts";
import { tableRoutes } from "./kernel_state.ts";
import type { LabNamespace } from "./lab.ts";
import { groundTest, reaches, type TailnetGround } from "./tailnet_ground.ts";

const tailscaled = await buildTailscaled();

/** How tailscaled reaches the packet filter, and our instance's name. */
interface Setting {
  readonly firewall: "nftables" | "iptables";
  readonly name: string;
}

/** Both tailnets: ours by the ground's coordinator, the other by one of its own on another machine. */
interface Neighbours extends AsyncDisposable {
  readonly alpha: LabNamespace;
  readonly instance: Instance;
  /** Ours on alpha, and its peer. */
  readonly ours: AgentNode;
  readonly home: LabNamespace;
  readonly homeIp: string;
  readonly theirs: TailscaledNode;
  readonly office: LabNamespace;
  readonly officeIp: string;
  joinOurs(): Promise<void>;
  joinTheirs(): Promise<void>;
}

async function neighbours(ground: TailnetGround, { firewall, name }: Setting): Promise<Neighbours> {
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
  const named = name === "" ? {} : { args: ["--instance", name], tun: `agent-${name}` };
  const ours = await ground.agent(alpha, "ours", named);
  await ours.stop();
  const theirs = stack.use(await TailscaledNode.start({ namespace: alpha, dir, name: "theirs", firewall }));
  await theirs.stop();
  return {
    alpha,
    instance: instanceOf(name)!,
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

/** How many rules are ours alone: the one node's are the same as theirs, and stand once for both. */
function ownRules({ name }: Instance): number {
  return name === "" ? 0 : RULES_OF_OURS;
}

async function bothWork(both: Neighbours): Promise<void> {
  const { alpha, instance, ours, home, homeIp, theirs, office, officeIp } = both;
  await ours.awaitPeer(homeIp, 40_000);
  const [[ourIp], [theirIp]] = await Promise.all([ours.ips(), theirs.ips()]);
  await reaches(alpha, homeIp);
  await reaches(alpha, officeIp);
  await reaches(home, ourIp);
  await reaches(office, theirIp);
  const { ours: mine, theirs: his } = await policyRules(alpha);
  assert.deepEqual(his.map((line) => Number(line.split(":")[0])), RULES_OF_THEIRS, "none of theirs is lost, or twice");
  assert.equal(mine.length, ownRules(instance), mine.join("\n"));
  await until("our jump stands ahead of theirs", 20_000, async () => {
    const [input, forward] = [await jumps(alpha), await jumps(alpha, "FORWARD")];
    const { prefix } = instance;
    return input[0] === `${prefix}-input` && input.includes("ts-input") &&
      forward[0] === `${prefix}-forward` && forward.includes("ts-forward");
  });
  await until("status names their tunnel", 20_000, async () => {
    return (await ours.status()).Agent.Netfilter.Exempt.join().includes("tailscale0");
  });
}

/** Nothing of ours, all of theirs. */
async function onlyTheirs({ alpha, instance, theirs, office, officeIp }: Neighbours): Promise<void> {
  await until("nothing of ours is left in the filter", 20_000, async () => {
    return !/agent/.test(await alpha.must(["nft", "list", "ruleset"]));
  });
  const { ours, theirs: his } = await policyRules(alpha);
  assert.deepEqual(ours, []);
  if (instance.table !== ONE_NODE.table) assert.deepEqual(tableRoutes(alpha, instance.table), []);
  assert.deepEqual(his.map((line) => Number(line.split(":")[0])), RULES_OF_THEIRS);
  assert.deepEqual(await jumps(alpha), ["ts-input"]);
  await reaches(alpha, officeIp);
  await reaches(office, (await theirs.ips())[0]);
}

const SETTINGS: readonly Setting[] = [{ firewall: "nftables", name: "work" }, { firewall: "iptables", name: "" }];

for (const setting of SETTINGS) {
  groundTest(
    `beside a real tailscaled by ${setting.firewall}, ours ${
      setting.name === "" ? "the one node" : "an instance"
    }: started before, after and again, both tailnets work`,
    async (ground) => {
      await using both = await neighbours(ground, setting);
      const { ours, theirs, alpha } = both;
      await both.joinTheirs();
      await both.joinOurs();
      await bothWork(both);
      console.log(`  INPUT with tailscaled first: ${(await jumps(alpha)).join(" ")}`);

      // Theirs again, after ours: it inserts its jump ahead of ours.
      await theirs.stop();
      assert.equal((await policyRules(alpha)).ours.length, ownRules(both.instance));
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
