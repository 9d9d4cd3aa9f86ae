import assert from "node:assert/strict";
import { utf8 } from "../../base/bytes.ts";
import { parseHttpHead } from "../../base/http_head.ts";
import { mutate, SeededRandom } from "../support/random.ts";

const HEAD = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nX-Twice: 1\r\nx-twice:  2 \r\n\r\n";

Deno.test("parseHttpHead() takes a head once it is whole, and says where it ends", () => {
  for (let cut = 0; cut < HEAD.length; cut++) assert.equal(parseHttpHead(utf8(HEAD.slice(0, cut))), undefined);
  const head = parseHttpHead(utf8(`${HEAD}behind`));
  assert.ok(typeof head === "object");
  assert.deepEqual([head.status, head.line, head.length], [101, "101 Switching Protocols", HEAD.length]);
  assert.deepEqual([...head.headers], [["upgrade", "a"], ["x-twice", "2"]]);
});

Deno.test("parseHttpHead() says what it saw instead", () => {
  for (
    const [text, want] of [
      ["SSH-2.0-x\r\n", 'it begins "SSH-2.0-x\\r\\n", want HTTP/1.1'],
      ["HTTP/1.1 1010 X\r\n\r\n", 'it begins "HTTP/1.1 1010 X", want HTTP/1.1'],
      [`HTTP/1.1 200 OK\r\nX: ${"x".repeat(16 << 10)}`, "its headers are longer than 16384 bytes"],
    ]
  ) assert.equal(parseHttpHead(utf8(text)), want);
});

Deno.test("fuzz parseHttpHead(): 20,000 mutated inputs never throw", () => {
  const random = new SeededRandom(20261122);
  for (let i = 0; i < 20_000; i++) parseHttpHead(mutate(random, utf8(HEAD)));
});
