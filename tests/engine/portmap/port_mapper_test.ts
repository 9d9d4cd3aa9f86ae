import assert from "node:assert/strict";
import { parseIp } from "../../../base/ip.ts";
import { PortMapper } from "../../../engine/portmap/port_mapper.ts";
import { FakeGateway } from "./fake_gateway.ts";

function world(change: (gateway: FakeGateway) => void = () => {}) {
  const gateway = new FakeGateway();
  change(gateway);
  const changes: string[] = [];
  const mapper = new PortMapper(gateway.ports(), () => changes.push(mapper.external), () => {});
  /** Runs what the mapper does to its end. */
  const settled = async <T>(work: Promise<T>): Promise<T> => {
    await gateway.scheduler.advance(3_000);
    return await work;
  };
  return { gateway, mapper, changes, settled };
}
const only = (...names: string[]) => ({
  pmp: names.includes("pmp"),
  pcp: names.includes("pcp"),
  upnp: names.includes("upnp"),
});

Deno.test("PortMapper.probe() finds what the router has, and asks only private gateways", async () => {
  for (const services of [only("pmp", "pcp", "upnp"), only("pcp"), only("upnp"), only()]) {
    const { mapper, settled } = world((gateway) => gateway.services = services);
    assert.deepEqual({ ...await settled(mapper.probe()) }, { ...services });
  }
  const { mapper, settled, gateway } = world((gateway) => {
    gateway.way = { gateway: parseIp("198.51.100.254")!, self: parseIp("198.51.100.7")! };
  });
  assert.deepEqual(await settled(mapper.probe()), only());
  await settled(mapper.update());
  assert.deepEqual([mapper.external, gateway.asked], ["", []]);
});

Deno.test("PortMapper maps by NAT-PMP, then PCP, then UPnP, and says so once", async () => {
  for (
    const [services, asked] of [[only("pmp", "pcp"), /^pmp 41641 7200/], [only("pcp"), /^pcp 41641 7200/]] as const
  ) {
    const { mapper, changes, settled, gateway } = world((gateway) => gateway.services = services);
    await settled(mapper.update());
    assert.equal(mapper.external, "198.51.100.1:41641");
    assert.match(gateway.asked.join(), asked);
    await settled(mapper.update());
    assert.deepEqual(changes, ["198.51.100.1:41641"]);
    assert.equal(gateway.asked.length, 1);
  }
  const { mapper, settled, gateway } = world((gateway) => gateway.services = only("upnp"));
  await settled(mapper.update());
  assert.equal(mapper.external, "198.51.100.1:41641");
  assert.equal(gateway.calls[0], "AddPortMapping 41641 7200");
});

Deno.test("PortMapper renews at half the lease, keeps the port it was granted, and lets go of one not renewed", async () => {
  const { mapper, changes, settled, gateway } = world((gateway) => {
    gateway.services = only("pmp");
    gateway.grants = () => 50_000;
    gateway.lifetimeS = 600;
  });
  await settled(mapper.update());
  assert.equal(mapper.external, "198.51.100.1:50000");
  await gateway.scheduler.advance(300_000);
  assert.deepEqual(gateway.asked, ["pmp 41641 7200", "pmp 50000 7200"]);
  gateway.services = only();
  await gateway.scheduler.advance(601_000);
  assert.equal(mapper.external, "");
  await settled(mapper.update());
  assert.equal(mapper.external, "");
  assert.deepEqual(changes[0], "198.51.100.1:50000");
  await settled(mapper.close());
  assert.equal(gateway.scheduler.pending, 0);
});

Deno.test("PortMapper.update() goes by the probe before it and asks the router no second time what it can do", async () => {
  const { mapper, settled, gateway } = world((gateway) => gateway.services = only());
  assert.deepEqual({ ...await settled(mapper.probe()) }, only());
  gateway.services = only("upnp");
  await settled(mapper.update());
  assert.deepEqual([mapper.external, gateway.calls], ["", []]);
  await settled(mapper.probe());
  await settled(mapper.update());
  assert.equal(mapper.external, "198.51.100.1:41641");
});

Deno.test("PortMapper.close() gives the mapping back", async () => {
  for (const name of ["pmp", "pcp", "upnp"]) {
    const { mapper, changes, settled, gateway } = world((gateway) => gateway.services = only(name));
    await settled(mapper.update());
    await settled(mapper.close());
    const last = name === "upnp" ? gateway.calls.at(-1) : gateway.asked.at(-1);
    assert.match(last!, name === "upnp" ? /^DeletePortMapping 41641/ : new RegExp(`^${name} 0 0`));
    assert.deepEqual(changes, ["198.51.100.1:41641", ""]);
    await settled(mapper.update());
    assert.equal(mapper.external, "");
    assert.equal(gateway.scheduler.pending, 0);
  }
});

Deno.test("PortMapper believes no stranger, no port 0, no address that cannot be one", async () => {
  const lies: ((gateway: FakeGateway) => void)[] = [
    (gateway) => gateway.answersFrom = "192.168.1.66",
    (gateway) => gateway.grants = () => 0,
    (gateway) => gateway.external = parseIp("0.0.0.0")!,
    (gateway) => gateway.external = parseIp("127.0.0.1")!,
    (gateway) => gateway.lifetimeS = 0,
  ];
  for (const name of ["pmp", "pcp"]) {
    for (const lie of lies) {
      const { mapper, changes, settled } = world((gateway) => {
        gateway.services = only(name);
        lie(gateway);
      });
      await settled(mapper.update());
      assert.deepEqual([mapper.external, changes], ["", []], `${name} ${lie}`);
    }
  }
  const { mapper, settled, gateway } = world((gateway) => {
    gateway.services = only("upnp");
    gateway.noted = "192.168.1.99";
  });
  await settled(mapper.update());
  assert.equal(mapper.external, "");
  assert.match(gateway.calls.at(-1)!, /^DeletePortMapping/);
});

Deno.test("PortMapper by UPnP takes a permanent lease where there is no other, and another port where one is taken", async () => {
  const { mapper, settled, gateway } = world((gateway) => {
    gateway.services = only("upnp");
    gateway.errors.push(718, 725);
  });
  await settled(mapper.update());
  const [first, second, third] = gateway.calls.map((call) => call.split(" "));
  assert.deepEqual([first[1], second[2], third[2]], ["41641", "7200", "0"]);
  assert.ok(Number(second[1]) >= 1024 && second[1] === third[1]);
  assert.equal(mapper.external, `198.51.100.1:${second[1]}`);
});

Deno.test("PortMapper forgets a mapping in another network and asks the router there", async () => {
  const { mapper, changes, settled, gateway } = world((gateway) => gateway.services = only("pmp"));
  await settled(mapper.update());
  mapper.networkChanged();
  assert.equal(mapper.external, "198.51.100.1:41641");
  gateway.way = { gateway: parseIp("192.168.1.1")!, self: parseIp("192.168.1.3")! };
  mapper.networkChanged();
  assert.deepEqual([mapper.external, changes.at(-1)], ["", ""]);
  await settled(mapper.update());
  assert.equal(mapper.external, "198.51.100.1:41641");
});

Deno.test("PortMapper neither looks for UPnP nor uses it where control forbids it", async () => {
  const { mapper, settled, gateway } = world((gateway) => gateway.services = only("upnp"));
  mapper.allowUpnp(false);
  assert.deepEqual({ ...await settled(mapper.probe()) }, only());
  await settled(mapper.update());
  assert.deepEqual([mapper.external, gateway.calls], ["", []]);
});

Deno.test("PortMapper asks again when the router has restarted, which its clock shows", async () => {
  const { mapper, settled, gateway } = world((gateway) => gateway.services = only("pmp"));
  await settled(mapper.update());
  await gateway.scheduler.advance(60_000);
  await settled(mapper.probe());
  await settled(mapper.update());
  assert.equal(gateway.asked.length, 1);
  gateway.startedAt = gateway.scheduler.monotonic();
  await settled(mapper.probe());
  await settled(mapper.update());
  assert.deepEqual(gateway.asked, ["pmp 41641 7200", "pmp 41641 7200"]);
});
