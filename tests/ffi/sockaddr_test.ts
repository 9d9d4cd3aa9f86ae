import assert from "node:assert/strict";
import { parseAddrPort } from "../../base/ip.ts";
import { createArena } from "../../ffi/arena.ts";
import { createAddrTable, type FfiAddrTable } from "../../ffi/sockaddr.ts";

const arena = createArena(16 << 20);
const raw = arena.reserve(32);

function intern(table: FfiAddrTable, text: string): number {
  const { ip, port } = parseAddrPort(text)!;
  return table.intern(ip, port);
}

/** Leaves the sockaddr of `text` where the kernel would, and hands it in. */
function receive(table: FfiAddrTable, text: string, dirt = 0xee): number {
  const { ip, port } = parseAddrPort(text)!;
  arena.u8.fill(dirt, raw, raw + 32);
  arena.u16[raw >> 1] = ip.length === 4 ? 2 : 10;
  arena.view.setUint16(raw + 2, port);
  arena.u8.set(ip, raw + (ip.length === 4 ? 4 : 8));
  if (ip.length === 16) arena.u32[(raw + 24) >> 2] = 0;
  return table.fromSockaddr(raw);
}

Deno.test("AddrTable.intern() lays out sockaddr_in and sockaddr_in6 byte for byte", () => {
  const table = createAddrTable(arena, 16);
  const v4 = intern(table, "192.0.2.1:41641");
  const bytes = (id: number) => [...arena.u8.slice(table.offset(id), table.offset(id) + table.lengthOf(id))];
  assert.deepEqual(bytes(v4), [2, 0, 0xa2, 0xa9, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const v6 = intern(table, "[2001:db8::5]:53");
  // deno-fmt-ignore
  assert.deepEqual(bytes(v6), [10, 0, 0, 53, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]);
  assert.equal(table.text(v4), "192.0.2.1:41641");
  assert.equal(table.text(v6), "[2001:db8::5]:53");
  assert.equal(table.text(0), "none");
  assert.deepEqual([table.family(v4), table.family(v6), table.port(v6)], [4, 6, 53]);
});

Deno.test("AddrTable gives one id to one address, an IPv4-mapped one included", () => {
  const table = createAddrTable(arena, 16);
  const id = intern(table, "1.2.3.4:5");
  assert.equal(intern(table, "1.2.3.4:5"), id);
  assert.equal(intern(table, "[::ffff:1.2.3.4]:5"), id);
  assert.equal(receive(table, "[::ffff:1.2.3.4]:5"), id);
  assert.equal(receive(table, "1.2.3.4:5"), id);
  assert.notEqual(intern(table, "1.2.3.4:6"), id);
  assert.notEqual(intern(table, "1.2.3.5:5"), id);
});

Deno.test("AddrTable.fromSockaddr() ignores what lies behind a sockaddr_in and the flow label of a sockaddr_in6", () => {
  const table = createAddrTable(arena, 16);
  assert.equal(receive(table, "9.9.9.9:9", 0x11), receive(table, "9.9.9.9:9", 0x22));
  assert.equal(receive(table, "[fe80::1]:9", 0x11), receive(table, "[fe80::1]:9", 0x22));
  arena.u16[raw >> 1] = 1; // AF_UNIX
  assert.equal(table.fromSockaddr(raw), 0);
});

Deno.test("AddrTable survives a flood of spoofed sources: no growth, permanent ids untouched", () => {
  const table = createAddrTable(arena, 64);
  const peers = Array.from({ length: 64 }, (_, i) => intern(table, `10.0.0.${i}:41641`));
  const seen = new Set<number>();
  for (let i = 0; i < 50_000; i++) {
    const ip = i % 2
      ? `${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.7:${i & 0xffff}`
      : `[2001:db8::${(i + 1).toString(16)}]:1`;
    const id = receive(table, ip);
    seen.add(id);
    assert.equal(table.text(id), ip);
    if (i % 1000 === 0) {
      for (const [k, peer] of peers.entries()) assert.equal(receive(table, `10.0.0.${k}:41641`), peer);
    }
  }
  assert.equal(seen.size, 4096);
  assert.equal(table.used, 64);
});

Deno.test("AddrTable.pin() makes a transient id permanent and later receptions give the permanent one", () => {
  const table = createAddrTable(arena, 4);
  const transient = receive(table, "7.7.7.7:7");
  const pinned = table.pin(transient);
  assert.notEqual(pinned, transient);
  assert.equal(table.pin(pinned), pinned);
  assert.equal(table.pin(0), 0);
  assert.equal(receive(table, "7.7.7.7:7"), pinned);
  for (let i = 0; i < 5000; i++) receive(table, `[2001:db8:1::${i.toString(16)}]:1`);
  assert.equal(receive(table, "7.7.7.7:7"), pinned);
  assert.equal(intern(table, "7.7.7.7:7"), pinned);
});

Deno.test("AddrTable interns as 0 when full, and sweep() gives unused ids back", () => {
  const table = createAddrTable(arena, 3);
  const [a, b, c] = ["1.1.1.1:1", "2.2.2.2:2", "3.3.3.3:3"].map((text) => intern(table, text));
  assert.equal(intern(table, "4.4.4.4:4"), 0);
  assert.equal(table.pin(receive(table, "4.4.4.4:4")), 0);
  table.sweep([b]);
  assert.equal(table.used, 1);
  assert.equal(receive(table, "2.2.2.2:2"), b);
  assert.ok(receive(table, "1.1.1.1:1") <= 4096, "a swept address is a stranger again");
  const d = intern(table, "4.4.4.4:4"), e = intern(table, "5.5.5.5:5");
  assert.deepEqual(new Set([d, e]), new Set([a, c]));
  assert.equal(table.text(d), "4.4.4.4:4");
  table.sweep([]);
  table.sweep([]);
  assert.equal(table.used, 0);
});

Deno.test("AddrTable agrees with a plain Map over a random history", () => {
  const table = createAddrTable(arena, 300);
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  console.log(`seed ${seed}`);
  let state = seed || 1;
  const random = (below: number) => {
    state ^= state << 13, state ^= state >>> 17, state ^= state << 5;
    return (state >>> 0) % below;
  };
  const model = new Map<string, number>();
  for (let step = 0; step < 30_000; step++) {
    const text = random(2) ? `10.1.${random(3)}.${random(200)}:1` : `[fd00::${random(600).toString(16)}]:1`;
    const action = random(100);
    if (action === 0) {
      const keep = [...model].filter(() => random(2) === 0);
      table.sweep(keep.map(([, id]) => id));
      model.clear();
      for (const [key, id] of keep) model.set(key, id);
    } else if (action < 40) {
      const known = model.get(text);
      const id = intern(table, text);
      if (known !== undefined) assert.equal(id, known, `step ${step}`);
      else if (model.size === 300) assert.equal(id, 0);
      else model.set(text, id);
    } else {
      const id = receive(table, text);
      assert.equal(table.text(id), text.includes("::0]") ? "[fd00::]:1" : text, `step ${step}`);
      if (model.has(text)) assert.equal(id, model.get(text), `step ${step}`);
      else assert.ok(id <= 4096, `step ${step}`);
    }
  }
  assert.equal(table.used, model.size);
});
