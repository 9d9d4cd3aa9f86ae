import assert from "node:assert/strict";
import { fromHex, toHex } from "../../base/bytes.ts";
import {
  encapsulate,
  type Geneve,
  GENEVE_LENGTH,
  GENEVE_WIREGUARD,
  GENEVE_WIREGUARD_WORD,
  readGeneve,
  vniAt,
  writeGeneveData,
} from "../../engine/geneve.ts";
import { mutate, SeededRandom } from "../support/random.ts";
import vectors from "../vectors/tailscale_disco.json" with { type: "json" };

for (const { wire, ...fields } of vectors.geneve) {
  Deno.test(`Geneve ${wire} is byte for byte Tailscale's, both ways`, () => {
    const header = fields as Geneve;
    const payload = Uint8Array.of(1, 2, 3);
    const packet = encapsulate(header, payload);
    assert.equal(toHex(packet), wire + "010203");
    const offset = new Uint8Array(5 + packet.length);
    offset.set(packet, 5);
    assert.deepEqual(readGeneve(offset, 5, packet.length), header);
    if (header.protocol !== GENEVE_WIREGUARD) return;
    const written = new Uint8Array(GENEVE_LENGTH + 2).fill(0xff);
    writeGeneveData(written, 1, header.vni);
    assert.equal(toHex(written), `ff${wire}ff`);
    assert.equal(new DataView(packet.buffer).getUint32(0, true), GENEVE_WIREGUARD_WORD);
    assert.equal(vniAt(packet, 0), header.vni);
  });
}

Deno.test("readGeneve() refuses versions, options, reserved bits, other protocols and what is cut", () => {
  const good = fromHex(vectors.geneve[0].wire)!;
  for (let length = 0; length < GENEVE_LENGTH; length++) assert.equal(readGeneve(good, 0, length), undefined);
  for (const [at, bits] of [[0, 0xff], [1, 0x7f], [2, 0xff], [3, 0xfc], [7, 0xff]]) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      if ((bits & bit) === 0) continue;
      const bad = good.slice();
      bad[at] ^= bit;
      assert.equal(readGeneve(bad, 0, bad.length), undefined, `byte ${at}, bit ${bit}`);
    }
  }
});

Deno.test("readGeneve() never throws on 50,000 random and mutated headers", () => {
  const random = new SeededRandom(0x6e7e);
  const bases = vectors.geneve.map(({ wire }) => fromHex(wire)!);
  let taken = 0;
  for (let i = 0; i < 50_000; i++) {
    const bytes = random.chance(0.2) ? random.bytes(random.int(12)) : mutate(random, random.pick(bases));
    const header = readGeneve(bytes, 0, bytes.length);
    if (header === undefined) continue;
    taken++;
    assert.deepEqual(encapsulate(header, new Uint8Array(0)), bytes.slice(0, GENEVE_LENGTH));
  }
  assert.ok(taken > 1000);
});
