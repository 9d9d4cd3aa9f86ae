/**
 * Serves and makes connections with the kernel's own sockets, inside the namespace it is started in: what traffic.go is
 * for a tsnet node, for a node with a TUN device. Takes orders as JSON lines on standard input, `{id, order, ...}`,
 * and answers each with `{id, result}` or `{id, error}`. It ends when standard input closes.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import type { FlowState, Listen, Transfer, UdpResult } from "./traffic.ts";
import { SeededBytes } from "./seeded_bytes.ts";

const CHUNK = 64 << 10;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const text = (error: unknown): string => error instanceof Error ? error.message : String(error);

/** Counts and hashes what passes. */
class Tally {
  bytes = 0;
  readonly #hash = createHash("sha256");

  add(part: Uint8Array): void {
    this.bytes += part.length;
    this.#hash.update(part);
  }
  sum(): string {
    return this.#hash.digest("hex");
  }
}

async function writeAll(connection: Deno.Conn, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) at += await connection.write(data.subarray(at));
}

async function send(connection: Deno.TcpConn, tally: Tally, seed: number, bytes: number): Promise<void> {
  const stream = new SeededBytes(seed);
  const chunk = new Uint8Array(CHUNK);
  for (let left = bytes; left > 0;) {
    const part = left < CHUNK ? chunk.subarray(0, left) : chunk;
    stream.fill(part);
    await writeAll(connection, part);
    tally.add(part);
    left -= part.length;
  }
  await connection.closeWrite();
}

/** Reads `want` bytes, or to the end when it is negative. */
async function receive(connection: Deno.Conn, tally: Tally, want: number, each?: (part: Uint8Array) => Promise<void>) {
  const buffer = new Uint8Array(256 << 10);
  while (want < 0 || tally.bytes < want) {
    const space = want < 0 ? buffer.length : Math.min(buffer.length, want - tally.bytes);
    const count = await connection.read(buffer.subarray(0, space));
    if (count === null) {
      if (want >= 0) throw new Error(`the connection ended ${want - tally.bytes} bytes early`);
      return;
    }
    tally.add(buffer.subarray(0, count));
    await each?.(buffer.subarray(0, count));
  }
}

const transfers: Transfer[] = [];
const address = ({ hostname, port }: Deno.NetAddr): string =>
  `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;

/** Runs both halves of a connection to their end and notes what passed. */
async function note(
  kind: string,
  connection: Deno.TcpConn,
  halves: (sent: Tally, received: Tally) => Promise<unknown>[],
): Promise<Transfer> {
  const [sent, received, startedAt] = [new Tally(), new Tally(), performance.now()];
  const outcomes = await Promise.allSettled(halves(sent, received));
  const errors = outcomes.flatMap((outcome) => outcome.status === "rejected" ? [text(outcome.reason)] : []);
  const transfer: Transfer = {
    id: transfers.length + 1,
    kind,
    local: address(connection.localAddr),
    remote: address(connection.remoteAddr),
    sent: sent.bytes,
    sentSha256: sent.sum(),
    received: received.bytes,
    receivedSha256: received.sum(),
    ms: Math.round(performance.now() - startedAt),
    ...(errors.length === 0 ? {} : { error: errors.join("; ") }),
  };
  transfers.push(transfer);
  try {
    connection.close();
  } catch {
    // Closed by the order's time limit.
  }
  return transfer;
}

function serve(what: Listen, connection: Deno.TcpConn): Promise<Transfer> {
  return note(what.kind, connection, (sent, received) => {
    switch (what.kind) {
      case "echo":
        return [
          receive(connection, received, -1, async (part) => {
            await writeAll(connection, part);
            sent.add(part);
          }).then(() => connection.closeWrite()),
        ];
      case "sink":
        return [receive(connection, received, -1).then(() => connection.closeWrite())];
      case "source":
      case "duplex":
        return [send(connection, sent, what.seed, what.bytes), receive(connection, received, -1)];
      default:
        throw new TypeError(`Cannot serve "${what.kind}" here`);
    }
  });
}

function listen(what: Listen): Promise<unknown> | unknown {
  if (what.kind === "udpecho") return listenUdp(what.port);
  const listener = Deno.listen({ hostname: "::", port: what.port });
  (async () => {
    for await (const connection of listener) serve(what, connection).catch((error) => console.error(text(error)));
  })();
  return {};
}

async function listenUdp(port: number): Promise<unknown> {
  for (const type of ["udp4", "udp6"] as const) {
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    socket.on("message", (message, from) => socket.send(message, from.port, from.address));
    await new Promise<void>((resolve) => socket.bind(port, resolve));
  }
  return {};
}

function endpoint(addr: string): { hostname: string; port: number } {
  const match = /^\[?([^\]]+)\]?:([0-9]+)$/.exec(addr);
  if (match === null) throw new TypeError(`Cannot dial "${addr}": want "ip:port"`);
  return { hostname: match[1], port: Number(match[2]) };
}

async function dial(
  order: { addr: string; send: number; receive: number; seed: number; timeoutMs?: number },
): Promise<Transfer> {
  const connection = await Deno.connect(endpoint(order.addr));
  const timer = setTimeout(() => connection.close(), order.timeoutMs ?? 60_000);
  try {
    return await note("dial", connection, (sent, received) => [
      send(connection, sent, order.seed, order.send),
      receive(connection, received, order.receive),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

/** Datagram `i`: its number, then the stream seeded with the number after it. */
function datagram(i: number, size: number): Uint8Array {
  const out = new Uint8Array(size);
  new DataView(out.buffer).setUint32(0, i, true);
  new SeededBytes(i + 1).fill(out.subarray(4));
  return out;
}

async function udp(
  order: { addr: string; count: number; size: number; intervalMs?: number; waitMs?: number },
): Promise<UdpResult> {
  const { hostname, port } = endpoint(order.addr);
  const socket: Socket = createSocket(hostname.includes(":") ? "udp6" : "udp4");
  const seen = new Set<number>();
  let [repeated, damaged] = [0, 0];
  const whole = new Promise<void>((resolve) => {
    socket.on("message", (message) => {
      const i = message.length >= 4 ? message.readUInt32LE(0) : -1;
      if (Buffer.compare(message, Buffer.from(datagram(i, order.size))) !== 0) damaged++;
      else if (seen.has(i)) repeated++;
      else seen.add(i);
      if (seen.size === order.count) resolve();
    });
  });
  const startedAt = performance.now();
  for (let i = 0; i < order.count; i++) {
    socket.send(datagram(i, order.size), port, hostname);
    const ahead = startedAt + (i + 1) * (order.intervalMs ?? 0) - performance.now();
    if (ahead > 1 || i % 64 === 0) await sleep(Math.max(0, ahead));
  }
  await Promise.race([whole, sleep(order.waitMs ?? 1000)]);
  socket.close();
  return { sent: order.count, received: seen.size, repeated, damaged, loss: 1 - seen.size / order.count };
}

/**
 * Bytes of a flow on their way at most. An echo whose own sending is stuck would fill its receive window otherwise, and
 * out of a window that closed at a byte the kernel had already sent neither gVisor's TCP nor Linux's finds back.
 */
const MAX_UNDERWAY = 256 << 10;

/** One long-lived connection to an echo, at a steady pace, every byte that returns compared. */
class Flow {
  readonly #connection: Deno.TcpConn;
  readonly #rate: number;
  readonly #seed: number;
  readonly #startedAt = performance.now();
  #sent = 0;
  #received = 0;
  #heardAt = performance.now();
  #longestStallMs = 0;
  #error: string | undefined;
  #ending = false;
  readonly #done: Promise<unknown>;

  constructor(connection: Deno.TcpConn, seed: number, rate: number) {
    this.#connection = connection;
    this.#seed = seed;
    this.#rate = rate;
    this.#done = Promise.all([this.#send(), this.#receive()]).catch((error) => this.#error ??= text(error))
      .finally(() => connection.close());
  }

  async #send(): Promise<void> {
    const stream = new SeededBytes(this.#seed);
    const tickMs = 5;
    const part = new Uint8Array(Math.round(this.#rate * tickMs / 1000));
    for (let due = performance.now(); !this.#ending;) {
      if (this.#sent - this.#received > MAX_UNDERWAY) {
        await sleep(tickMs);
        continue;
      }
      stream.fill(part);
      await writeAll(this.#connection, part);
      this.#sent += part.length;
      // After a stall it goes on at the same pace; a second at most is made up for.
      due = Math.max(due + tickMs, performance.now() - 1000);
      await sleep(Math.max(0, due - performance.now()));
    }
    await this.#connection.closeWrite();
  }

  async #receive(): Promise<void> {
    const stream = new SeededBytes(this.#seed);
    const [buffer, want] = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
    for (;;) {
      const count = await this.#connection.read(buffer);
      if (count === null) break;
      stream.fill(want.subarray(0, count));
      if (Buffer.compare(buffer.subarray(0, count), want.subarray(0, count)) !== 0) {
        throw new Error(`bytes ${this.#received} to ${this.#received + count} came back changed`);
      }
      this.#received += count;
      this.#hear();
    }
    if (!this.#ending || this.#received !== this.#sent) {
      throw new Error(`the connection ended after ${this.#received} of ${this.#sent} bytes`);
    }
  }

  #hear(): void {
    const now = performance.now();
    this.#longestStallMs = Math.max(this.#longestStallMs, now - this.#heardAt);
    this.#heardAt = now;
  }

  /** The longest stall is the one since this was last asked. */
  state(): FlowState {
    const now = performance.now();
    const longestStallMs = Math.round(Math.max(this.#longestStallMs, now - this.#heardAt));
    this.#longestStallMs = 0;
    return {
      sent: this.#sent,
      received: this.#received,
      ms: Math.round(now - this.#startedAt),
      longestStallMs,
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }

  async end(timeoutMs = 20_000): Promise<FlowState> {
    this.#ending = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#error ??= `not done ${timeoutMs} ms after its end was sent`;
        resolve();
      }, timeoutMs);
    });
    await Promise.race([this.#done, late]);
    clearTimeout(timer);
    return this.state();
  }
}

const flows: Flow[] = [];
function flow(id: number): Flow {
  assert(flows[id] !== undefined, `no flow ${id}`);
  return flows[id];
}

// deno-lint-ignore no-explicit-any
const ORDERS: Record<string, (order: any) => unknown> = {
  listen,
  dial,
  udp,
  transfers: async ({ kind, count, timeoutMs }: { kind: string; count: number; timeoutMs: number }) => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = transfers.filter((transfer) => kind === "" || transfer.kind === kind);
      if (found.length >= count) return found;
      if (performance.now() > deadline) throw new Error(`${found.length} transfers of kind "${kind}", want ${count}`);
      await sleep(20);
    }
  },
  flow: async ({ addr, seed, rate }: { addr: string; seed: number; rate: number }) =>
    flows.push(new Flow(await Deno.connect(endpoint(addr)), seed, rate)) - 1,
  "flow-state": ({ flow: id }: { flow: number }) => flow(id).state(),
  "flow-end": ({ flow: id }: { flow: number }) => flow(id).end(),
};

function answer(line: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}

answer({ ready: true });
let rest = "";
for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + part).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) {
    const { id, order, ...what } = JSON.parse(line);
    (async () => {
      try {
        answer({ id, result: await ORDERS[order](what) ?? {} });
      } catch (error) {
        answer({ id, error: text(error) });
      }
    })();
  }
}
Deno.exit(0);
