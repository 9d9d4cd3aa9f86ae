import assert from "node:assert/strict";
import { BoxKey } from "../../../base/box.ts";
import { fromHex, toHex } from "../../../base/bytes.ts";
import { formatAddrPort, parseAddrPort } from "../../../base/ip.ts";
import { DiscoPrivate, NodePublic } from "../../../base/keys.ts";
import { MAX_CALL_ME_MAYBE_ENDPOINTS } from "../../../engine/magicsock/constants.ts";
import {
  DISCO_PING_SIZE,
  type DiscoMessage,
  discoSender,
  encodeCallMeMaybe,
  encodePing,
  encodePong,
  openDisco,
  parseDisco,
  sealDisco,
} from "../../../engine/magicsock/disco.ts";
import { mutate, SeededRandom } from "../../support/random.ts";
import vectors from "../../vectors/tailscale_disco.json" with { type: "json" };

/** A message of the vectors, as loosely typed as JSON is. */
interface VectorMessage {
  readonly type: string;
  readonly txId?: string;
  readonly nodeKey?: string;
  readonly padding?: number;
  readonly src?: string;
  readonly endpoints?: string[];
}

function encode(message: VectorMessage): Uint8Array {
  const txId = fromHex(message.txId ?? "")!;
  switch (message.type) {
    case "ping":
      return encodePing(txId, message.nodeKey ? NodePublic.parse(message.nodeKey) : undefined, message.padding!);
    case "pong":
      return encodePong(txId, parseAddrPort(message.src!)!);
    default:
      return encodeCallMeMaybe(message.endpoints!.map((text) => parseAddrPort(text)!));
  }
}

/** The other way round, to the vectors' form. */
function describe(message: DiscoMessage): VectorMessage {
  switch (message.type) {
    case "ping": {
      const nodeKey = message.nodeKey && new NodePublic(message.nodeKey).toString();
      return { type: "ping", txId: toHex(message.txId), padding: message.padding, ...(nodeKey && { nodeKey }) };
    }
    case "pong":
      return { type: "pong", txId: toHex(message.txId), src: formatAddrPort(message.source) };
    case "call-me-maybe":
      return { type: "callMeMaybe", endpoints: message.endpoints.map(formatAddrPort) };
    default:
      throw new TypeError(`Cannot describe ${message.type}: see disco_relay_test.ts`);
  }
}

function parsed(payload: Uint8Array): DiscoMessage {
  const message = parseDisco(payload);
  assert.notEqual(typeof message, "string");
  return message as DiscoMessage;
}

const boxBetween = (own: DiscoPrivate, peer: DiscoPrivate) => new BoxKey(own.sharedSecret(peer.public.bytes)!);

for (const vector of vectors.messages) {
  Deno.test(`disco: "${vector.name}" is byte for byte Tailscale's, both ways`, () => {
    const sender = new DiscoPrivate(fromHex(vector.senderPrivate)!);
    const receiver = new DiscoPrivate(fromHex(vector.receiverPrivate)!);
    const payload = encode(vector.message);
    assert.equal(toHex(payload), vector.payload);
    const wire = sealDisco(sender.public, boxBetween(sender, receiver), fromHex(vector.nonce)!, payload);
    assert.equal(toHex(wire), vector.wire);
    assert.deepEqual(discoSender(wire), new Uint8Array(sender.public.bytes));
    const opened = openDisco(wire, boxBetween(receiver, sender))!;
    assert.deepEqual(describe(parsed(opened)), vector.message);
  });
}

Deno.test("parseDisco() accepts and refuses the odd payloads that Tailscale does", () => {
  for (const { payload, accepted } of vectors.odd) {
    assert.equal(typeof parseDisco(fromHex(payload)!) !== "string", accepted, payload);
  }
});

Deno.test("encodePong() lays out a pong as drawn", () => {
  // deno-fmt-ignore
  assert.deepEqual(encodePong(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), parseAddrPort("192.0.2.1:41641")!), Uint8Array.of(
    2, 0,                                                     // pong, version 0
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,                    // transaction ID
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1,   // ::ffff:192.0.2.1
    0xa2, 0xa9,                                               // port 41641, big endian
  ));
});

Deno.test("encodePing() pads to the size of the packet whose way is tried", () => {
  const random = new SeededRandom(1);
  const own = DiscoPrivate.generate(random.bytes);
  const key = boxBetween(own, DiscoPrivate.generate(random.bytes));
  const node = new NodePublic(random.bytes(32));
  const sealed = (padding: number) =>
    sealDisco(own.public, key, random.bytes(24), encodePing(random.bytes(12), node, padding)).length;
  assert.equal(sealed(0), DISCO_PING_SIZE);
  assert.equal(sealed(0), 124);
  assert.equal(sealed(1000 - DISCO_PING_SIZE), 1000);
});

Deno.test("parseDisco() ignores bytes behind a message and a later version of ping and pong", () => {
  const pong = encodePong(new Uint8Array(12), parseAddrPort("[2001:db8::1]:9")!);
  const longer = Uint8Array.from([...pong, 1, 2, 3]);
  longer[1] = 7;
  assert.deepEqual(describe(parsed(longer)), describe(parsed(pong)));
});

Deno.test("parseDisco() refuses types not spoken here by name", () => {
  for (const type of [0, 10, 255]) {
    assert.equal(parseDisco(Uint8Array.from([type, 0, ...new Uint8Array(200)])), "unknown-type");
  }
});

Deno.test("W9: a CallMeMaybe with thousands of endpoints is cut", () => {
  const many = Array.from({ length: 3640 }, (_, i) => ({ ip: Uint8Array.of(10, 0, i >> 8, i), port: 1 }));
  const message = parsed(encodeCallMeMaybe(many));
  assert.ok(message.type === "call-me-maybe" && message.endpoints.length === MAX_CALL_ME_MAYBE_ENDPOINTS);
});

Deno.test("discoSender() wants the magic and room for key and nonce", () => {
  const wire = fromHex(vectors.messages[0].wire)!;
  for (let length = 0; length < 62; length++) assert.equal(discoSender(wire.subarray(0, length)), undefined);
  assert.notEqual(discoSender(wire.subarray(0, 62)), undefined);
  for (let i = 0; i < 6; i++) {
    assert.equal(discoSender(wire.map((byte, at) => (at === i ? byte ^ 1 : byte))), undefined);
  }
});

Deno.test("parseDisco() never throws on 100,000 random and mutated payloads", () => {
  const seed = 0xd15c0;
  const random = new SeededRandom(seed);
  const bases = [...vectors.messages, ...vectors.odd].map(({ payload }) => fromHex(payload)!.subarray(0, 200));
  const seen = new Map<string, number>();
  for (let i = 0; i < 100_000; i++) {
    const payload = random.chance(0.2) ? random.bytes(random.int(80)) : mutate(random, random.pick(bases));
    const message = parseDisco(payload);
    const kind = typeof message === "string" ? message : message.type;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  console.log(`seed ${seed}:`, Object.fromEntries(seen));
  for (const kind of ["call-me-maybe", "disco-malformed", "ping", "pong", "unknown-type"]) assert.ok(seen.has(kind));
});
