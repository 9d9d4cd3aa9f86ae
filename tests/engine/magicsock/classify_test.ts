import assert from "node:assert/strict";
import { classify } from "../../../engine/magicsock/classify.ts";
import { mutate, SeededRandom } from "../../support/random.ts";

const DISCO = Uint8Array.from([0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac, ...new Uint8Array(32).fill(9)]);
const STUN = Uint8Array.from([0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12)]);
const STUN_REQUEST = Uint8Array.from([0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12)]);

function at(bytes: ArrayLike<number>): ReturnType<typeof classify> {
  const buffer = new Uint8Array(bytes.length + 5).fill(0x54);
  buffer.set(Uint8Array.from(bytes), 5);
  return classify(buffer, 5, bytes.length);
}

Deno.test("classify() tells STUN, disco and WireGuard apart by their first bytes", () => {
  assert.equal(at(DISCO), "disco");
  assert.equal(at(STUN), "stun");
  assert.equal(at(STUN_REQUEST), "stun");
  for (const type of [1, 2, 3, 4]) assert.equal(at([type, 0, 0, 0, 0x21, 0x12, 0xa4, 0x42]), "wireguard");
});

Deno.test("classify() leaves what is cut, relayed or of no kind unknown", () => {
  assert.equal(at([]), "unknown");
  assert.equal(at([4, 0, 0]), "unknown");
  assert.equal(at([0, 0, 0, 0, 0, 0, 0, 0]), "unknown");
  assert.equal(at([5, 0, 0, 0]), "unknown");
  assert.equal(at(DISCO.subarray(0, 37)), "unknown");
  assert.equal(at(STUN.subarray(0, 19)), "unknown");
  assert.equal(at(STUN.map((byte, i) => (i === 1 ? 0x02 : byte))), "unknown", "not a Binding message");
  assert.equal(at(STUN.map((byte, i) => (i === 0 ? 0x41 : byte))), "unknown", "top bits set");
  const geneve = (protocol: number) => [0, 0, 0x7a, protocol, 0, 0, 1, 0];
  assert.equal(at([...geneve(0x11), ...DISCO]), "unknown");
  assert.equal(at([...geneve(0x12), 4, 0, 0, 0, ...new Uint8Array(28)]), "unknown");
});

Deno.test("W7: classify() takes any length and each type byte, with wrong reserved bytes too", () => {
  for (let type = 0; type < 256; type++) {
    for (const length of [0, 1, 2, 3, 4, 5, 31, 32]) {
      const bytes = new Uint8Array(length);
      if (length > 0) bytes[0] = type;
      assert.equal(at(bytes), length >= 4 && type >= 1 && type <= 4 ? "wireguard" : "unknown");
      for (let reserved = 1; reserved < Math.min(length, 4); reserved++) {
        assert.equal(at(bytes.map((byte, i) => (i === reserved ? 1 : byte))), "unknown");
      }
    }
  }
});

Deno.test("classify() never throws on 100,000 random and mutated datagrams", () => {
  const seed = 0xc1a55;
  const random = new SeededRandom(seed);
  const bases = [DISCO, STUN, Uint8Array.of(4, 0, 0, 0, 1, 2, 3, 4)];
  const seen = new Set<string>();
  for (let i = 0; i < 100_000; i++) {
    const bytes = random.chance(0.2) ? random.bytes(random.int(40)) : mutate(random, random.pick(bases));
    seen.add(classify(bytes, 0, bytes.length));
  }
  assert.deepEqual([...seen].sort(), ["disco", "stun", "unknown", "wireguard"], `seed ${seed}`);
});
