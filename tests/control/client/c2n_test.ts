import assert from "node:assert/strict";
import { concat, utf8 } from "../../../base/bytes.ts";
import { c2nText, encodeC2nResponse, parseC2nRequest } from "../../../control/client/c2n.ts";
import { mutate, SeededRandom } from "../../support/random.ts";

const REQUEST = concat(
  utf8("POST /echo?x=1 HTTP/1.1\r\nHost: unused\r\nContent-Length: 3\r\nX-A: b: c\r\n\r\n"),
  Uint8Array.of(0, 255, 10),
);

Deno.test("parseC2nRequest() takes method, path with query, headers and a binary body", () => {
  assert.deepEqual(parseC2nRequest(REQUEST), {
    method: "POST",
    path: "/echo?x=1",
    headers: { host: "unused", "content-length": "3", "x-a": "b: c" },
    body: Uint8Array.of(0, 255, 10),
  });
});

Deno.test("parseC2nRequest() refuses what it does not understand, with a reason", () => {
  const head = (text: string) => utf8(text + "\r\n\r\n");
  const cases: [Uint8Array, RegExp][] = [
    [utf8("GET /"), /no end of headers/],
    [head("GET http://x/ HTTP/1.1"), /want METHOD/],
    [head("GET / HTTP/2"), /want METHOD/],
    [head("GET / HTTP/1.1\r\nbroken"), /header/],
    [head("POST / HTTP/1.1\r\nTransfer-Encoding: chunked"), /Transfer-Encoding/],
    [head("POST / HTTP/1.1\r\nContent-Length: 9"), /want 9/],
    [concat(head("POST / HTTP/1.1"), utf8("x")), /want 0/],
  ];
  for (const [bytes, reason] of cases) assert.match(String(parseC2nRequest(bytes)), reason);
});

Deno.test("encodeC2nResponse() is an HTTP/1.1 response with its length", () => {
  const text = new TextDecoder().decode(encodeC2nResponse(c2nText(404, "unknown")));
  assert.equal(
    text,
    "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 8\r\n\r\nunknown\n",
  );
});

Deno.test("fuzz parseC2nRequest(): 10000 mutated inputs never throw", () => {
  const random = new SeededRandom(20261122);
  for (let i = 0; i < 10_000; i++) parseC2nRequest(mutate(random, REQUEST));
});
