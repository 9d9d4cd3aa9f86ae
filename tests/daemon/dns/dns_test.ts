// What the machine is told, and when it is told again, with a machine in memory.

import assert from "node:assert/strict";
import type { Scheduler } from "../../../base/clock.ts";
import { TYPE } from "../../../base/dns_message.ts";
import { systemRandom, systemScheduler } from "../../../base/system.ts";
import { Dns } from "../../../daemon/dns/dns.ts";
import type { DnsProblem, DnsSystemEvents } from "../../../daemon/dns/dns.ts";
import type { SystemDns } from "../../../daemon/dns/plan.ts";
import { createLog } from "../../../daemon/log.ts";
import type { ResolvConf } from "../../../daemon/dns/os/resolv_conf.ts";
import { answerText, dnsNode, dnsView, FakeServers } from "../../support/dns.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";

/** A machine that remembers what it was told, and forgets it when the test says so. */
class Machine {
  readonly told: string[] = [];
  readonly problems = new Map<DnsProblem, string>();
  /** What is to happen in the middle of the next order. */
  during: () => void | Promise<void> = () => {};
  events: DnsSystemEvents | undefined;
  splits = true;
  base: () => Promise<ResolvConf> = () => Promise.resolve({ nameservers: [], searchDomains: [] });
  readonly logged: string[] = [];

  readonly dns: Dns;

  constructor(scheduler: Scheduler = systemScheduler) {
    this.dns = new Dns({
      system: {
        open: (events) => {
          this.events = events;
          return Promise.resolve({
            chosen: { mode: "systemd-resolved", why: "a test" },
            splits: this.splits,
            base: () => this.base(),
            set: async ({ nameservers }: SystemDns) => {
              this.told.push(nameservers.join(" "));
              const during = this.during;
              this.during = () => {};
              await during();
            },
            close: () => Promise.resolve(),
          });
        },
      },
      transport: new FakeServers({ "192.0.2.53": "192.0.2.80" }),
      serviceAddresses: ["127.100.100.100"],
      mayAsk: () => true,
      scheduler,
      random: systemRandom,
      log: createLog({ verbose: 0, wall: () => 0, write: (line) => void this.logged.push(line) }),
      problem: (code, text) => void this.problems.set(code, text),
    });
  }

  configure(name: string): void {
    this.dns.configure({ view: dnsView([dnsNode(name, ["100.64.0.1"])]), acceptDns: true, exitNode: false });
  }
}

Deno.test("dns: a machine that forgot what it was told is told again, once", async () => {
  const machine = new Machine();
  machine.configure("one.t.ts.net");
  await machine.dns.status();
  assert.deepEqual(machine.told, ["127.100.100.100"]);
  machine.configure("one.t.ts.net");
  await machine.dns.status();
  assert.equal(machine.told.length, 1, "nothing is new");
  machine.events!.forgotten();
  await machine.dns.status();
  assert.equal(machine.told.length, 2);
  machine.events!.forgotten();
  machine.events!.forgotten();
  await machine.dns.status();
  await machine.dns.status();
  assert.equal(machine.told.length, 3, "two at once are one");
  // Not when there is nothing to tell any more.
  machine.dns.down();
  machine.events!.forgotten();
  await machine.dns.close();
  assert.deepEqual(machine.told.slice(3).filter((text) => text !== ""), []);
});

Deno.test("dns: a machine that forgets while it is being told is told once more", async () => {
  const machine = new Machine();
  machine.during = () => machine.events!.forgotten();
  machine.configure("one.t.ts.net");
  await machine.dns.status();
  await machine.dns.status();
  assert.deepEqual(machine.told, ["127.100.100.100", "127.100.100.100"]);
  await machine.dns.close();
});

Deno.test("dns: a machine that could not be told is told when it is there again", async () => {
  const machine = new Machine();
  machine.during = () => Promise.reject(new Error("resolved is away"));
  machine.configure("one.t.ts.net");
  await machine.dns.status();
  assert.equal(machine.problems.get("dns-set-os-config-failed"), "resolved is away");
  machine.events!.forgotten();
  await machine.dns.status();
  assert.equal(machine.told.length, 2);
  assert.equal(machine.problems.get("dns-set-os-config-failed"), "");
  await machine.dns.close();
});

Deno.test("dns: a machine that cannot be told is told again by itself, ever more rarely, and complained of once", async () => {
  const scheduler = new FakeScheduler();
  const machine = new Machine(scheduler);
  const fail = () => {
    machine.during = fail;
    return Promise.reject(new Error("the disk is full"));
  };
  machine.during = fail;
  machine.configure("one.t.ts.net");
  const counts: number[] = [];
  for (let i = 0; i < 4; i++) {
    await scheduler.advance(60_000);
    counts.push(machine.told.length);
  }
  assert.deepEqual(counts, [5, 6, 7, 8], "at 0, 2, 6, 14, 30, then about each minute");
  assert.equal(machine.logged.filter((line) => line.includes("the disk is full")).length, 1);
  machine.during = () => {};
  await scheduler.advance(60_000);
  assert.equal(machine.problems.get("dns-set-os-config-failed"), "");
  assert.equal(machine.told.length, 9);
  await scheduler.advance(600_000);
  assert.equal(machine.told.length, 9, "it has it now");
  machine.during = fail;
  machine.configure("two.t.ts.net");
  await machine.dns.close();
  await scheduler.advance(600_000);
  assert.ok(machine.told.length <= 11, "closed is closed");
});

Deno.test("dns: the machine's own servers are asked while it is looked at again", async () => {
  const machine = new Machine();
  machine.splits = false;
  machine.base = () => Promise.resolve({ nameservers: ["192.0.2.53"], searchDomains: [] });
  const web = async () => answerText((await machine.dns.query("web.example", TYPE.A))?.bytes);
  machine.configure("one.t.ts.net");
  await machine.dns.status();
  assert.equal(await web(), "NOERROR A 192.0.2.80");
  const looking = Promise.withResolvers<ResolvConf>();
  machine.base = () => looking.promise;
  machine.configure("two.t.ts.net");
  assert.equal(await web(), "NOERROR A 192.0.2.80");
  looking.resolve({ nameservers: [], searchDomains: [] });
  await machine.dns.status();
  assert.notEqual(await web(), "NOERROR A 192.0.2.80");
  await machine.dns.close();
});

Deno.test("dns: names of the tailnet, whole and short, and no others", async () => {
  const machine = new Machine();
  const found = (name: string) => machine.dns.tailnetName(name)?.map((ip) => ip.join(".")).join(" ");
  assert.equal(found("one"), undefined, "there is no netmap");
  machine.configure("one.t.ts.net");
  for (const name of ["one", "ONE", "one.t.ts.net", "One.t.ts.net."]) assert.equal(found(name), "100.64.0.1", name);
  for (const name of ["", ".", "two", "two.t.ts.net", "localhost", "one.localhost", "one.example"]) {
    assert.equal(found(name), undefined, name);
  }
  await machine.dns.close();
  assert.equal(found("one"), undefined, "it is down");
});
