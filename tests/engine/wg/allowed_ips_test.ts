import assert from "node:assert/strict";
import { formatPrefix, masked, parseIp, parsePrefix, prefixContains } from "../../../base/ip.ts";
import type { Prefix } from "../../../base/ip.ts";
import { AllowedIps } from "../../../engine/wg/allowed_ips.ts";
import { SeededRandom } from "../../support/random.ts";

type Owner = number;

function lookup(table: AllowedIps, ip: Uint8Array): Owner {
  const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
  if (ip.length === 4) return table.lookup4(view.getUint32(0));
  return table.lookup6(view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12));
}

/** A list, searched whole each time. */
class NaiveTable {
  #entries: { prefix: Prefix; value: Owner }[] = [];

  insert(prefix: Prefix, value: Owner): void {
    const text = formatPrefix(masked(prefix));
    this.#entries = this.#entries.filter((entry) => formatPrefix(entry.prefix) !== text);
    this.#entries.push({ prefix: masked(prefix), value });
  }

  removeOwner(value: Owner): void {
    this.#entries = this.#entries.filter((entry) => entry.value !== value);
  }

  lookup(ip: Uint8Array): Owner {
    let best: { prefix: Prefix; value: Owner } | undefined;
    for (const entry of this.#entries) {
      if (prefixContains(entry.prefix, ip) && entry.prefix.bits >= (best?.prefix.bits ?? 0)) best = entry;
    }
    return best?.value ?? 0;
  }
}

function tableOf(
  routes: Record<string, string>,
): { table: AllowedIps; owners: Map<string, Owner>; nameOf(ip: string): string } {
  const table = new AllowedIps();
  const owners = new Map<string, Owner>();
  for (const [prefix, name] of Object.entries(routes)) {
    const owner = owners.get(name) ?? owners.size + 1;
    owners.set(name, owner);
    table.insert(parsePrefix(prefix)!, owner);
  }
  const nameOf = (ip: string) => ["", ...owners.keys()][lookup(table, parseIp(ip)!)];
  return { table, owners, nameOf };
}

Deno.test("W4: AllowedIps gives an inner source to the peer with the longest prefix", () => {
  const { nameOf } = tableOf({
    "100.64.0.7/32": "a",
    "10.1.0.0/16": "a",
    "10.1.2.0/24": "b",
    "10.1.2.3/32": "c",
    "0.0.0.0/0": "exit",
    "fd7a:115c:a1e0::7/128": "a",
    "fd7a:115c:a1e0::/48": "b",
    "::/0": "exit",
  });
  const expected: Record<string, string> = {
    "100.64.0.7": "a",
    "100.64.0.8": "exit",
    "10.1.0.1": "a",
    "10.1.2.1": "b",
    "10.1.2.3": "c",
    "10.2.0.1": "exit",
    "255.255.255.255": "exit",
    "0.0.0.0": "exit",
    "fd7a:115c:a1e0::7": "a",
    "fd7a:115c:a1e0::8": "b",
    "fd7a:115c:a1e0:ffff:ffff:ffff:ffff:ffff": "b",
    "fd7a:115c:a1e1::": "exit",
    "ffff::1": "exit",
  };
  for (const [ip, name] of Object.entries(expected)) assert.equal(nameOf(ip), name, ip);
});

Deno.test("AllowedIps finds nothing without a route and never across families", () => {
  const { nameOf } = tableOf({ "10.0.0.0/8": "a", "::/0": "b" });
  assert.equal(nameOf("11.0.0.1"), "");
  assert.equal(nameOf("::ffff:10.0.0.1"), "b");
  assert.equal(tableOf({}).table.lookup4(0), 0);
  assert.equal(tableOf({}).table.lookup6(0, 0, 0, 0), 0);
});

Deno.test("AllowedIps.insert() ignores host bits and moves a prefix to its new owner", () => {
  const { table, owners, nameOf } = tableOf({ "10.1.2.99/24": "a", "10.1.2.0/24": "b" });
  assert.equal(nameOf("10.1.2.3"), "b");
  table.removeOwner(owners.get("a")!);
  assert.equal(nameOf("10.1.2.3"), "b");
  table.removeOwner(owners.get("b")!);
  assert.equal(nameOf("10.1.2.3"), "");
});

Deno.test("AllowedIps.removeOwner() of an owner without prefixes changes nothing", () => {
  const { table, nameOf } = tableOf({ "10.0.0.0/8": "a" });
  table.removeOwner(2);
  table.removeOwner(1000);
  assert.equal(nameOf("10.0.0.1"), "a");
});

Deno.test("AllowedIps agrees with a naive twin on random inserts, moves and removals", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const table = new AllowedIps();
    const naive = new NaiveTable();
    const owners = Array.from({ length: 12 }, (_, i) => i + 1);
    // Few distinct bytes, so that prefixes nest and collide.
    const address = () => {
      const ip = new Uint8Array(random.chance(0.5) ? 4 : 16);
      for (let i = 0; i < ip.length; i++) ip[i] = random.pick([0, 0, 1, 0x80, 0xff]);
      return ip;
    };
    for (let i = 0; i < 150; i++) {
      if (random.chance(0.1)) {
        const owner = random.pick(owners);
        table.removeOwner(owner);
        naive.removeOwner(owner);
      } else {
        const ip = address();
        const prefix = { ip, bits: random.int(ip.length * 8 + 1) };
        const owner = random.pick(owners);
        table.insert(prefix, owner);
        naive.insert(prefix, owner);
      }
      for (let probe = 0; probe < 12; probe++) {
        const ip = address();
        assert.equal(lookup(table, ip), naive.lookup(ip), `seed ${seed}, step ${i}, address ${ip}`);
      }
    }
    for (const owner of owners) table.removeOwner(owner);
    for (let probe = 0; probe < 50; probe++) assert.equal(lookup(table, address()), 0, `seed ${seed}, emptied`);
  }
});
