// What the two programs of the name resolvconf are told. They run for real in tests/netlab/machine_dns_test.ts.

import assert from "node:assert/strict";
import { removeRecord, resolvconfConfigurator, resolvconfKind } from "../../../../daemon/dns/os/resolvconf.ts";

Deno.test("resolvconf: which program it is, by what it says of its version", async () => {
  const kind = (said: string | Error) =>
    resolvconfKind(() => said instanceof Error ? Promise.reject(said) : Promise.resolve(said));
  assert.equal(await kind("Debian resolvconf 1.91+nmu1\nCopyright: \n"), "debian");
  assert.equal(await kind(new Error("resolvconf --version ended with 99: Command not recognized")), "debian");
  assert.equal(await kind("openresolv 3.12.0\nCopyright (c) 2007-2020 Roy Marples\n"), "openresolv");
  assert.equal(await kind("systemd 252 (252.39-1~deb12u1)\n+PAM +AUDIT"), "");
});

Deno.test("resolvconf: openresolv gets a record that stands alone, and tells what the others say", async () => {
  const ran: string[] = [];
  const configurator = resolvconfConfigurator({ mode: "openresolv", why: "" }, "agent", (args, input) => {
    ran.push(`${args.join(" ")}${input === undefined ? "" : ` <${/^nameserver .*$/m.exec(input)?.[0]}`}`);
    if (args[0] === "-i") return Promise.resolve("eth0.dhcp agent wlan0\n");
    return Promise.resolve(args[0] === "-l" ? "search lan.test\nnameserver 192.0.2.1\n" : "");
  });
  assert.deepEqual(await configurator.base(), { nameservers: ["192.0.2.1"], searchDomains: ["lan.test"] });
  await configurator.set({ nameservers: ["100.100.100.100"], searchDomains: [], matchDomains: [] });
  await configurator.set({ nameservers: [], searchDomains: [], matchDomains: [] });
  await configurator.close();
  assert.deepEqual(ran, [
    "-i",
    "-l eth0.dhcp wlan0",
    "-m 0 -x -a agent <nameserver 100.100.100.100",
    "-f -d agent",
    "-f -d agent",
  ]);
});

Deno.test("resolvconf: what a killed daemon left is removed, and only what was there is told of", async () => {
  for (const [kind, ours] of [["openresolv", "agent"], ["debian", "tun-agent.inet"]] as const) {
    for (const left of [true, false]) {
      const ran: string[] = [];
      const was = await removeRecord(kind, "agent", (args) => {
        ran.push(args.join(" "));
        return Promise.resolve(`eth0.dhcp${left ? ` ${ours}` : ""}\n`);
      });
      assert.equal(was, left);
      assert.match(ran.at(-1)!, new RegExp(`-d ${ours}$`));
    }
  }
});
