/**
 * A bad stretch of road for UDP between two nodes: each sends to the shim as if it were the other, and the shim passes on
 * what it does not lose, some of it twice and some of it late.
 *
 *   udp_shim.ts LEFT_OWN LEFT_NODE RIGHT_OWN RIGHT_NODE LOSS DOUBLE LATE
 *
 * Four "ip:port": where the shim listens for each node, and where that node is; then shares of 0 to 1. Says "ready", and at
 * the end of its input a line of counts.
 */
import { parseAddrPort } from "../../base/ip.ts";
import { createArena } from "../../ffi/arena.ts";
import { createPoll } from "../../ffi/poll.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import { createUdp } from "../../ffi/udp.ts";
import type { FfiUdpPort } from "../../ffi/udp.ts";

/** How many datagrams of its direction overtake one that is late. */
const LATE_BY = 5;
/** With nothing behind it, one that is late is so by this, ms. */
const LATE_MS = 2;
const LARGEST = 65_536;
/** Bytes taken in before they are passed on: a receive may be a whole group. */
const BATCH_BYTES = 8 * LARGEST;
const SLOT = 2048;

const [loss, double, late] = Deno.args.slice(4).map(Number);
const arena = createArena(32 << 20);
const addrs = createAddrTable(arena);
const poll = createPoll(arena);
const counts = { passed: 0, lost: 0, doubled: 0, late: 0 };

interface Held {
  readonly slot: number;
  readonly length: number;
  behind: number;
}

/** One direction: what comes in at `from` goes out of `out`. */
class Direction {
  readonly from: FfiUdpPort;
  readonly #out: FfiUdpPort;
  readonly #to: number;
  readonly #buffer = arena.reserve(BATCH_BYTES + LARGEST);
  readonly #slots = Array.from({ length: 4 * LATE_BY }, () => arena.reserve(SLOT));
  readonly #held: Held[] = [];

  constructor(from: FfiUdpPort, out: FfiUdpPort, to: number) {
    [this.from, this.#out, this.#to] = [from, out, to];
  }

  pump(): void {
    let at = this.#buffer;
    while (at < this.#buffer + BATCH_BYTES) {
      const bytes = this.from.recv(at, LARGEST);
      if (bytes < 0) break;
      const { segment } = this.from;
      for (let offset = 0; offset < bytes; offset += segment) {
        this.#pass(at + offset, Math.min(segment, bytes - offset));
      }
      at += (bytes + 15) & ~15;
    }
    this.#out.flush();
  }

  /** Lets go of what has nothing behind it. */
  idle(): void {
    while (this.#held.length > 0) this.#release();
    this.#out.flush();
  }

  #pass(at: number, length: number): void {
    const dice = Math.random();
    if (dice < loss) counts.lost++;
    else if (dice < loss + late && length <= SLOT && this.#slots.length > 0) {
      counts.late++;
      const slot = this.#slots.pop()!;
      arena.u8.copyWithin(slot, at, at + length);
      this.#held.push({ slot, length, behind: LATE_BY });
      return;
    } else {
      counts.passed++;
      this.#send(at, length);
      if (dice > 1 - double) {
        counts.doubled++;
        this.#send(at, length);
      }
    }
    for (const held of this.#held) held.behind--;
    while (this.#held.length > 0 && this.#held[0].behind <= 0) this.#release();
  }

  #release(): void {
    const { slot, length } = this.#held.shift()!;
    this.#send(slot, length);
    // The slot is used anew: what lies in it must be gone.
    this.#out.flush();
    this.#slots.push(slot);
  }

  #send(at: number, length: number): void {
    if (this.#out.queue(this.#to, at, length, length)) return;
    this.#out.flush();
    this.#out.queue(this.#to, at, length, length);
  }
}

function side(own: string, node: string): { socket: FfiUdpPort; to: number } {
  const { ip, port } = parseAddrPort(own)!;
  const socket = createUdp({ arena, addrs, family: ip.length === 4 ? 4 : 6, address: ip, port, mark: 0 });
  const there = parseAddrPort(node)!;
  return { socket, to: addrs.intern(there.ip, there.port) };
}

const left = side(Deno.args[0], Deno.args[1]);
const right = side(Deno.args[2], Deno.args[3]);
const directions = [
  new Direction(left.socket, right.socket, right.to),
  new Direction(right.socket, left.socket, left.to),
];
// Standard input is the last descriptor, so that one thread can wait for all.
poll.watch([left.socket.fd, right.socket.fd, 0]);
console.log("ready");
for (const line = new Uint8Array(64);;) {
  const ready = poll.wait(LATE_MS);
  for (const [i, direction] of directions.entries()) {
    if ((ready & 1 << i) !== 0) direction.pump();
    else direction.idle();
  }
  if ((ready & 4) !== 0 && Deno.stdin.readSync(line) === null) break;
}
console.log(JSON.stringify(counts));
