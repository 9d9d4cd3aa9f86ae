/** No bytes from the network make a decoder throw. Seeds are printed with what they broke. */
import assert from "node:assert/strict";
import { fromHex, utf8 } from "../../../base/bytes.ts";
import {
  decodeMapRequest,
  decodeMapResponse,
  decodeRegisterRequest,
  decodeRegisterResponse,
  decodeServerKeys,
  decodeTkaRequest,
} from "../../../control/wire/decode.ts";
import { EarlyPayloadReader, encodeEarlyPayload } from "../../../control/wire/early_payload.ts";
import { answerHandshake, ClientHandshake, isRefused } from "../../../control/wire/handshake.ts";
import { decompressMapFrame, encodeMapFrame, MapFrameReader } from "../../../control/wire/map_frame.ts";
import { RecordOpener, RecordSealer } from "../../../control/wire/record.ts";
import { MachinePrivate } from "../../../base/keys.ts";
import { mutate, SeededRandom } from "../../support/random.ts";
import vectors from "../../vectors/tailscale_tailcfg.json" with { type: "json" };

const SEED = 20261122;

/** Runs `decode` on `count` mutations of the samples. */
function fuzz(
  name: string,
  count: number,
  samples: readonly Uint8Array[],
  decode: (bytes: Uint8Array) => unknown,
): void {
  Deno.test(`fuzz ${name}: ${count} mutated inputs never throw`, () => {
    const random = new SeededRandom(SEED);
    for (let i = 0; i < count; i++) {
      const bytes = mutate(random, random.pick(samples));
      try {
        decode(bytes);
      } catch (error) {
        assert.fail(`seed ${SEED} input ${i} ${bytes.toHex().slice(0, 400)}: ${(error as Error).stack}`);
      }
    }
  });
}

const documents = vectors.values.map(({ json }) => utf8(JSON.stringify(json)));
/** Documents whose values are changed for others, so that more than the JSON syntax is tried. */
const random = new SeededRandom(SEED);
const ODD_VALUES: readonly unknown[] = [null, true, -1, 1.5, 2 ** 60, "", "x", "9".repeat(30), [], [null], {}, {
  "": {},
}];

function swapped(value: unknown): unknown {
  if (random.chance(0.05)) return random.pick(ODD_VALUES);
  if (Array.isArray(value)) return value.map(swapped);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [random.chance(0.02) ? "-9" : key, swapped(entry)]),
  );
}

const decodeAll = (bytes: Uint8Array) => {
  decodeMapResponse(bytes);
  decodeMapRequest(bytes);
  decodeRegisterRequest(bytes);
  decodeRegisterResponse(bytes);
  decodeServerKeys(bytes);
  decodeTkaRequest("sync/offer", bytes);
};

fuzz("JSON documents, bytes changed", 15_000, documents, decodeAll);

Deno.test("fuzz JSON documents, values changed: 15000 inputs never throw", () => {
  for (let i = 0; i < 15_000; i++) {
    const bytes = utf8(JSON.stringify(swapped(random.pick(vectors.values).json)));
    try {
      decodeAll(bytes);
    } catch (error) {
      assert.fail(`seed ${SEED} input ${i} ${new TextDecoder().decode(bytes)}: ${(error as Error).stack}`);
    }
  }
});

const frames = vectors.frames.map(({ wire }) => fromHex(wire)!);
fuzz("map frames", 30_000, frames, (bytes) => {
  for (const body of new MapFrameReader().push(bytes)) decompressMapFrame(body, 1 << 20);
});

fuzz(
  "map frames of plain JSON",
  15_000,
  vectors.frames.map(({ json }) => encodeMapFrame(utf8(json), false)),
  (bytes) => {
    for (const body of new MapFrameReader().push(bytes)) decodeMapResponse(body);
  },
);

const early = encodeEarlyPayload({ nodeKeyChallenge: `chalpub:${"ab".repeat(32)}` });
fuzz("early payloads", 10_000, [early], (bytes) => new EarlyPayloadReader().push(new Uint8Array(bytes)));

const key = new Uint8Array(32).fill(9);
const records = [new RecordSealer(key).seal(new Uint8Array(100)), new RecordSealer(key).seal(new Uint8Array(9000))];
fuzz("records", 12_000, records, (bytes) => new RecordOpener(key).push(bytes));

const machine = new MachinePrivate(new Uint8Array(32).fill(1));
const server = new MachinePrivate(new Uint8Array(32).fill(2));
const handshake = new ClientHandshake(machine, server.public, 113, new MachinePrivate(new Uint8Array(32).fill(3)));
const answer = answerHandshake(server, handshake.initiation, new MachinePrivate(new Uint8Array(32).fill(4)));
fuzz("initiations", 2_000, [handshake.initiation], (bytes) => {
  answerHandshake(server, bytes, new MachinePrivate(new Uint8Array(32).fill(4)));
});
fuzz("responses", 1_000, isRefused(answer) ? [] : [answer.response], (bytes) => handshake.finish(bytes));
