import assert from "node:assert/strict";
import { concat, utf8 } from "../../base/bytes.ts";
import { encodeUpgradeRequest, UpgradeReader } from "../../derp/http_upgrade.ts";
import { mutate, SeededRandom } from "../support/random.ts";

Deno.test("encodeUpgradeRequest() names the ideal node and refuses what would break out of a line", () => {
  const request = encodeUpgradeRequest({ host: "a:8443", idealNode: "1a", fastStart: true })!;
  assert.match(
    new TextDecoder().decode(request),
    /^GET \/derp HTTP\/1\.1\r\nHost: a:8443\r\n[^]*Ideal-Node: 1a\r\n[^]*\r\n\r\n$/,
  );
  assert.equal(encodeUpgradeRequest({ host: "a\r\nX: y", fastStart: false }), undefined);
  assert.equal(encodeUpgradeRequest({ host: "a", idealNode: "1\n", fastStart: false }), undefined);
});

Deno.test("UpgradeReader finds the end of the head wherever the answer is cut", () => {
  const answer = utf8("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nDerp-Version: 2\r\n\r\n");
  const stream = concat(answer, Uint8Array.of(1, 2, 3));
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new UpgradeReader();
    const first = reader.push(stream.slice(0, cut));
    if (cut < answer.length) {
      assert.equal(first.kind, "more", `cut at ${cut}`);
      const second = reader.push(stream.slice(cut));
      assert.deepEqual(second.kind === "switched" && [...second.rest], [1, 2, 3], `cut at ${cut}`);
    } else {
      assert.deepEqual(first.kind === "switched" && first.rest.length, cut - answer.length, `cut at ${cut}`);
    }
  }
});

Deno.test("UpgradeReader survives 100,000 mutated answers and switches on none that is not a 101", () => {
  const seed = 6;
  const random = new SeededRandom(seed);
  const answer = utf8("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n\x01\x02");
  for (let i = 0; i < 100_000; i++) {
    const bytes = mutate(random, answer);
    if (new UpgradeReader().push(bytes).kind !== "switched") continue;
    assert.match(new TextDecoder("latin1").decode(bytes), /^HTTP\/1\.[01] 101[ \r]/, `seed ${seed}, round ${i}`);
  }
});
