/** Marked sockets on a machine whose rules lead everything else nowhere, as with an exit node that is not there. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { type AddrPort, formatAddrPort, parseAddrPort, parseIp } from "../../base/ip.ts";
import { markedDnsTransport } from "../../daemon/dns/marked_transport.ts";
import { icmpEcho } from "../../ffi/icmp.ts";
import { closeFd, FfiError, O_RDONLY, openFile } from "../../ffi/libc.ts";
import { openMarkedUdp } from "../../ffi/marked_udp.ts";
import { Lab, privilegedTest } from "../netlab/lab.ts";
import { answerText, ask } from "../support/dns.ts";

const MARK = 0x80000;
const SERVER = new URL("../netlab/dns_server_program.ts", import.meta.url).pathname;
const at = (text: string): AddrPort => parseAddrPort(text)!;

privilegedTest("marked sockets pass by the rules: DNS by UDP and TCP, ICMP; unmarked ones end there", async () => {
  await using lab = await Lab.create();
  const [a, b] = [lab.namespace("a"), lab.namespace("b")];
  lab.link(a, ["10.7.0.1/24", "fd07::1/64"], b, ["10.7.0.2/24", "fd07::2/64"]);
  for (const family of ["-4", "-6"]) {
    await a.must(["ip", family, "rule", "add", "not", "fwmark", "0x80000/0xff0000", "lookup", "99"]);
    await a.must(["ip", family, "route", "add", "unreachable", "default", "table", "99"]);
  }
  b.spawn([Deno.execPath(), "run", "-A", "--no-lock", SERVER, "10.7.0.2"], { stdout: "null", stderr: "null" });
  const never = new AbortController().signal;
  const within = <T>(run: () => Promise<T>) => a.within<{ result: Promise<T> }>(() => ({ result: run() })).result;

  const { udp, tcp } = markedDnsTransport(MARK);
  const query = ask("c.example");
  const server = at("10.7.0.2:53");
  let answer: Uint8Array | undefined;
  // Until the server listens.
  for (let i = 0; i < 200 && answer === undefined; i++) {
    answer = await within(() => udp(server, query, () => true, never)).catch((error) => {
      assert.equal((error as FfiError).code, "ECONNREFUSED", String(error));
      return new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 100));
    });
  }
  assert.equal(answerText(answer), "NOERROR A 192.0.2.1");
  assert.equal(answerText(await within(() => tcp(server, query, never))), "NOERROR A 192.0.2.1");
  const unmarked = markedDnsTransport(0);
  for (const ask of [() => unmarked.udp(server, query, () => true, never), () => unmarked.tcp(server, query, never)]) {
    await assert.rejects(within(ask), (error) => /E(HOST|NET)UNREACH/.test((error as FfiError).code));
  }

  for (const text of ["10.7.0.2", "fd07::2"]) {
    const ip = parseIp(text)!;
    assert.ok(await within(() => icmpEcho({ ip, timeoutMs: 5_000, mark: MARK })) !== undefined, text);
    await assert.rejects(within(() => icmpEcho({ ip, timeoutMs: 5_000 })), text);
  }
});

privilegedTest("openMarkedUdp() hears anybody, or one address alone; closed it hears nobody", async () => {
  const opened: { close(): void }[] = [];
  const heard: string[] = [];
  const open = (name: string, only?: AddrPort) => {
    const received = (from: AddrPort, payload: Uint8Array) => {
      heard.push(`${name}: ${new TextDecoder().decode(payload)} from ${formatAddrPort(from)}`);
    };
    const socket = openMarkedUdp(4, 0, { received }, only);
    opened.push(socket);
    return socket;
  };
  const until = async (count: number) => {
    for (let i = 0; i < 200 && heard.length < count; i++) await new Promise((resolve) => setTimeout(resolve, 25));
  };
  const [near, far] = [createSocket("udp4"), createSocket("udp4")];
  for (const socket of [near, far]) {
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
  }
  near.on("message", (_, from) => {
    far.send("far", from.port, from.address);
    near.send("near", from.port, from.address);
  });
  const [nearPort, farPort] = [near, far].map((socket) => socket.address().port);
  const nearAt = at(`127.0.0.1:${nearPort}`);
  const [any, one] = [open("any"), open("one", nearAt)];
  any.send(nearAt, new TextEncoder().encode("hello"));
  one.send(nearAt, new TextEncoder().encode("hello"));
  await until(3);
  assert.deepEqual(heard.sort(), [
    `any: far from 127.0.0.1:${farPort}`,
    `any: near from 127.0.0.1:${nearPort}`,
    `one: near from 127.0.0.1:${nearPort}`,
  ]);
  assert.throws(() => any.send(at("127.0.0.1:9"), new Uint8Array(70_000)), FfiError);
  for (const socket of opened) socket.close();
  any.send(nearAt, new Uint8Array(1));
  near.close();
  far.close();
  // Their descriptors are closed when the poll that waits is over.
  await new Promise((resolve) => setTimeout(resolve, 300));
});

Deno.test("openMarkedUdp() tries a socket whose failure lasts again now and then, and lets others run", async () => {
  const before = new Set(sockets());
  const seen: string[] = [];
  const failed = (error: FfiError) => {
    // Or this test would not end.
    if (seen.push(error.code) === 1_000) socket.close();
  };
  const socket = openMarkedUdp(4, 0, { received: () => assert.fail("nobody sent"), failed });
  const [fd] = sockets().filter((fd) => !before.has(fd));
  // In its place stands what is none: always readable, and nothing can be received from it.
  closeFd(fd);
  assert.equal(openFile("/dev/null", O_RDONLY), fd);
  for (let i = 0; i < 200 && seen.length < 4; i++) await new Promise((resolve) => setTimeout(resolve, 25));
  socket.close();
  assert.ok(seen.length >= 4 && seen.length < 100, `${seen.length} failures`);
  assert.ok(seen.every((code) => code === "ENOTSOCK"), seen.join());
  // Its descriptor is closed when the wait that is under way is over.
  await new Promise((resolve) => setTimeout(resolve, 300));
});

/** Descriptors of sockets. */
function sockets(): number[] {
  const open = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => name);
  return open.filter((fd) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      // The directory's own, which is closed again.
      return false;
    }
  }).map(Number);
}
