import assert from "node:assert/strict";
import { fromHex, toHex } from "../../../base/bytes.ts";
import { formatAddrPort, parseAddrPort } from "../../../base/ip.ts";
import { MAX_CALL_ME_MAYBE_ENDPOINTS } from "../../../engine/magicsock/constants.ts";
import { type DiscoMessage, parseDisco } from "../../../engine/magicsock/disco.ts";
import {
  type BindFields,
  encodeAllocateRequest,
  encodeAllocateResponse,
  encodeBind,
  encodeCallMeMaybeVia,
  type RelaySession,
  sortedPair,
} from "../../../engine/magicsock/disco_relay.ts";
import { mutate, SeededRandom } from "../../support/random.ts";
import vectors from "../../vectors/tailscale_disco.json" with { type: "json" };

interface VectorSession {
  readonly server: string;
  readonly clients: string[];
  readonly lamportId: string;
  readonly addrs: string[];
}

// deno-lint-ignore no-explicit-any
type Fields = Record<string, any>;

/** A message in the vectors' form: keys as hex, addresses as text. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("ip" in value && "port" in value) return formatAddrPort(value as { ip: Uint8Array<ArrayBuffer>; port: number });
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function sessionOf(fields: Fields): RelaySession {
  const { server, clients, lamportId, addrs, ...numbers } = fields.session as VectorSession;
  return {
    ...numbers as unknown as RelaySession,
    server: fromHex(server)!,
    clients: [fromHex(clients[0])!, fromHex(clients[1])!],
    lamportId: BigInt(lamportId),
    addrs: addrs.map((text) => parseAddrPort(text)!),
  };
}

function encode(type: string, fields: Fields): Uint8Array {
  switch (type) {
    case "call-me-maybe-via":
      return encodeCallMeMaybeVia(sessionOf(fields));
    case "allocate-request":
      return encodeAllocateRequest([fromHex(fields.clients[0])!, fromHex(fields.clients[1])!], fields.generation);
    case "allocate-response":
      return encodeAllocateResponse(fields.generation, sessionOf(fields));
    default: {
      const [remote, challenge] = [fromHex(fields.remote)!, fromHex(fields.challenge)!];
      return encodeBind(type as "bind", { ...fields, remote, challenge } as BindFields);
    }
  }
}

for (const { type, fields, payload } of vectors.relay) {
  Deno.test(`disco: ${type} is byte for byte Tailscale's, both ways`, () => {
    assert.equal(toHex(encode(type, fields)), payload);
    const message = parseDisco(fromHex(payload)!) as DiscoMessage;
    assert.deepEqual(plain(message), { type, ...fields });
  });

  Deno.test(`disco: a cut ${type} is malformed at every length`, () => {
    const whole = fromHex(payload)!;
    for (let length = 2; length < whole.length; length++) {
      const message = parseDisco(whole.subarray(0, length));
      // A list of addresses that is cut between two of them is a shorter list.
      if (typeof message !== "string") assert.match(type, /via|response/);
      else assert.equal(message, "disco-malformed");
    }
  });
}

Deno.test("a session needs an address, and its list is cut at the same number as a CallMeMaybe's", () => {
  const session = sessionOf(vectors.relay.find(({ type }) => type === "call-me-maybe-via")!.fields);
  assert.equal(parseDisco(encodeCallMeMaybeVia({ ...session, addrs: [] })), "disco-malformed");
  const addrs = Array.from({ length: 500 }, (_, i) => ({ ip: Uint8Array.of(10, 0, i >> 8, i), port: 1 }));
  const message = parseDisco(encodeCallMeMaybeVia({ ...session, addrs })) as DiscoMessage;
  assert.ok(message.type === "call-me-maybe-via");
  assert.equal(message.session.addrs.length, MAX_CALL_ME_MAYBE_ENDPOINTS);
});

Deno.test("a later version of a bind message is read, of the others it is unknown", () => {
  for (const { type, payload } of vectors.relay) {
    const later = fromHex(payload)!;
    later[1] = 1;
    const message = parseDisco(later);
    assert.equal(typeof message === "string" ? message : message.type, type.startsWith("bind") ? type : "unknown-type");
  }
});

Deno.test("sortedPair() names a pair by its keys' order, whoever asks", () => {
  const random = new SeededRandom(4);
  for (let i = 0; i < 100; i++) {
    const [a, b] = [random.bytes(32), random.bytes(32)];
    const pair = sortedPair(a, b);
    assert.deepEqual(pair, sortedPair(b, a));
    assert.ok(toHex(pair[0]) < toHex(pair[1]));
  }
});

Deno.test("parseDisco() never throws on 50,000 mutated messages of relays", () => {
  const seed = 0x4e1a7;
  const random = new SeededRandom(seed);
  const bases = vectors.relay.map(({ payload }) => fromHex(payload)!);
  const seen = new Map<string, number>();
  for (let i = 0; i < 50_000; i++) {
    const message = parseDisco(mutate(random, random.pick(bases)));
    const kind = typeof message === "string" ? message : message.type;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  for (const { type } of vectors.relay) assert.ok(seen.get(type)! > 1000, `seed ${seed}: ${type}`);
});
