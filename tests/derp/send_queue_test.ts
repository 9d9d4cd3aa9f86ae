import assert from "node:assert/strict";
import { Writable } from "node:stream";
import type { Duplex } from "node:stream";
import { concat } from "../../base/bytes.ts";
import { encodeFrame, FrameReader, FrameType } from "../../derp/frame.ts";
import { SendQueue } from "../../derp/send_queue.ts";
import type { Overflow } from "../../derp/send_queue.ts";
import { SeededRandom } from "../support/random.ts";

const KEY = new Uint8Array(32).fill(7);
const DISCO = concat(Uint8Array.fromHex("5453f09f92ac"), new Uint8Array(60));

/** A stream that takes one write each time the test says so. */
class Valve {
  readonly writes: Uint8Array[] = [];
  dropped = 0;
  now = 0;
  readonly queue: SendQueue;
  #release: (() => void) | undefined;

  constructor(maxBytes: number, overflow: Overflow) {
    const stream = new Writable({
      write: (chunk: Uint8Array, _encoding, done) => {
        this.writes.push(new Uint8Array(chunk));
        this.#release = done;
      },
    });
    this.queue = new SendQueue(stream as unknown as Duplex, {
      maxBytes,
      overflow,
      dropped: (count) => this.dropped += count,
      now: () => this.now,
    });
  }

  send(first: number, length = 100): boolean {
    return this.queue.packet(FrameType.sendPacket, KEY, new Uint8Array(length).fill(first));
  }

  /** Lets the write in flight finish. */
  async release(): Promise<void> {
    this.#release?.();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** First payload byte of each packet written, by write; other frames by their type in hex. */
  shown(): string[][] {
    return this.writes.map((bytes) => {
      const reader = new FrameReader();
      const out: string[] = [];
      reader.push(bytes);
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        out.push(frame.type === FrameType.sendPacket ? String(frame.body[32]) : `0x${frame.type.toString(16)}`);
      }
      return out;
    });
  }
}

Deno.test("SendQueue writes the first at once and what came meanwhile together: protocol, disco, data", async () => {
  const valve = new Valve(10_000, "drop-newest");
  valve.send(1);
  valve.send(2);
  valve.send(3);
  valve.queue.packet(FrameType.sendPacket, KEY, DISCO);
  valve.queue.control(encodeFrame(FrameType.pong, new Uint8Array(8)));
  assert.deepEqual(valve.shown(), [["1"]]);
  await valve.release();
  assert.deepEqual(valve.shown(), [["1"], ["0x13", String(DISCO[0]), "2", "3"]]);
  await valve.release();
  valve.send(4);
  assert.deepEqual(valve.shown().at(-1), ["4"]);
  valve.queue.close();
});

Deno.test("SendQueue drops the newest or the oldest when full, and counts each", async () => {
  const size = 5 + 32 + 100;
  for (const [overflow, kept] of [["drop-newest", ["1", "2", "3"]], ["drop-oldest", ["7", "8", "9"]]] as const) {
    const valve = new Valve(3 * size, overflow);
    for (let i = 0; i < 10; i++) valve.send(i);
    assert.equal(valve.queue.queuedBytes, 3 * size);
    assert.equal(valve.dropped, 6);
    await valve.release();
    assert.deepEqual(valve.shown(), [["0"], kept], overflow);
    valve.queue.close();
  }
});

Deno.test("SendQueue refuses a packet larger than the whole queue without emptying it", async () => {
  const valve = new Valve(1000, "drop-oldest");
  valve.send(0);
  valve.send(1);
  assert.equal(valve.send(2, 2000), false);
  await valve.release();
  assert.deepEqual(valve.shown(), [["0"], ["1"]]);
  valve.queue.close();
});

Deno.test("SendQueue tells how long a write has been stuck, and writes nothing after close()", async () => {
  const valve = new Valve(1000, "drop-newest");
  assert.equal(valve.queue.stalledMs(), 0);
  valve.send(1);
  valve.send(2);
  valve.now = 700;
  assert.equal(valve.queue.stalledMs(), 700);
  valve.queue.close();
  await valve.release();
  assert.deepEqual(valve.shown(), [["1"]]);
  assert.equal(valve.send(3), false);
});

Deno.test("SendQueue keeps order, loses nothing it did not count, and stays within its bound", async () => {
  for (const overflow of ["drop-newest", "drop-oldest"] as const) {
    const seed = overflow.length;
    const random = new SeededRandom(seed);
    const valve = new Valve(20_000, overflow);
    let sent = 0;
    for (let round = 0; round < 300; round++) {
      for (let n = random.int(40); n > 0; n--) {
        const payload = new Uint8Array(4 + random.int(1300));
        new DataView(payload.buffer).setUint32(0, sent++);
        valve.queue.packet(FrameType.sendPacket, KEY, payload);
        assert.ok(valve.queue.queuedBytes <= 20_000, `seed ${seed}`);
      }
      if (random.chance(0.7)) await valve.release();
    }
    while (valve.queue.queuedBytes > 0 || valve.queue.stalledMs() > 0) await valve.release();
    const reader = new FrameReader();
    reader.push(concat(...valve.writes));
    let last = -1;
    let seen = 0;
    for (let frame = reader.next(); frame !== undefined; frame = reader.next(), seen++) {
      const number = new DataView(frame.body.buffer, frame.body.byteOffset + 32).getUint32(0);
      assert.ok(number > last, `seed ${seed}: ${number} after ${last}`);
      last = number;
    }
    assert.equal(seen + valve.dropped, sent, `seed ${seed}`);
    assert.ok(valve.dropped > 0 && seen > 0);
    valve.queue.close();
  }
});
