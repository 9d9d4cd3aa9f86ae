/**
 * Sends datagrams that mean nothing to a UDP port, so many a second, each by itself and from one of several ports.
 *
 * flood_program.ts TARGET KIND RATE SECONDS [DISCO_KEY_HEX]
 *   stranger   disco messages of keys nobody has
 *   forged     disco messages in the name of DISCO_KEY, with a box that does not open
 *   stun       STUN answers to requests nobody made
 *   initiation WireGuard handshake initiations with a wrong mac1
 * Prints `{"sent": n, "ms": n}` at the end.
 */
import { parseAddrPort } from "../../../base/ip.ts";
import { createArena } from "../../../ffi/arena.ts";
import { createAddrTable } from "../../../ffi/sockaddr.ts";
import { createUdp } from "../../../ffi/udp.ts";

const [target, kind, rate, seconds, disco = ""] = Deno.args;
const SOURCES = 8;
/** Messages made beforehand, sent again and again. */
const MESSAGES = 512;
const SLOT = 256;
const TICK_MS = 2;

/** One message at `bytes`, and its length. */
function write(bytes: Uint8Array): number {
  crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>);
  switch (kind) {
    case "stranger":
    case "forged":
      bytes.set([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac]);
      if (kind === "forged") bytes.set(Uint8Array.fromHex(disco), 6);
      return 124;
    case "stun":
      bytes.set([1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42]);
      bytes.set([0, 0x20, 0, 8, 0, 1], 20);
      return 32;
    case "initiation":
      bytes.set([1, 0, 0, 0]);
      return 148;
    default:
      throw new TypeError(`Cannot send "${kind}"`);
  }
}

const arena = createArena(16 << 20);
const addrs = createAddrTable(arena, 64);
const address = parseAddrPort(target)!;
const to = addrs.intern(address.ip, address.port);
const sockets = Array.from(
  { length: SOURCES },
  () => createUdp({ arena, addrs, family: address.ip.length === 4 ? 4 : 6, port: 0, mark: 0, offload: false }),
);
const messages = Array.from({ length: MESSAGES }, () => {
  const at = arena.reserve(SLOT);
  const made = new Uint8Array(SLOT);
  const length = write(made);
  arena.u8.set(made, at);
  return { at, length };
});

const cell = new Int32Array(new SharedArrayBuffer(4));
const startedAt = performance.now();
const end = startedAt + Number(seconds) * 1000;
let sent = 0;
for (let now = startedAt; now < end; now = performance.now()) {
  // What a busy machine kept it from sending is not made up for in one burst.
  const due = Math.min(Number(rate) * (now - startedAt) / 1000 - sent, Number(rate) / 50);
  for (let i = 0; i < due; i++) {
    const { at, length } = messages[sent % MESSAGES];
    const socket = sockets[(sent >> 5) % SOURCES];
    if (!socket.queue(to, at, length, length)) {
      socket.flush();
      socket.queue(to, at, length, length);
    }
    if ((++sent & 31) === 0) socket.flush();
  }
  for (const socket of sockets) socket.flush();
  Atomics.wait(cell, 0, 0, TICK_MS);
}
console.log(JSON.stringify({ sent, ms: Math.round(performance.now() - startedAt) }));
