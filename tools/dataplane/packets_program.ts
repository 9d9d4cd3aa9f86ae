/**
 * A paced sender of UDP packets and its counter, run inside namespaces: what packet rates are measured with.
 *
 * packets_program.ts count PORT                    prints "ready", then for each line on standard input how many packets
 *                                                  came since the last one, as JSON: {"received"}
 * packets_program.ts send IP PORT                  prints "ready", then for each line `SIZE RATE SECONDS` sends IP packets
 *                                                  of SIZE bytes, RATE a second, and prints {"sent", "ms"}
 *
 * The sender is the same for all kinds of tunnels: every 200 µs it sends what is due with one system call, as a program
 * that cares about its packet rate does, and it sends each packet by itself, without segmentation offload.
 */
import { parseIp } from "../../base/ip.ts";
import { createArena } from "../../ffi/arena.ts";
import { createPoll } from "../../ffi/poll.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import { createUdp } from "../../ffi/udp.ts";

/** IPv4 and UDP headers. */
const HEADERS = 28;
const TICK_MS = 0.2;
/** Datagrams of one system call. */
const MOST_AT_ONCE = 128;

async function* lines(): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of Deno.stdin.readable) {
    text += decoder.decode(part, { stream: true });
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

const arena = createArena(16 << 20);
const addrs = createAddrTable(arena);
const buffer = arena.reserve(65_536);
const sleeper = new Int32Array(new SharedArrayBuffer(4));

function send(ip: Uint8Array, port: number): (size: number, rate: number, seconds: number) => object {
  const to = addrs.intern(ip, port);
  const socket = createUdp({ arena, addrs, family: ip.length === 4 ? 4 : 6, port: 0, mark: 0, offload: false });
  return (size, rate, seconds) => {
    const length = size - HEADERS;
    const start = performance.now();
    const total = Math.round(rate * seconds);
    let sent = 0;
    while (sent < total) {
      const due = Math.min(total, Math.ceil((performance.now() - start) * rate / 1000));
      while (sent < due) {
        const burst = Math.min(due - sent, MOST_AT_ONCE);
        for (let i = 0; i < burst; i++) socket.queue(to, buffer, length, length);
        socket.flush();
        sent += burst;
      }
      Atomics.wait(sleeper, 0, 0, TICK_MS);
    }
    return { sent, ms: performance.now() - start };
  };
}

const [verb, ...rest] = Deno.args;
if (verb === "count") {
  const socket = createUdp({ arena, addrs, family: 4, port: Number(rest[0]), mark: 0, offload: false });
  const poll = createPoll(arena);
  // Standard input is the second descriptor, so that one thread can wait for both.
  poll.watch([socket.fd, 0]);
  let received = 0;
  console.log("ready");
  for (const line = new Uint8Array(64);;) {
    const ready = poll.wait(-1);
    while (socket.recv(buffer, 65_536) >= 0) received++;
    if ((ready & 2) === 0) continue;
    if (Deno.stdin.readSync(line) === null) break;
    console.log(JSON.stringify({ received }));
    received = 0;
  }
} else {
  const burst = send(parseIp(rest[0])!, Number(rest[1]));
  console.log("ready");
  for await (const line of lines()) {
    const [size, rate, seconds] = line.split(" ").map(Number);
    console.log(JSON.stringify(burst(size, rate, seconds)));
  }
}
