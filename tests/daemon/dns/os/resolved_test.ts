import assert from "node:assert/strict";
import { NotRunning, resolvedConfigurator } from "../../../../daemon/dns/os/resolved.ts";

Deno.test("systemd-resolved: before us it had the servers it writes down for all links, without what it was told by us", async () => {
  const calls: string[] = [];
  let written = { nameservers: ["192.0.2.53", "fd00::53"], searchDomains: ["lan.example"] };
  const way = resolvedConfigurator({ mode: "systemd-resolved", why: "a test" }, {
    device: "agent0",
    index: 7,
    call: (member) => Promise.resolve(void calls.push(member)),
    resolvectl: undefined,
    uplink: () => written,
    watch: () => ({ close: () => {} }),
    forgotten: () => {},
    log: () => {},
  });
  assert.deepEqual(await way.base(), written);
  await way.set({ nameservers: ["100.100.100.100"], searchDomains: ["tail.example"], matchDomains: [] });
  assert.deepEqual(calls.slice(0, 2), ["SetLinkDNS", "SetLinkDomains"]);
  const before = written;
  written = { nameservers: ["100.100.100.100", ...before.nameservers], searchDomains: ["tail.example", "lan.example"] };
  assert.deepEqual(await way.base(), before);
});

Deno.test("systemd-resolved: one that somebody stopped is not started by being told, nor by its own program", async () => {
  const calls: string[] = [];
  let stoppedAt = "SetLinkDNSSEC";
  const way = resolvedConfigurator({ mode: "systemd-resolved", why: "a test" }, {
    device: "agent0",
    index: 7,
    call: (member) => {
      calls.push(member);
      return member === stoppedAt ? Promise.reject(new NotRunning("it is stopped")) : Promise.resolve();
    },
    resolvectl: () => Promise.reject(new Error("it was run")),
    uplink: () => ({ nameservers: [], searchDomains: [] }),
    watch: () => ({ close: () => {} }),
    forgotten: () => {},
    log: () => {},
  });
  const config = { nameservers: ["100.100.100.100"], searchDomains: [], matchDomains: ["tail.example"] };
  for (const member of ["SetLinkDNS", "SetLinkDomains", "SetLinkDefaultRoute", "SetLinkDNSSEC", "FlushCaches"]) {
    stoppedAt = member;
    await assert.rejects(way.set(config), /^NotRunning: it is stopped$/);
    assert.equal(calls.at(-1), member, "no more is asked of it");
  }
  stoppedAt = "RevertLink";
  await way.set({ nameservers: [], searchDomains: [], matchDomains: [] });
  await way.close();
});
