import assert from "node:assert/strict";
import { formatIp, formatPrefix, parseIp, parsePrefix } from "../../base/ip.ts";
import { EINVAL, FfiError } from "../../ffi/libc.ts";
import { addAddress, deleteAddress, listAddresses } from "../../ffi/rt_addr.ts";
import { addLink, deleteLink, type Link, linkByIndex, linkByName, listLinks, setLink } from "../../ffi/rt_link.ts";
import { addRoute, deleteRoute, listRoutes, replaceRoute, type Route } from "../../ffi/rt_route.ts";
import { addRule, deleteRule, listRules, type Rule } from "../../ffi/rt_rule.ts";
import { type NetworkChange, watchNetwork } from "../../ffi/rt_watch.ts";
import { Lab, type LabNamespace, privilegedTest } from "../netlab/lab.ts";

const p = (text: string) => parsePrefix(text)!;

/** One namespace with a bridge "br0" in it, up. */
async function withBridge(body: (namespace: LabNamespace, bridge: Link) => void | Promise<void>): Promise<void> {
  await using lab = await Lab.create();
  const namespace = lab.namespace("rt");
  addLink(namespace.netlink, "bridge", "br0");
  const bridge = linkByName(namespace.netlink, "br0")!;
  setLink(namespace.netlink, bridge.index, { up: true });
  await body(namespace, bridge);
}

privilegedTest(
  "links are created, changed, renamed and deleted; creating and deleting twice is no failure",
  () =>
    withBridge(({ netlink }, { index }) => {
      assert.equal(addLink(netlink, "bridge", "br0"), false);
      setLink(netlink, index, { mtu: 1280, txQueueLength: 77 });
      assert.deepEqual(listLinks(netlink).map(({ name }) => name).sort(), ["br0", "lo"]);
      const { mtu, txQueueLength, kind, up } = linkByIndex(netlink, index)!;
      assert.deepEqual({ mtu, txQueueLength, kind, up }, { mtu: 1280, txQueueLength: 77, kind: "bridge", up: true });
      setLink(netlink, index, { up: false, name: "br9" });
      assert.equal(linkByName(netlink, "br0"), undefined);
      assert.equal(linkByName(netlink, "br9")!.up, false);
      assert.equal(deleteLink(netlink, index), true);
      assert.equal(deleteLink(netlink, index), false);
      assert.equal(linkByIndex(netlink, index), undefined);
    }),
);

privilegedTest("a veth end becomes a port of a bridge and leaves it", async () => {
  await using lab = await Lab.create();
  const [a, b] = [lab.namespace("a"), lab.namespace("b")];
  const { aDevice } = lab.link(a, [], b, []);
  addLink(a.netlink, "bridge", "br0");
  const [veth, bridge] = [linkByName(a.netlink, aDevice)!, linkByName(a.netlink, "br0")!];
  assert.equal(veth.kind, "veth");
  setLink(a.netlink, veth.index, { master: bridge.index });
  assert.equal(linkByIndex(a.netlink, veth.index)!.master, bridge.index);
  setLink(a.netlink, veth.index, { master: 0 });
  assert.equal(linkByIndex(a.netlink, veth.index)!.master, undefined);
});

privilegedTest(
  "addresses are added and deleted, idempotently, and can be bound at once",
  () =>
    withBridge(({ netlink }, { index }) => {
      const own = () =>
        listAddresses(netlink).filter((address) => address.index === index && address.scope === "global")
          .map(({ prefix, tentative }) => `${formatPrefix(prefix)}${tentative ? " tentative" : ""}`).sort();
      assert.equal(addAddress(netlink, index, p("100.64.0.1/32")), true);
      assert.equal(addAddress(netlink, index, p("100.64.0.1/32")), false);
      addAddress(netlink, index, p("fd7a:115c:a1e0::1/64"), { noPrefixRoute: true });
      assert.deepEqual(own(), ["100.64.0.1/32", "fd7a:115c:a1e0::1/64"]);
      assert.deepEqual(listRoutes(netlink, 6, 254).filter((r) => formatIp(r.destination.ip).startsWith("fd7a")), []);
      assert.equal(deleteAddress(netlink, index, p("100.64.0.1/32")), true);
      assert.equal(deleteAddress(netlink, index, p("100.64.0.1/32")), false);
      assert.deepEqual(own(), ["fd7a:115c:a1e0::1/64"]);
    }),
);

privilegedTest("routes of each kind round trip through the kernel", () =>
  withBridge(({ netlink }, { index }) => {
    addAddress(netlink, index, p("10.1.0.1/24"));
    addAddress(netlink, index, p("fd00::1/64"));
    const routes: Route[] = [
      { destination: p("0.0.0.0/0"), via: parseIp("10.1.0.9"), table: 52 },
      { destination: p("100.64.0.0/10"), device: index, table: 52, metric: 7 },
      { destination: p("10.1.0.0/24"), type: "throw", table: 52 },
      { destination: p("10.2.0.0/16"), type: "unreachable", table: 1052, metric: 3 },
      { destination: p("10.3.0.0/16"), device: index, source: parseIp("10.1.0.1"), table: 52 },
      { destination: p("::/0"), via: parseIp("fd00::9"), table: 52 },
      { destination: p("fd7a:115c:a1e0::/48"), device: index, table: 52 },
      { destination: p("fd01::/48"), type: "throw", table: 52 },
    ];
    for (const route of routes) {
      const text = formatPrefix(route.destination);
      assert.equal(addRoute(netlink, route), true, text);
      assert.equal(addRoute(netlink, route), false, text);
      const family = route.destination.ip.length === 4 ? 4 : 6;
      const found = listRoutes(netlink, family, route.table).find(({ destination }) =>
        formatPrefix(destination) === text
      );
      assert.ok(found, text);
      assert.equal(found.type, route.type ?? "unicast");
      if (route.device !== undefined) assert.equal(found.device, route.device);
      if (route.metric !== undefined) assert.equal(found.metric, route.metric);
      assert.deepEqual(found.via, route.via);
      assert.deepEqual(found.source, route.source);
    }
    replaceRoute(netlink, { ...routes[0], via: parseIp("10.1.0.8") });
    const defaults = listRoutes(netlink, 4, 52).filter(({ destination }) => destination.bits === 0);
    assert.deepEqual(defaults.map(({ via }) => formatIp(via!)), ["10.1.0.8"]);
    for (const route of [{ ...routes[0], via: undefined }, ...routes.slice(1)]) {
      assert.equal(deleteRoute(netlink, route), true, formatPrefix(route.destination));
      assert.equal(deleteRoute(netlink, route), false);
    }
    assert.deepEqual([...listRoutes(netlink, 4, 52), ...listRoutes(netlink, 6, 52)], []);
  }));

privilegedTest(
  "rules with marks are added, listed in order and deleted, in both families",
  () =>
    withBridge(({ netlink }) => {
      for (const family of [4, 6] as const) {
        const before = listRules(netlink, family).length;
        const rules: Rule[] = [
          { family, priority: 5210, mark: 0x80000, mask: 0xff0000, action: "table", table: 254 },
          { family, priority: 5250, mark: 0x80000, mask: 0xff0000, action: "unreachable", table: undefined },
          { family, priority: 5270, action: "table", table: 52, mark: undefined, mask: undefined },
        ];
        for (const rule of rules) assert.equal(addRule(netlink, rule), true);
        for (const rule of rules) assert.equal(addRule(netlink, rule), false);
        assert.deepEqual(
          listRules(netlink, family).filter(({ priority }) => priority > 5200 && priority < 5300),
          rules,
        );
        for (const rule of rules) assert.equal(deleteRule(netlink, rule), true);
        for (const rule of rules) assert.equal(deleteRule(netlink, rule), false);
        assert.equal(listRules(netlink, family).length, before);
      }
    }),
);

privilegedTest(
  "a refusal carries the system call's name, errno and the kernel's own words",
  () =>
    withBridge(({ netlink }) => {
      const bad = { destination: p("10.9.1.1/16"), type: "throw", table: 52 } as const;
      assert.throws(() => addRoute(netlink, bad), (error) => {
        assert.ok(error instanceof FfiError);
        assert.deepEqual([error.syscall, error.errno, error.code], ["netlink", EINVAL, "EINVAL"]);
        assert.match(error.message, /^Cannot add route throw 10\.9\.1\.1\/16 in table 52: EINVAL, Invalid argument/);
        return true;
      });
      assert.equal(linkByName(netlink, "lo")!.name, "lo", "the socket is good for the next request");
    }),
);

privilegedTest("watchNetwork() tells of links, addresses, routes and rules, and stops at once", async () => {
  await withBridge(async (namespace, { index }) => {
    const { netlink } = namespace;
    const seen: NetworkChange[] = [];
    let arrived = () => {};
    const watch = namespace.within<ReturnType<typeof watchNetwork>>(() =>
      watchNetwork((changes) => {
        assert.ok(changes.length > 0);
        seen.push(...changes);
        arrived();
      })
    );
    const until = async (what: string, test: (change: NetworkChange) => boolean) => {
      const deadline = setTimeout(() => arrived(), 3000);
      while (!seen.some(test)) {
        const before = seen.length;
        await new Promise<void>((resolve) => arrived = resolve);
        assert.ok(seen.length > before, `no notification of ${what}`);
      }
      clearTimeout(deadline);
    };
    addAddress(netlink, index, p("10.1.0.1/24"));
    await until(
      "the address",
      (c) => c.kind === "address" && !c.gone && formatPrefix(c.address.prefix) === "10.1.0.1/24",
    );
    await until(
      "the prefix route",
      (c) => c.kind === "route" && !c.gone && formatPrefix(c.route.destination) === "10.1.0.0/24",
    );
    addRule(netlink, { family: 4, priority: 5270, table: 52 });
    await until("the rule", (c) => c.kind === "rule" && !c.gone && c.rule.priority === 5270);
    deleteAddress(netlink, index, p("10.1.0.1/24"));
    await until("the address going", (c) => c.kind === "address" && c.gone);
    deleteLink(netlink, index);
    await until("the link going", (c) => c.kind === "link" && c.gone && c.link.name === "br0");
    const before = performance.now();
    await watch.stop();
    await watch.stop();
    assert.ok(performance.now() - before < 500);
  });
});
