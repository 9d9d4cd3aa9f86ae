/**
 * From an open TCP or TLS stream to a Noise stream, in one round trip. Source: control/controlhttp/client.go.
 *
 * ```
 *   POST /ts2021 HTTP/1.1
 *   Upgrade: tailscale-control-protocol        ──▶
 *   Connection: upgrade
 *   X-Tailscale-Handshake: base64(initiation)
 *                                              ◀──  101, Upgrade: tailscale-control-protocol, then the Noise response
 * ```
 */
import type { Duplex } from "node:stream";
import type { Buffer } from "node:buffer";
import { concat, fromUtf8, toBase64, utf8 } from "../../base/bytes.ts";
import { discard } from "../../base/discard.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { parseHttpHead } from "../../base/http_head.ts";
import { openWebSocket } from "../../base/websocket.ts";
import {
  bodyLength,
  type ClientHandshake,
  HEADER_LENGTH,
  isRefused,
  MESSAGE_TYPE,
  RESPONSE_LENGTH,
} from "../wire/handshake.ts";
import { EarlyPayloadReader } from "../wire/early_payload.ts";
import { NoiseDuplex } from "../wire/noise_duplex.ts";
import { ControlError } from "./errors.ts";

/** The protocol's name in the `Upgrade` header. */
export const UPGRADE_PROTOCOL = "tailscale-control-protocol";
/** Path of the upgrade. */
export const UPGRADE_PATH = "/ts2021";
/** Longest error text of a server, with its header. */
const MAX_ERROR = 16 << 10;

/** The upgrade request. @param authority `host` or `host:port` for the `Host` header. */
export function upgradeRequest(authority: string, initiation: Uint8Array): Uint8Array<ArrayBuffer> {
  return utf8(
    `POST ${UPGRADE_PATH} HTTP/1.1\r\nHost: ${authority}\r\nUpgrade: ${UPGRADE_PROTOCOL}\r\nConnection: upgrade\r\n` +
      `X-Tailscale-Handshake: ${toBase64(initiation)}\r\nContent-Length: 0\r\n\r\n`,
  );
}

type Progress = { readonly need: "more" } | { readonly error: ControlError } | {
  readonly response: Uint8Array;
  readonly rest: Uint8Array;
};

function progress(bytes: Uint8Array, authority: string): Progress {
  const head = parseHttpHead(bytes);
  if (head === undefined) return { need: "more" };
  const refuse = (seen: string) => ({
    error: new ControlError("not-control", `Cannot use ${authority}: ${seen}: is this a Tailscale control server?`),
  });
  if (typeof head === "string") return refuse(head);
  if (head.status !== 101) return refuse(`answered ${head.line}`);
  const protocol = head.headers.get("upgrade");
  if (protocol?.toLowerCase() !== UPGRADE_PROTOCOL) return refuse(`switched to protocol ${JSON.stringify(protocol)}`);
  return noiseResponse(bytes.subarray(head.length), authority);
}

/** What the server answered to the initiation. */
function noiseResponse(after: Uint8Array, authority: string): Progress {
  if (after.length < HEADER_LENGTH) return { need: "more" };
  const end = HEADER_LENGTH + bodyLength(after);
  if (after[0] === MESSAGE_TYPE.error) {
    if (after.length < Math.min(end, MAX_ERROR)) return { need: "more" };
    const text = fromUtf8(after.subarray(HEADER_LENGTH, Math.min(end, HEADER_LENGTH + 500))) ?? "unreadable text";
    return {
      error: new ControlError("handshake", `Cannot do the handshake with ${authority}: it says ${quote(text)}`),
    };
  }
  if (after.length < RESPONSE_LENGTH && after.length < end) return { need: "more" };
  return { response: after.subarray(0, Math.min(end, RESPONSE_LENGTH)), rest: after.subarray(RESPONSE_LENGTH) };
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/**
 * Upgrades an open stream, which it owns: it is destroyed on failure.
 * @throws ControlError `not-control`, `handshake` or `connection-lost`; the signal's reason when aborted.
 */
export function upgrade(
  stream: Duplex,
  authority: string,
  handshake: ClientHandshake,
  signal: AbortSignal,
): Promise<NoiseDuplex> {
  const answered = finishHandshake(stream, authority, handshake, progress, signal);
  if (!signal.aborted) stream.write(upgradeRequest(authority, handshake.initiation));
  return answered;
}

/** As `upgrade`, by a WebSocket, which takes the initiation in the URL (controlhttp/client_js.go). */
export async function upgradeByWebSocket(
  stream: Duplex,
  authority: string,
  handshake: ClientHandshake,
  random: RandomBytes,
  signal: AbortSignal,
): Promise<NoiseDuplex> {
  const query = new URLSearchParams({ "X-Tailscale-Handshake": toBase64(handshake.initiation) });
  const target = { authority, path: `${UPGRADE_PATH}?${query}`, subprotocol: UPGRADE_PROTOCOL };
  const webSocket = await openWebSocket(stream, target, random, signal).catch((error) => {
    if (signal.aborted) throw error;
    throw new ControlError("not-control", `Cannot use ${authority}: ${(error as Error).message}`, { cause: error });
  });
  return await finishHandshake(webSocket, authority, handshake, noiseResponse, signal);
}

/** Waits for the server's part of the handshake on a stream that the initiation was sent on. */
function finishHandshake(
  stream: Duplex,
  authority: string,
  handshake: ClientHandshake,
  parse: typeof noiseResponse,
  signal: AbortSignal,
): Promise<NoiseDuplex> {
  return new Promise((resolve, reject) => {
    let bytes: Uint8Array = new Uint8Array(0);
    const settle = () => {
      signal.removeEventListener("abort", onAbort);
      stream.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onError);
    };
    const fail = (error: unknown) => {
      settle();
      discard(stream);
      reject(error);
    };
    const lost = (detail: string, cause?: unknown) =>
      fail(new ControlError("connection-lost", `Cannot do the handshake with ${authority}: ${detail}`, { cause }));
    const onAbort = () => fail(signal.reason);
    const onError = (error: Error) => lost(error.message, error);
    // A server that cannot open the initiation, since it has another key, just closes after its 101.
    const onEnd = () => {
      const upgraded = parse === noiseResponse || typeof parseHttpHead(bytes) === "object";
      if (!upgraded) return lost("the connection was closed before an answer");
      fail(new ControlError("handshake", `Cannot do the handshake with ${authority}: it closed without a response`));
    };
    const onData = (chunk: Buffer) => {
      bytes = concat(bytes, chunk);
      const step = parse(bytes, authority);
      if ("need" in step) return;
      if ("error" in step) return fail(step.error);
      const session = handshake.finish(step.response);
      if (isRefused(session)) {
        return fail(new ControlError("handshake", `Cannot do the handshake with ${authority}: ${session.refused}`));
      }
      settle();
      stream.pause();
      resolve(new NoiseDuplex(stream, session, { head: step.rest, early: new EarlyPayloadReader() }));
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onError);
  });
}
