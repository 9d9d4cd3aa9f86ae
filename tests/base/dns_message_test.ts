// The codec of DNS messages: bytes written by hand from RFC 1035, what it answers, and that no bytes make it throw.

import assert from "node:assert/strict";
import {
  encodeAnswer,
  encodeName,
  encodeQuery,
  formatError,
  parseQuery,
  parseResponse,
  type Query,
  RCODE,
  responseTo,
  soaData,
  truncated,
  TYPE,
} from "../../base/dns_message.ts";
import { SeededRandom } from "../support/random.ts";

const bytes = (hex: string) => Uint8Array.fromHex(hex.replace(/\s/g, ""));
/** id 1234, recursion desired, one question: Host.Example A IN. */
const PLAIN = bytes("1234 0100 0001 0000 0000 0000  04486f7374 074578616d706c65 00 0001 0001");
const query = (wire: Uint8Array): Query => {
  const parsed = parseQuery(wire);
  assert.ok(typeof parsed === "object", String(parsed));
  return parsed;
};

Deno.test("a query is read: id, name in lower case, type, size without EDNS", () => {
  const { id, question, udpSize, edns } = query(PLAIN);
  assert.deepEqual({ id, question, udpSize, edns }, {
    id: 0x1234,
    question: { name: "host.example", type: TYPE.A, class: 1 },
    udpSize: 512,
    edns: false,
  });
});

Deno.test("EDNS: the client's size is read from the class of OPT, and is never below 512 (RFC 6891 6.2.3)", () => {
  for (const [size, want] of [["04d0", 1232], ["0064", 512], ["ffff", 65535]] as const) {
    const wire = bytes(`${PLAIN.toHex()} 00 0029 ${size} 00008000 0000`);
    wire[11] = 1;
    assert.deepEqual([query(wire).udpSize, query(wire).edns], [want, true]);
  }
});

Deno.test("what is no query: an answer is dropped, other opcodes and several questions are FORMERR", () => {
  const changed = (at: number, value: number) => {
    const wire = PLAIN.slice();
    wire[at] = value;
    return parseQuery(wire);
  };
  assert.equal(changed(2, 0x81), undefined, "an answer");
  assert.equal(changed(2, 0x29), "malformed", "an update");
  assert.equal(changed(5, 2), "malformed", "two questions");
  assert.equal(changed(5, 0), "malformed", "no question");
  assert.equal(parseQuery(PLAIN.subarray(0, 11)), undefined, "shorter than a header");
  assert.equal(parseQuery(PLAIN.subarray(0, PLAIN.length - 1)), "malformed", "cut short");
  assert.equal(formatError(PLAIN).toHex(), "123481010000000000000000");
});

Deno.test("names: a dot and strange bytes inside a label equal no other name; pointers that lead forward are refused", () => {
  const one = (label: string) => bytes(`1234 0100 0001 0000 0000 0000 ${label} 00 0001 0001`);
  assert.equal(query(one("03612e62")).question.name, "a\\.b");
  assert.equal(query(one("03c3a920")).question.name, "\\195\\169\\032");
  assert.equal(parseQuery(one("c00c")), "malformed", "a pointer to itself");
  assert.equal(parseQuery(one("c0ff")), "malformed", "a pointer beyond the end");
  assert.equal(encodeName("x".repeat(64)), undefined);
  assert.equal(encodeName("a..b"), undefined);
  assert.equal(encodeName(`${"a".repeat(63)}.`.repeat(4)), undefined, "256 bytes");
  assert.equal(encodeName("a.bc")?.toHex(), "0161026263" + "00");
});

Deno.test("an answer repeats the question as spelt and points to its name; a negative one carries the zone's SOA", () => {
  const data = bytes("64400001");
  const answer = encodeAnswer(query(PLAIN), {
    rcode: 0,
    authoritative: true,
    records: [{ type: TYPE.A, ttl: 5, data }],
  });
  assert.equal(
    answer.toHex(),
    "1234" + "8580" + "0001000100000000" + PLAIN.subarray(12).toHex() + "c00c" + "00010001" + "00000005" + "0004" +
      "64400001",
  );
  const zone = encodeName("example")!;
  const soa = { zone, record: { type: TYPE.SOA, ttl: 10, data: soaData(zone, 7, 10) } };
  const negative = encodeAnswer(query(PLAIN), { rcode: RCODE.nameError, authoritative: true, soa });
  assert.match(negative.toHex(), /^1234858300010000000100000448/);
  assert.ok(negative.toHex().endsWith(zone.toHex().repeat(2) + "00000007" + "0000000a".repeat(4)));
});

Deno.test("an answer counts only with our id and our question; one cut short says so", () => {
  const asked = query(encodeQuery(7, "host.example", TYPE.A, 1232)!);
  const good = encodeAnswer(asked, { rcode: 0 });
  assert.deepEqual(responseTo(asked, good), { rcode: 0, cut: false });
  assert.deepEqual(responseTo(asked, truncated(asked, good)), { rcode: 0, cut: true });
  assert.equal(responseTo({ ...asked, id: 8 }, good), undefined);
  const other = query(encodeQuery(7, "other.example", TYPE.A, 1232)!);
  assert.equal(responseTo(asked, encodeAnswer(other, { rcode: 0 })), undefined);
  const aaaa = query(encodeQuery(7, "host.example", TYPE.AAAA, 1232)!);
  assert.equal(responseTo(asked, encodeAnswer(aaaa, { rcode: 0 })), undefined);
});

Deno.test("answers as text: the types people ask for", () => {
  const asked = query(PLAIN);
  const show = (type: number, data: Uint8Array) =>
    parseResponse(encodeAnswer(asked, { rcode: 0, records: [{ type, ttl: 5, data }] }))?.answers[0].body;
  const name = encodeName("mail.example")!.toHex();
  assert.equal(show(TYPE.A, bytes("64400001")), "100.64.0.1");
  assert.equal(show(TYPE.AAAA, bytes("fd7a115ca1e000000000000000000053")), "fd7a:115c:a1e0::53");
  assert.equal(show(TYPE.CNAME, bytes(name)), "mail.example.");
  assert.equal(show(TYPE.PTR, bytes("c00c")), "host.example.");
  assert.equal(show(TYPE.MX, bytes(`000a${name}`)), "mail.example. (Priority=10)");
  assert.equal(show(TYPE.SRV, bytes(`000100020035${name}`)), "Target=mail.example., Port=53, Priority=1, Weight=2");
  assert.equal(show(TYPE.TXT, bytes("0161 026263")), '"a" "bc"');
  assert.equal(show(99, bytes("beef")), "beef");
});

Deno.test("fuzz: 60,000 broken messages throw nowhere, and what is read can be answered", () => {
  const random = new SeededRandom(53);
  const seeds = [
    PLAIN,
    encodeQuery(1, "a.b.c.example", TYPE.TXT, 4096)!,
    encodeAnswer(query(PLAIN), { rcode: 0, records: [{ type: TYPE.MX, ttl: 1, data: bytes("000ac00c") }] }),
    encodeAnswer(query(PLAIN), { rcode: 0, records: [{ type: TYPE.TXT, ttl: 1, data: bytes("ff6162") }] }),
  ];
  let read = 0;
  for (let i = 0; i < 60_000; i++) {
    const [pick, changes, ...dice] = random.bytes(12);
    const seed = seeds[pick % seeds.length];
    const wire = changes % 8 === 0
      ? random.bytes(pick)
      : seed.slice(0, changes % 4 === 1 ? pick % (seed.length + 1) : undefined);
    for (let j = 0; j + 1 < Math.min(dice.length, changes % 10); j += 2) {
      if (wire.length > 0) wire[dice[j] % wire.length] = dice[j + 1];
    }
    const parsed = parseQuery(wire);
    parseResponse(wire);
    responseTo(query(PLAIN), wire);
    if (parsed === "malformed") assert.equal(formatError(wire).length, 12);
    if (typeof parsed !== "object") continue;
    read++;
    const again = encodeAnswer(parsed, { rcode: 0 });
    assert.ok(parseResponse(again) !== undefined && responseTo(parsed, again) !== undefined);
  }
  assert.ok(read > 5_000, `only ${read} were read`);
});
