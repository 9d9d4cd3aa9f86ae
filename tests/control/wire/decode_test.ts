import assert from "node:assert/strict";
import { utf8 } from "../../../base/bytes.ts";
import {
  decodeJson,
  decodeMapRequest,
  decodeMapResponse,
  decodeRegisterRequest,
  decodeRegisterResponse,
  decodeServerKeys,
  isMalformed,
  type Malformed,
} from "../../../control/wire/decode.ts";
import { fromGoTime, goTime, type MapResponse, ZERO_TIME } from "../../../control/wire/tailcfg.ts";
import vectors from "../../vectors/tailscale_tailcfg.json" with { type: "json" };

const KEY = `nodekey:${"1".repeat(64)}`;
const bytesOf = (value: unknown) => utf8(JSON.stringify(value));

/** What is left when what Go takes for nothing is taken out: null fields, but not nulls in maps. */
function withoutUndefined(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

const DECODERS: Record<string, (bytes: Uint8Array) => { value: unknown } | Malformed> = {
  "*tailcfg.MapResponse": decodeMapResponse,
  "*tailcfg.MapRequest": decodeMapRequest,
  "*tailcfg.RegisterRequest": decodeRegisterRequest,
  "*tailcfg.RegisterResponse": decodeRegisterResponse,
  "*tailcfg.Node": (bytes) => decodeMapResponse(utf8(`{"Node":${new TextDecoder().decode(bytes)}}`)),
  "*tailcfg.PeerChange": (bytes) =>
    decodeMapResponse(utf8(`{"PeersChangedPatch":[${new TextDecoder().decode(bytes)}]}`)),
};

Deno.test("decode: every tailcfg value Go writes is taken, and no field is lost", () => {
  let checked = 0;
  for (const { json, name, type } of vectors.values) {
    const decoder = DECODERS[type];
    if (decoder === undefined) continue;
    const decoded = decoder(bytesOf(json));
    assert.ok(!isMalformed(decoded), `${name}: ${JSON.stringify(decoded)}`);
    let value = withoutUndefined(decoded.value) as Record<string, unknown>;
    if (type === "*tailcfg.Node") value = value.Node as Record<string, unknown>;
    if (type === "*tailcfg.PeerChange") value = (value.PeersChangedPatch as Record<string, unknown>[])[0];
    for (const [field, seen] of Object.entries(json)) {
      if (seen === null) assert.ok(value[field] === undefined || value[field] === null, `${name}.${field}`);
      else assert.deepEqual(value[field] !== undefined, true, `${name}.${field} is lost`);
    }
    checked++;
  }
  assert.ok(checked >= 20, `${checked} values`);
});

Deno.test("decode: absent and null are nothing, empty is not, as in Go", () => {
  for (
    const { field, json, nil, type } of vectors.presence as {
      field: string;
      json: string;
      nil: boolean;
      type?: string;
    }[]
  ) {
    const node = `{"ID":1,"Key":"${KEY}",${json.slice(1)}`.replace(/,}$/, "}");
    const decoded = decodeMapResponse(utf8(type === "Node" ? `{"Node":${node}}` : json));
    assert.ok(!isMalformed(decoded), JSON.stringify(decoded));
    const holder = type === "Node" ? decoded.value.Node! : decoded.value;
    assert.equal((holder as unknown as Record<string, unknown>)[field] === undefined, nil, json);
  }
});

/** Where this decoder and Go differ, and why. */
const DIFFERENCES = new Map([
  ['{"keepalive":true}', "Go matches field names in any case; no server writes them so"],
  ['{"Seq":1.0}', "JSON has one kind of number; nothing is lost"],
  ["null", "a message that says nothing at all is no message"],
  ['{"Node":{"Online":null}}', "a node without ID and key is of no use to anyone"],
  ['{"Node":{"KeySignature":"AQL+/w=="}}', "a node without ID and key is of no use to anyone"],
]);

Deno.test("decode: odd documents are taken or refused as Go does", () => {
  for (const { accepted, json } of vectors.odd) {
    const taken = !isMalformed(decodeMapResponse(utf8(json)));
    if (DIFFERENCES.has(json)) continue;
    assert.equal(taken, accepted, json);
  }
});

Deno.test("decode: the reason names the field, what was seen and what is wanted", () => {
  const peer = { ID: 2, Key: KEY, Addresses: ["100.64.0.2/32"] };
  const cases: [unknown, string][] = [
    [{ Peers: [peer, { ...peer, Key: 7 }] }, "MapResponse.Peers[1].Key is 7, want nodekey:<64 hex digits>"],
    [{ Peers: [{ Key: KEY }] }, "MapResponse.Peers[0].ID is missing"],
    [{ Node: { ...peer, Addresses: ["1.2.3.4"] } }, 'MapResponse.Node.Addresses[0] is "1.2.3.4", want an IP prefix'],
    [{ KeepAlive: 1 }, "MapResponse.KeepAlive is 1, want true or false"],
    [{ OnlineChange: { x: true } }, 'MapResponse.OnlineChange["x"] is not an integer key'],
    [
      { PacketFilters: { a: [{ DstPorts: [{ IP: "*", Ports: { First: 1, Last: 70000 } }] }] } },
      'MapResponse.PacketFilters["a"][0].DstPorts[0].Ports.Last is 70000, want 0 to 65535',
    ],
    [{ ControlTime: "yesterday" }, 'MapResponse.ControlTime is "yesterday", want an RFC 3339 time'],
    [[], "MapResponse is a list, want an object"],
    [{ Domain: "x".repeat(100), Peers: "x".repeat(100) }, `MapResponse.Peers is "${"x".repeat(36)}..., want a list`],
  ];
  for (const [value, reason] of cases) {
    const decoded = decodeMapResponse(bytesOf(value));
    assert.ok(isMalformed(decoded));
    assert.equal(decoded.malformed, reason);
  }
});

Deno.test("decode: unknown fields are let be, nulls in lists of structs are taken out", () => {
  const decoded = decodeMapResponse(bytesOf({ Peers: [null, { ID: 2, Key: KEY, Future: [1] }], Novel: { x: 1 } }));
  assert.ok(!isMalformed(decoded));
  assert.equal(decoded.value.Peers!.length, 1);
  assert.deepEqual((decoded.value as Record<string, unknown>).Novel, { x: 1 });
});

Deno.test("decode: what Go always writes has its zero value when a server leaves it out", () => {
  const decoded = decodeMapResponse(bytesOf({ Node: { ID: 1, Key: KEY } })) as { value: MapResponse };
  const { StableID, Name, User } = decoded.value.Node!;
  assert.deepEqual([StableID, Name, User], ["", "", 0]);
});

Deno.test("decodeJson() refuses bytes that are not UTF-8 and text that is not JSON", () => {
  for (const bytes of [Uint8Array.of(0xff), utf8(""), utf8("{"), utf8('{"a":1}x')]) {
    assert.ok(isMalformed(decodeJson(bytes)));
  }
});

Deno.test("decode: a key called __proto__ stays data", () => {
  const decoded = decodeMapResponse(
    utf8('{"PacketFilters":{"__proto__":[]},"Node":{"ID":1,"Key":"' + KEY + '","CapMap":{"__proto__":null}}}'),
  );
  assert.ok(!isMalformed(decoded));
  assert.deepEqual(Object.keys(decoded.value.PacketFilters!), ["__proto__"]);
  assert.equal(({} as Record<string, unknown>).ID, undefined);
});

Deno.test("decodeServerKeys() wants a publicKey", () => {
  const key = `mkey:${"a".repeat(64)}`;
  assert.ok(!isMalformed(decodeServerKeys(bytesOf({ publicKey: key }))));
  for (const value of [{}, { publicKey: "mkey:12" }, { publicKey: KEY }, "x"]) {
    assert.ok(isMalformed(decodeServerKeys(bytesOf(value))));
  }
});

Deno.test("fromGoTime() and goTime(): nanoseconds, zones and Go's zero", () => {
  assert.equal(fromGoTime("2026-01-02T03:04:05.123456789Z"), Date.UTC(2026, 0, 2, 3, 4, 5, 123));
  assert.equal(fromGoTime("2026-01-02T03:04:05+02:00"), Date.UTC(2026, 0, 2, 1, 4, 5));
  assert.equal(fromGoTime(ZERO_TIME), undefined);
  assert.equal(fromGoTime(undefined), undefined);
  assert.equal(fromGoTime("soon"), undefined);
  assert.equal(goTime(123_000), "1970-01-01T00:02:03.000Z");
});

Deno.test("W11 decode: lists of half a million entries, nulls among them, are taken or refused without a throw", () => {
  const removed = Array.from({ length: 500_000 }, (_, i) => i % 2 === 0 ? null : i);
  const taken = decodeMapResponse(bytesOf({ PeersRemoved: removed, Peers: removed.map(() => null) }));
  assert.ok(!isMalformed(taken));
  assert.equal(taken.value.PeersRemoved!.length, 250_000);
  assert.equal(taken.value.Peers!.length, 0);
  assert.ok(isMalformed(decodeMapResponse(bytesOf({ Peers: [...removed, 1] }))));
});
