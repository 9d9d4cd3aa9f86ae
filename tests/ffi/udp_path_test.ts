/** What a socket does when the path does not cooperate: the errno rules of `udp_batch.ts`, against the kernel. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { parseIp } from "../../base/ip.ts";
import { createArena, type FfiArena } from "../../ffi/arena.ts";
import { EAGAIN, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, EPERM, libc } from "../../ffi/libc.ts";
import { createPoll } from "../../ffi/poll.ts";
import { createAddrTable, type FfiAddrTable } from "../../ffi/sockaddr.ts";
import { createUdp, type FfiUdpPort } from "../../ffi/udp.ts";
import { Lab, type LabNamespace, privilegedTest, programMissing } from "../netlab/lab.ts";

interface Net {
  arena: FfiArena;
  addrs: FfiAddrTable;
  lab: Lab;
  a: LabNamespace;
  b: LabNamespace;
  from: FfiUdpPort;
  to: FfiUdpPort;
  peer: number;
  out: number;
  into: number;
}

/** Two hosts joined by a link, a socket on each. */
async function joined(family: 4 | 6, mtu: number, body: (net: Net) => void | Promise<void>): Promise<void> {
  await using lab = await Lab.create();
  const [a, b] = [lab.namespace("a"), lab.namespace("b")];
  const prefixes = family === 4 ? ["10.6.0.1/24", "10.6.0.2/24"] : ["fd06::1/64", "fd06::2/64"];
  lab.link(a, prefixes[0], b, prefixes[1], { mtu });
  const arena = createArena(16 << 20);
  const addrs = createAddrTable(arena, 64);
  const open = (host: LabNamespace) =>
    host.within<FfiUdpPort>(() => createUdp({ arena, addrs, family, port: 7000, mark: 0 }));
  const [from, to] = [open(a), open(b)];
  const peer = addrs.intern(parseIp(prefixes[1].split("/")[0])!, 7000);
  try {
    await body({ lab, a, b, arena, addrs, from, to, peer, out: arena.reserve(65_536), into: arena.reserve(65_536) });
  } finally {
    from.close();
    to.close();
  }
}

/** The next `count` datagrams, one after the other. */
function receive({ arena, to, into }: Net, count: number): Uint8Array[] {
  const poll = createPoll(arena);
  poll.watch([to.fd]);
  const datagrams: Uint8Array[] = [];
  while (datagrams.length < count) {
    const length = to.recv(into, 65_536);
    if (length === -EAGAIN) {
      assert.equal(poll.wait(2000), 1, `only ${datagrams.length} of ${count} datagrams came`);
      continue;
    }
    for (let at = 0; at < length; at += to.segment) {
      datagrams.push(arena.u8.slice(into + at, into + Math.min(length, at + to.segment)));
    }
  }
  return datagrams;
}

const digest = (parts: Uint8Array[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");

for (const family of [4, 6] as const) {
  privilegedTest(`UDP over IPv${family} across a link: GSO groups arrive whole`, () =>
    joined(family, 1500, (net) => {
      const { arena, from, peer, out } = net;
      for (let round = 0; round < 20; round++) {
        crypto.getRandomValues(arena.u8.subarray(out, out + 60_000));
        assert.equal(from.queue(peer, out, 60_000, 1400), true);
        assert.equal(from.flush(), 0);
        const got = receive(net, 43);
        assert.equal(digest(got), digest([arena.u8.slice(out, out + 60_000)]));
      }
    }));

  privilegedTest(
    `UDP over IPv${family}: segments beyond the link's MTU go out singly, in fragments, and GSO stays on`,
    () =>
      joined(family, 1400, (net) => {
        const { arena, from, peer, out } = net;
        crypto.getRandomValues(arena.u8.subarray(out, out + 29_040));
        from.queue(peer, out, 1000 * 20, 1000);
        from.queue(peer, out, 1452 * 20, 1452);
        from.queue(peer, out, 1000 * 20, 1000);
        assert.equal(from.flush(), 0);
        assert.equal(from.lastError, -EMSGSIZE, "the path event is visible");
        assert.deepEqual(from.sent, { tooBig: 1, lost: 0, full: 0 });
        const got = receive(net, 60);
        assert.deepEqual(got.map(({ length }) => length), [
          ...Array(20).fill(1000),
          ...Array(20).fill(1452),
          ...Array(20).fill(1000),
        ]);
        assert.equal(digest(got.slice(20, 40)), digest([arena.u8.slice(out, out + 29_040)]));
        assert.equal(from.offloads.gso, true);
      }),
  );
}

privilegedTest(
  "UDP flush() loses groups without a route or against a firewall, and sends those around them",
  () =>
    joined(4, 1500, async (net) => {
      const { a, addrs, from, peer, out } = net;
      const nowhere = addrs.intern(parseIp("203.0.113.9")!, 9);
      from.queue(peer, out, 100, 100);
      from.queue(nowhere, out, 5000, 1000);
      from.queue(peer, out, 102, 102);
      assert.equal(from.flush(), 1);
      assert.deepEqual([from.lastError, from.unreachable], [-ENETUNREACH, nowhere]);
      assert.deepEqual(receive(net, 2).map(({ length }) => length), [100, 102]);

      await a.must(["ip", "route", "add", "unreachable", "203.0.113.0/24"]);
      from.queue(nowhere, out, 100, 100);
      assert.equal(from.flush(), 1);
      assert.deepEqual([from.lastError, from.unreachable], [-EHOSTUNREACH, nowhere]);

      if (programMissing("nft") !== undefined) return console.log(`EPERM is not checked: ${programMissing("nft")}`);
      await a.nft("table ip t { chain o { type filter hook output priority 0; udp dport 7000 drop; }; }");
      from.queue(peer, out, 5000, 1000);
      assert.equal(from.flush(), 1);
      assert.deepEqual([from.lastError, from.unreachable], [-EPERM, 0]);
      await a.nft("delete table ip t");
      from.queue(peer, out, 103, 103);
      assert.equal(from.flush(), 0);
      assert.equal(from.lastError, 0);
      assert.deepEqual(receive(net, 1).map(({ length }) => length), [103]);
      assert.equal(from.offloads.gso, true);
      assert.equal(from.sent.lost, 3);
    }),
);

privilegedTest(
  "UDP: a socket that cannot checksum turns GSO off, loses nothing, and goes on in single datagrams",
  () =>
    joined(4, 1500, (net) => {
      const { from, peer, out } = net;
      const SOL_SOCKET = 1, SO_NO_CHECK = 11;
      assert.equal(libc.setsockopt(from.fd, SOL_SOCKET, SO_NO_CHECK, Int32Array.of(1), 4), 0);
      from.queue(peer, out, 100, 100);
      from.queue(peer, out, 1001 * 30 - 1, 1001);
      from.queue(peer, out, 1002 * 30, 1002);
      assert.equal(from.offloads.gso, true);
      assert.equal(from.flush(), 0);
      assert.equal(from.offloads.gso, false);
      from.queue(peer, out, 1003 * 30, 1003);
      assert.equal(from.flush(), 0);
      assert.equal(from.lastError, 0, "no more refusals");
      const lengths = receive(net, 91).map(({ length }) => length);
      const times = (length: number, count: number) => Array<number>(count).fill(length);
      assert.deepEqual(lengths, [100, ...times(1001, 29), 1000, ...times(1002, 30), ...times(1003, 30)]);
      assert.deepEqual(from.sent, { tooBig: 0, lost: 0, full: 0 });
    }),
);

privilegedTest(
  "UDP flush() waits 100 ms at most for a full socket buffer, then drops what is left",
  () =>
    joined(4, 1500, ({ a, from, addrs, out }) => {
      // A neighbour that never answers, and room for more than the socket buffer while the kernel still asks for it.
      a.sysctl("net/ipv4/neigh/eth0/unres_qlen_bytes", `${100 << 20}`);
      const absent = addrs.intern(parseIp("10.6.0.77")!, 1);
      let lost = 0, longest = 0;
      for (let i = 0; i < 300 && lost === 0; i++) {
        for (let group = 0; group < 8; group++) from.queue(absent, out, 60_000, 1200);
        const before = performance.now();
        lost = from.flush();
        longest = Math.max(longest, performance.now() - before);
      }
      assert.ok(lost > 0 && lost <= 8, `lost ${lost}`);
      assert.equal(from.lastError, -EAGAIN);
      assert.ok(from.sent.full > 0);
      assert.ok(longest > 90 && longest < 1000, `waited ${longest} ms`);
    }),
);
