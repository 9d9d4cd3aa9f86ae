import assert from "node:assert/strict";
import { instanceOf, ONE_NODE } from "../../daemon/instance.ts";
import { OsRouter, rulesOf } from "../../daemon/os_router.ts";
import type { PolicyRule, RoutingPort } from "../../daemon/os_router.ts";

const RULES = rulesOf(ONE_NODE);

function ruleText(family: 4 | 6, { priority, from }: PolicyRule): string {
  return `${family}:${priority}${from === undefined ? "" : ` from ${from}`}`;
}

/** A system in memory that refuses what a kernel would. */
class FakeSystem implements RoutingPort {
  readonly addresses = new Set<string>();
  readonly routes = new Set<string>();
  readonly rules = new Set<string>();
  readonly steps: string[] = [];
  mtu = 0;
  foreign = 0;
  refuse: string | undefined;

  linkUp(mtu: number): void {
    this.mtu = mtu;
  }
  addAddress(prefix: string): void {
    this.#step(`+${prefix}`);
    this.addresses.add(prefix);
  }
  deleteAddress(prefix: string): void {
    this.#step(`-${prefix}`);
    this.addresses.delete(prefix);
  }
  addRoute(prefix: string): void {
    if (this.addresses.size === 0 && !prefix.includes(" ")) throw new Error("a route needs a device that is up");
    this.#step(`+route ${prefix}`);
    this.routes.add(prefix);
  }
  deleteRoute(prefix: string): void {
    this.#step(`-route ${prefix}`);
    this.routes.delete(prefix);
  }
  hasFamily(): boolean {
    return true;
  }
  addRule(family: 4 | 6, rule: PolicyRule): void {
    this.rules.add(ruleText(family, rule));
  }
  deleteRule(family: 4 | 6, rule: PolicyRule): void {
    this.rules.delete(ruleText(family, rule));
  }
  presentRoutes(): ReadonlySet<string> {
    return this.routes;
  }
  foreignRoutes(): number {
    return this.foreign;
  }
  #step(step: string): void {
    if (this.refuse !== undefined && step.includes(this.refuse)) throw new Error(`refused ${step}`);
    this.steps.push(step);
  }
}

const CONFIG = { addresses: ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"], routes: ["100.64.0.2/32", "10.0.0.0/8"] };

Deno.test("OsRouter.set() brings the device up once and leaves nothing behind after down()", () => {
  const system = new FakeSystem();
  const router = new OsRouter(system, (text) => assert.fail(text));
  router.set(CONFIG);
  assert.equal(system.mtu, 1280);
  assert.equal(system.rules.size, 2 * RULES.length);
  assert.deepEqual([...system.addresses], CONFIG.addresses);
  assert.deepEqual([...system.routes], CONFIG.routes);
  router.down();
  assert.deepEqual([system.addresses.size, system.routes.size, system.rules.size], [0, 0, 0]);
  router.set(CONFIG);
  assert.equal(system.rules.size, 2 * RULES.length);
});

Deno.test("OsRouter.set() changes only what differs, and never leaves the device without an address", () => {
  const system = new FakeSystem();
  const router = new OsRouter(system, (text) => assert.fail(text));
  router.set(CONFIG);
  system.steps.length = 0;
  router.set({ addresses: ["100.64.0.9/32", CONFIG.addresses[1]], routes: ["100.64.0.3/32", "10.0.0.0/8"] });
  assert.deepEqual(system.steps, ["+100.64.0.9/32", "-route 100.64.0.2/32", "+route 100.64.0.3/32", "-100.64.0.1/32"]);
});

Deno.test("OsRouter keeps the end of the road while an exit node is set: there first, gone last, kept after a fault", () => {
  const system = new FakeSystem();
  const router = new OsRouter(system, (text) => assert.fail(text));
  router.set(CONFIG);
  system.steps.length = 0;
  const exit = { ...CONFIG, routes: ["0.0.0.0/0", "throw 192.168.1.0/24", "unreachable 0.0.0.0/0"] };
  router.set(exit);
  assert.equal(system.steps[0], "+route unreachable 0.0.0.0/0");
  system.steps.length = 0;
  router.set(CONFIG);
  assert.equal(system.steps.at(-1), "-route unreachable 0.0.0.0/0");
  router.set(exit);
  router.down(true);
  assert.deepEqual([...system.routes], ["unreachable 0.0.0.0/0"]);
  assert.equal(system.rules.size, 2 * RULES.length);
});

Deno.test("OsRouter takes over what a killed daemon left, and takes it away when it is not wanted", () => {
  const left = new FakeSystem();
  left.routes.add("unreachable 0.0.0.0/0").add("throw 10.0.0.0/8");
  const keeping = new OsRouter(left, (text) => assert.fail(text));
  keeping.set({ addresses: [], routes: ["unreachable 0.0.0.0/0"] });
  assert.deepEqual([...left.routes], ["unreachable 0.0.0.0/0"]);
  new OsRouter(left, (text) => assert.fail(text)).set({ addresses: [], routes: [] });
  assert.deepEqual([left.routes.size, left.steps.at(-1)], [0, "-route unreachable 0.0.0.0/0"]);
});

Deno.test("OsRouter gives a named instance rules from its own addresses, in their family", () => {
  const system = new FakeSystem();
  const router = new OsRouter(system, (text) => assert.fail(text), instanceOf("work"));
  router.set(CONFIG);
  const own = [...system.rules].filter((rule) => rule.includes("from"));
  assert.deepEqual(own, ["4:5260 from 100.64.0.1/32", "6:5260 from fd7a:115c:a1e0::1/128"]);
  router.down();
  assert.equal(system.rules.size, 0);
});

Deno.test("OsRouter.set() tells of a failure and does the rest", () => {
  const system = new FakeSystem();
  const problems: string[] = [];
  system.refuse = "10.0.0.0/8";
  new OsRouter(system, (text) => problems.push(text)).set(CONFIG);
  assert.deepEqual([...system.routes], ["100.64.0.2/32"]);
  assert.equal(problems.length, 1);
});

Deno.test("OsRouter.repair() puts back what another program took away", () => {
  const system = new FakeSystem();
  const router = new OsRouter(system, (text) => assert.fail(text));
  router.repair();
  assert.equal(system.rules.size, 0);
  router.set(CONFIG);
  system.rules.clear();
  system.routes.clear();
  router.repair();
  assert.equal(system.rules.size, 2 * RULES.length);
  assert.deepEqual([...system.routes], CONFIG.routes);
});

Deno.test("OsRouter.down() leaves the rules to another such program in the same namespace", () => {
  const system = new FakeSystem();
  const router = new OsRouter(system, (text) => assert.fail(text));
  router.set(CONFIG);
  system.foreign = 1;
  router.down();
  assert.equal(system.rules.size, 2 * RULES.length);
});
