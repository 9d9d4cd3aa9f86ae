/** Conversations recorded with a real wireguard-go device: our half byte by byte, its half read again. */
import assert from "node:assert/strict";
import recorded from "../../vectors/wireguard_go_transcript.json" with { type: "json" };
import { open, seal } from "../../../base/aead.ts";
import { concat, fromHex, toHex } from "../../../base/bytes.ts";
import { NodePrivate } from "../../../base/keys.ts";
import { CookieChecker, CookieGenerator } from "../../../engine/wg/cookie.ts";
import type { SessionKeys } from "../../../engine/wg/handshake.ts";
import {
  consumeResponse,
  createInitiation,
  createResponse,
  openInitiation,
  verifyInitiation,
} from "../../../engine/wg/handshake.ts";
import { decodeResponse, senderIndex, writeDataHeader } from "../../../engine/wg/messages.ts";

const bytes = (hex: string) => fromHex(hex)!;
const us = new NodePrivate(bytes(recorded.ourPrivateKey));
const go = new NodePrivate(bytes(recorded.goPrivateKey));
const secret = us.sharedSecret(go.public.bytes)!;

function must<T>(value: T | undefined | string): Exclude<T, undefined | string> {
  assert.ok(value !== undefined && typeof value !== "string", `refused: ${value}`);
  return value as Exclude<T, undefined | string>;
}

function initiation(recipe: { ephemeral: string; timestamp: string; index: number }, macs: CookieGenerator) {
  const created = must(
    createInitiation(us, go.public, secret, bytes(recipe.ephemeral), bytes(recipe.timestamp), recipe.index),
  );
  macs.addMacs(created.message, 0);
  return created;
}

interface Exchange {
  readonly remoteIndex: number;
  readonly packetToGo: string;
  readonly dataToGo: string;
  readonly dataFromGo: string;
  readonly packetFromGo: string;
}

/** The data messages of both directions, which wireguard-go opened and sealed. */
function verifyExchange(keys: SessionKeys, exchange: Exchange): void {
  const header = new Uint8Array(16);
  writeDataHeader(new DataView(header.buffer), 0, exchange.remoteIndex, 0);
  const sealed = seal(keys.send, new Uint8Array(12), bytes(exchange.packetToGo), new Uint8Array(0));
  assert.equal(toHex(concat(header, sealed)), exchange.dataToGo);
  assert.equal(openData(keys, exchange.dataFromGo), exchange.packetFromGo);
}

function openData(keys: SessionKeys, message: string): string {
  const nonce = concat(new Uint8Array(4), bytes(message).subarray(8, 16));
  return toHex(must(open(keys.receive, nonce, bytes(message).subarray(16), new Uint8Array(0))));
}

Deno.test("wireguard-go answers our initiation, and data passes both ways", () => {
  const { weInitiate } = recorded;
  const { message, sent } = initiation(weInitiate, new CookieGenerator(go.public));
  assert.equal(toHex(message), weInitiate.initiation);
  const response = bytes(weInitiate.response);
  assert.equal(new CookieChecker(us.public, () => new Uint8Array(32)).checkMac1(response), true);
  assert.equal(decodeResponse(response).receiver, weInitiate.index);
  const consumed = must(consumeResponse(us, sent, response));
  assert.equal(consumed.sender, weInitiate.remoteIndex);
  verifyExchange(consumed.keys, weInitiate);
});

Deno.test("wireguard-go accepts our response to its initiation, and data passes both ways", () => {
  const { goInitiates } = recorded;
  const message = bytes(goInitiates.initiation);
  assert.equal(new CookieChecker(us.public, () => new Uint8Array(32)).checkMac1(message), true);
  const opened = must(openInitiation(us, message));
  assert.equal(toHex(opened.remoteStatic), go.public.hex);
  assert.equal(toHex(must(verifyInitiation(opened, secret))), goInitiates.timestamp);
  const response = must(createResponse(opened, bytes(goInitiates.ephemeral), goInitiates.index));
  new CookieGenerator(go.public).addMacs(response.message, 0);
  assert.equal(toHex(response.message), goInitiates.response);
  assert.equal(openData(response.keys, goInitiates.confirmation), goInitiates.packetFromGo);
  verifyExchange(response.keys, goInitiates);
});

Deno.test("wireguard-go takes our cookie and proves its source with it", () => {
  const { weAreUnderLoad } = recorded;
  const random = (length: number) => bytes(length === 32 ? weAreUnderLoad.secret : weAreUnderLoad.nonce);
  const checker = new CookieChecker(us.public, random);
  const first = bytes(weAreUnderLoad.first);
  const source = bytes(weAreUnderLoad.source);
  assert.equal(toHex(checker.createReply(first, senderIndex(first), source, 0)), weAreUnderLoad.reply);
  assert.equal(checker.checkMac2(first, source, 0), false);
  assert.equal(checker.checkMac2(bytes(weAreUnderLoad.second), source, 0), true);
});

Deno.test("wireguard-go under load gives us a cookie and lets us in with it", () => {
  const { goIsUnderLoad } = recorded;
  const macs = new CookieGenerator(go.public);
  const flood = bytes(goIsUnderLoad.initiation);
  macs.addMacs(flood, 0);
  assert.equal(toHex(flood), goIsUnderLoad.initiation);
  assert.equal(macs.consumeReply(bytes(goIsUnderLoad.reply), 0), true);
  const { message, sent } = initiation(goIsUnderLoad, macs);
  assert.equal(toHex(message), goIsUnderLoad.again);
  must(consumeResponse(us, sent, bytes(goIsUnderLoad.response)));
});
