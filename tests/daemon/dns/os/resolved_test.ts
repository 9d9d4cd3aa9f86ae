import assert from "node:assert/strict";
import { resolvedConfigurator } from "../../../../daemon/dns/os/resolved.ts";

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
