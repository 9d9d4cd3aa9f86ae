/** Frames and STUN messages as Tailscale's own packages write and read them. */
import assert from "node:assert/strict";
import { formatAddrPort, parseAddrPort } from "../../base/ip.ts";
import { NodePrivate, NodePublic } from "../../base/keys.ts";
import { encodeFrame, FrameReader, FrameType } from "../../derp/frame.ts";
import type { Frame } from "../../derp/frame.ts";
import {
  decodeServerMessage,
  encodeClientInfo,
  encodeServerKey,
  parseClientInfo,
  parseServerInfo,
  parseServerKey,
} from "../../derp/messages.ts";
import type { ServerMessage } from "../../derp/messages.ts";
import { encodeStunRequest, encodeStunResponse, isStun, parseStunRequest, parseStunResponse } from "../../derp/stun.ts";
import derp from "../vectors/tailscale_derp.json" with { type: "json" };
import stun from "../vectors/tailscale_stun.json" with { type: "json" };

const hex = (text: string) => Uint8Array.fromHex(text);

function framesOf(wire: string): Frame[] {
  const reader = new FrameReader();
  reader.push(hex(wire));
  const frames: Frame[] = [];
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame);
  assert.equal(reader.failure, undefined);
  return frames;
}

/** The key vectors are sealed between: the server's private key is in the first client frame. */
const login = derp.client[0];
const client = new NodePrivate(hex(login.clientPrivate!));
const server = new NodePrivate(hex(login.serverPrivate!));

/** The bytes our client would write for a vector of this name. */
function ours(vector: (typeof derp.client)[number]): Uint8Array | undefined {
  const fields = vector.fields as { packet?: string; to?: string; preferred?: boolean; data?: string } | undefined;
  switch (vector.name) {
    case "clientInfo": {
      const info = { version: 2, canAckPings: true, isProber: false };
      return encodeClientInfo(client, server.public, hex(vector.nonce!), info);
    }
    case "sendPacket":
      return encodeFrame(FrameType.sendPacket, NodePublic.parse(fields!.to!)!.bytes, hex(fields!.packet!));
    case "notePreferred":
      return encodeFrame(FrameType.notePreferred, Uint8Array.of(fields!.preferred ? 1 : 0));
    case "ping":
      return encodeFrame(FrameType.ping, hex(fields!.data!));
    case "pong":
      return encodeFrame(FrameType.pong, hex(fields!.data!));
  }
}

/** A message in the form the vectors are in. */
function asVector(message: ServerMessage): Record<string, unknown> {
  switch (message.kind) {
    case "packet":
      return { packet: message.payload.toHex(), source: `nodekey:${message.source.toHex()}` };
    case "peer-gone":
      return { Peer: `nodekey:${message.peer.toHex()}`, Reason: message.reason };
    case "ping":
    case "pong":
      return { data: message.data.toHex() };
    case "health":
      return { Problem: message.problem };
    case "restarting":
      return { reconnectInMs: message.reconnectInMs, tryForMs: message.tryForMs };
    default:
      return {};
  }
}

Deno.test("our client writes the frames derp.Client writes", () => {
  for (const vector of derp.client) assert.equal(ours(vector)?.toHex(), vector.wire, vector.name);
});

Deno.test("our server opens derp.Client's login", () => {
  const { key, info } = parseClientInfo(server, framesOf(login.wire)[0])!;
  assert.equal(key.hex, client.public.hex);
  assert.deepEqual(info, { version: 2, canAckPings: true, isProber: false });
});

Deno.test("the greeting is derpserver's", () => {
  for (const { wire, publicRaw } of derp.serverKey) {
    assert.equal(parseServerKey(framesOf(wire)[0])!.hex, publicRaw);
    assert.equal(encodeServerKey(new NodePublic(hex(publicRaw))).toHex(), wire);
  }
});

Deno.test("our client reads server frames as derp.Client does", () => {
  for (const vector of derp.server) {
    if (vector.name === "serverInfo") {
      const info = parseServerInfo(client, server.public, framesOf(vector.wire)[0])!;
      const want = vector.message as Record<string, number>;
      assert.equal(info.bytesPerSecond, want.TokenBucketBytesPerSecond);
      assert.equal(info.bytesBurst, want.TokenBucketBytesBurst);
      continue;
    }
    const said = framesOf(vector.wire).map(decodeServerMessage)
      .filter(({ kind }) => kind !== "unknown" && kind !== "malformed");
    assert.equal(said.length, 1, vector.name);
    assert.deepEqual(asVector(said[0]), vector.message, vector.name);
  }
});

Deno.test("STUN requests and responses are those of net/stun", () => {
  for (const { txId, wire } of stun.requests) assert.equal(encodeStunRequest(hex(txId)).toHex(), wire);
  for (const { txId, mapped, wire } of stun.responses) {
    const address = parseAddrPort(mapped)!;
    const encoded = encodeStunResponse(hex(txId), address).toHex();
    // net/stun writes an IPv4-mapped address as IPv6; we unmap first, which its own parser does on the other end.
    if (encoded !== wire) assert.match(mapped, /^\[::ffff:/);
    assert.deepEqual(parseStunResponse(hex(wire))!.transaction, hex(txId));
  }
});

Deno.test("STUN parsers accept and refuse what net/stun's do", () => {
  for (const { wire, accepted, is } of stun.parseRequest) {
    assert.equal(isStun(hex(wire)), is, wire);
    assert.equal(parseStunRequest(hex(wire)) !== undefined, accepted, wire);
  }
  for (const vector of stun.parseResponse) {
    const parsed = parseStunResponse(hex(vector.wire));
    assert.equal(parsed !== undefined, vector.accepted, vector.wire);
    if (parsed !== undefined) assert.equal(formatAddrPort(parsed.mapped), vector.mapped, vector.wire);
  }
});
