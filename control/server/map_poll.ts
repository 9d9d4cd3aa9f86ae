/**
 * `POST /machine/map`.
 *
 * ```
 *   Stream        OmitPeers  ReadOnly
 *   true          -          -         whole map, then changes and keep-alives until either side ends it; read-only
 *   false         true       false     lite update: stored, answered 200 with nothing
 *   false         otherwise            stored unless ReadOnly, one whole map
 * ```
 * Frames are zstd when asked for. A keep-alive goes out after 50 to 60 s of silence (clients give up after 120) and
 * takes an HTTP/2 ping along: a peer that does not answer it within 30 s is gone, whatever TCP still believes.
 */
import { utf8 } from "../../base/bytes.ts";
import type { Scheduler, Timer } from "../../base/clock.ts";
import type { ServerHttp2Stream } from "../wire/h2.ts";
import { encodeMapFrame } from "../wire/map_frame.ts";
import { goTime } from "../wire/tailcfg.ts";
import type { MapRequest, MapResponse } from "../wire/tailcfg.ts";
import type { FanOut, Subscription } from "./fan_out.ts";
import type { LockServer } from "./lock/lock_server.ts";
import type { MapBuilder } from "./map_builder.ts";
import type { Presence } from "./presence.ts";
import { MIN_CAPABILITY_VERSION } from "./registration.ts";
import type { Tailnet } from "./tailnet.ts";
import { updateWhere } from "./where_update.ts";

const KEEP_ALIVE_MS = 50_000;
const KEEP_ALIVE_JITTER_MS = 10_000;
const PING_TIMEOUT_MS = 30_000;
/** A poll whose client takes nothing for so long is ended. */
const STALLED_MS = 120_000;

export interface MapPollOptions {
  readonly tailnet: Tailnet;
  readonly builder: MapBuilder;
  readonly fanOut: FanOut;
  readonly presence: Presence;
  readonly scheduler: Scheduler;
  readonly lock?: LockServer;
  /** From 0 up to 1; spreads the keep-alives. */
  readonly jitter: () => number;
}

/** Encodings of messages that go to many polls alike. */
const encoded = new WeakMap<MapResponse, Map<boolean, Uint8Array>>();

function frameOf(message: MapResponse, compress: boolean): Uint8Array {
  let frames = encoded.get(message);
  if (frames === undefined) encoded.set(message, frames = new Map());
  let frame = frames.get(compress);
  if (frame === undefined) frames.set(compress, frame = encodeMapFrame(utf8(JSON.stringify(message)), compress));
  return frame;
}

/** Answers with a status and a line of text. */
export function refuseStream(stream: ServerHttp2Stream, status: number, text: string): void {
  stream.respond({ ":status": status, "content-type": "text/plain; charset=utf-8" });
  stream.end(`${text}\n`);
}

/** Answers one map request on its HTTP/2 stream. @param machineKey proven by the Noise handshake. */
export async function serveMap(
  stream: ServerHttp2Stream,
  machineKey: string,
  request: MapRequest,
  options: MapPollOptions,
): Promise<void> {
  const { tailnet, builder, scheduler } = options;
  if (!(request.Version >= MIN_CAPABILITY_VERSION)) {
    return refuseStream(
      stream,
      400,
      `want capability version ${MIN_CAPABILITY_VERSION} or later, not ${request.Version}`,
    );
  }
  const found = tailnet.byNodeKey(request.NodeKey);
  if (found === undefined || found.record.machineKey !== machineKey) {
    return refuseStream(stream, 404, "node not found: it was removed, or its key replaced; register again");
  }
  const { id } = found.record;
  if (request.TKAHead) await options.lock?.told(id, request.TKAHead);
  if (request.Stream) return new Stream(stream, id, request.Compress === "zstd", options).open();
  if (!request.ReadOnly) await updateWhere(tailnet, id, request, scheduler.wall());
  if (stream.destroyed) return;
  stream.respond({ ":status": 200 });
  const self = tailnet.nodes.get(id);
  if ((request.OmitPeers && !request.ReadOnly) || self === undefined) return void stream.end();
  const { Peers, ...rest } = builder.fullMap(tailnet, self, scheduler.wall());
  stream.end(frameOf(request.OmitPeers ? rest : { ...rest, Peers }, request.Compress === "zstd"));
}

/** One streaming poll. */
class Stream {
  readonly #stream: ServerHttp2Stream;
  readonly #nodeId: number;
  readonly #compress: boolean;
  readonly #options: MapPollOptions;
  #subscription: Subscription | undefined;
  #keepAlive: Timer | undefined;
  #deadline: Timer | undefined;
  #stalled = false;
  #over = false;

  constructor(stream: ServerHttp2Stream, nodeId: number, compress: boolean, options: MapPollOptions) {
    this.#stream = stream;
    this.#nodeId = nodeId;
    this.#compress = compress;
    this.#options = options;
  }

  open(): void {
    const leave = this.#options.presence.enter(this.#nodeId);
    this.#stream.respond({ ":status": 200 });
    this.#stream.on("drain", () => {
      this.#stalled = false;
      this.#deadline?.cancel();
      this.#arm();
      this.#subscription?.ready();
    });
    this.#stream.once("close", () => {
      this.#finish();
      leave();
    });
    this.#subscription = this.#options.fanOut.subscribe({
      nodeId: this.#nodeId,
      send: (message) => this.#write(message),
      end: () => {
        this.#finish();
        this.#stream.end();
      },
    });
    if (this.#over) this.#subscription.cancel();
  }

  /** False when the client has to catch up first. */
  #write(message: MapResponse): boolean {
    if (this.#over) return false;
    this.#arm();
    if (this.#stream.write(frameOf(message, this.#compress))) return true;
    this.#stalled = true;
    this.#deadline?.cancel();
    this.#deadline = this.#options.scheduler.after(STALLED_MS, () => this.#stream.destroy());
    return false;
  }

  #arm(): void {
    this.#keepAlive?.cancel();
    const wait = KEEP_ALIVE_MS + this.#options.jitter() * KEEP_ALIVE_JITTER_MS;
    this.#keepAlive = this.#options.scheduler.after(wait, () => {
      if (this.#over || this.#stalled) return;
      this.#write({ KeepAlive: true, ControlTime: goTime(this.#options.scheduler.wall()) });
      this.#ping();
    });
  }

  #ping(): void {
    const session = this.#stream.session;
    if (session === undefined || session.destroyed) return;
    const timeout = this.#options.scheduler.after(PING_TIMEOUT_MS, () => session.destroy());
    session.once("close", () => timeout.cancel());
    session.ping(() => timeout.cancel());
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#keepAlive?.cancel();
    this.#deadline?.cancel();
    this.#subscription?.cancel();
  }
}
