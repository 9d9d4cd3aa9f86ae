import assert from "node:assert/strict";
import { inspect } from "node:util";
import vectors from "../vectors/tailscale_keys.json" with { type: "json" };
import { fromHex, toHex } from "../../base/bytes.ts";
import { DiscoPrivate, DiscoPublic, MachinePrivate, MachinePublic, NodePrivate, NodePublic } from "../../base/keys.ts";
import { Secret } from "../../base/secret.ts";
import { SeededRandom } from "../support/random.ts";

const bytes = (hex: string) => fromHex(hex)!;

Deno.test("Node keys have the texts of tailscale.com/types/key", () => {
  for (const vector of vectors.node) {
    const key = NodePrivate.parse(vector.private)!;
    assert.equal(toHex(key.reveal()), vector.raw);
    assert.equal(key.revealText(), vector.private);
    assert.equal(key.public.toString(), vector.public);
    assert.equal(key.public.hex, vector.publicRaw);
    assert.equal(key.public.shortString(), vector.short);
    assert.ok(NodePublic.parse(vector.public)!.equals(key.public));
    assert.equal(JSON.stringify({ key: key.public }), `{"key":"${vector.public}"}`);
  }
});

Deno.test("Machine keys have the texts of tailscale.com/types/key", () => {
  for (const vector of vectors.machine) {
    const key = MachinePrivate.parse(vector.private)!;
    assert.equal(toHex(key.reveal()), vector.raw);
    assert.equal(key.public.toString(), vector.public);
    assert.ok(MachinePublic.parse(vector.public)!.equals(key.public));
  }
});

Deno.test("Disco keys have the texts of tailscale.com/types/key", () => {
  for (const vector of vectors.disco) {
    const key = new DiscoPrivate(bytes(vector.raw));
    assert.equal(key.public.toString(), vector.public);
    assert.equal(key.public.shortString(), vector.short);
    assert.ok(DiscoPublic.parse(vector.public)!.equals(key.public));
  }
});

Deno.test("Key parsers refuse another prefix, another length and what is not hex", () => {
  const hex = "ab".repeat(32);
  for (const text of ["", "nodekey:", `mkey:${hex}`, `nodekey:${hex}00`, `nodekey:${hex.slice(2)}`, `NODEKEY:${hex}`]) {
    assert.equal(NodePublic.parse(text), undefined, text);
  }
  assert.equal(NodePublic.parse(`nodekey:${"zz".repeat(32)}`), undefined);
  assert.equal(NodePrivate.parse(`nodekey:${hex}`), undefined);
  assert.equal(MachinePublic.parse(`nodekey:${hex}`), undefined);
  assert.equal(DiscoPublic.parse(`mkey:${hex}`), undefined);
  assert.throws(() => new NodePublic(new Uint8Array(31)), RangeError);
  assert.throws(() => new NodePrivate(new Uint8Array(33)), RangeError);
});

Deno.test("Public keys of different kinds are never equal, and a key copies its bytes", () => {
  const raw = new Uint8Array(32).fill(5);
  const node = new NodePublic(raw);
  assert.equal(node.equals(new MachinePublic(raw)), false);
  assert.equal(node.equals(undefined), false);
  raw[0] = 6;
  assert.equal(node.bytes[0], 5);
  assert.equal(new NodePublic(new Uint8Array(32)).isZero, true);
  assert.equal(node.isZero, false);
});

Deno.test("Private keys and secrets print [redacted] however they are printed", () => {
  const random = new SeededRandom(9);
  const keys = [
    NodePrivate.generate(random.bytes),
    MachinePrivate.generate(random.bytes),
    new DiscoPrivate(random.bytes(32)),
  ];
  for (const key of keys) {
    const hex = toHex(key.reveal());
    assert.equal(String(key), "[redacted]");
    assert.equal(`${key}`, "[redacted]");
    assert.equal(JSON.stringify({ key }), '{"key":"[redacted]"}');
    assert.equal(Deno.inspect(key), "[redacted]");
    for (const text of [Deno.inspect({ key }), inspect(key), inspect({ key }, { showHidden: true, depth: 9 })]) {
      assert.ok(!text.includes(hex.slice(0, 8)), text);
    }
  }
  const secret = new Secret("tskey-auth-abc");
  for (const text of [String(secret), JSON.stringify(secret), Deno.inspect(secret), inspect(secret)]) {
    assert.ok(text.includes("[redacted]") && !text.includes("abc"), text);
  }
  assert.equal(secret.reveal(), "tskey-auth-abc");
});

Deno.test("generate() clamps, and both ends of a key pair agree on a secret", () => {
  const random = new SeededRandom(10);
  const [a, b] = [NodePrivate.generate(random.bytes), NodePrivate.generate(random.bytes)];
  assert.equal(a.reveal()[0] & 7, 0);
  assert.equal(a.reveal()[31] & 0xc0, 0x40);
  assert.deepEqual(a.sharedSecret(b.public.bytes), b.sharedSecret(a.public.bytes));
  assert.equal(a.sharedSecret(new Uint8Array(32)), undefined);
  const revealed = a.reveal();
  revealed.fill(0);
  assert.notDeepEqual(a.reveal(), revealed);
});
