/**
 * The way in for nodes: `GET /key` in clear, then everything inside Noise.
 *
 * ```
 *   GET /key?v=<capability version> ─▶ {legacyPublicKey: zeros, publicKey}
 *   POST /ts2021, Upgrade: tailscale-control-protocol, X-Tailscale-Handshake: base64(initiation)
 *       ─▶ 101, handshake response, then records: early payload {nodeKeyChallenge}, HTTP/2
 * ```
 * Source: control/controlhttp/controlhttpserver, control/ts2021.
 */
import type { Duplex } from "node:stream";
import type { IncomingMessage, ServerResponse } from "node:http";
import { clamp, X25519Private } from "../../base/x25519.ts";
import { MachinePrivate } from "../../base/keys.ts";
import type { RandomBytes } from "../../base/keys.ts";
import type { Scheduler, Timer } from "../../base/clock.ts";
import { concat, fromBase64, toHex, utf8 } from "../../base/bytes.ts";
import { encodeEarlyPayload } from "../wire/early_payload.ts";
import { http2Server } from "../wire/h2.ts";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "../wire/h2.ts";
import { answerHandshake, errorMessage, isRefused } from "../wire/handshake.ts";
import { GoawayFilter } from "../wire/goaway_filter.ts";
import { NoiseDuplex } from "../wire/noise_duplex.ts";
import { ZERO_MACHINE_KEY } from "../wire/tailcfg.ts";
import type { OverTLSPublicKeyResponse } from "../wire/tailcfg.ts";

/** Value of the Upgrade header. */
export const UPGRADE = "tailscale-control-protocol";
/** First capability version whose clients take an early payload. */
const EARLY_PAYLOAD_VERSION = 49;
/** A connection without a request for so long is closed; clients dial again when they need one. */
const IDLE_MS = 180_000;

const SWITCHING = utf8(
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${UPGRADE}\r\nConnection: upgrade\r\n\r\n`,
);

export interface NoiseServerOptions {
  readonly machineKey: MachinePrivate;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** Answers one request of the machine whose key the handshake has proven. */
  readonly onRequest: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, machineKey: string) => void;
}

/** Accepts control connections. */
export class NoiseServer {
  readonly #options: NoiseServerOptions;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(options: NoiseServerOptions) {
    this.#options = options;
  }

  /** Open control connections. */
  get connections(): number {
    return this.#sessions.size;
  }

  /** `GET /key`. */
  serveKey(request: IncomingMessage, response: ServerResponse): void {
    const version = new URL(request.url ?? "/", "http://coordinator").searchParams.get("v");
    if (version === null || !/^[0-9]+$/.test(version)) {
      response.writeHead(400, { "content-type": "text/plain" });
      return void response.end("want /key?v=<capability version>: clients without Noise are not served\n");
    }
    const keys: OverTLSPublicKeyResponse = {
      legacyPublicKey: ZERO_MACHINE_KEY,
      publicKey: this.#options.machineKey.public.toString(),
    };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(keys));
  }

  /**
   * Takes over a connection that asked to be upgraded. Always answers or closes it.
   *
   * @param head bytes that came after the request.
   */
  upgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): void {
    const { machineKey, random } = this.#options;
    socket.on("error", () => socket.destroy());
    if (request.method !== "POST") return refuse(socket, "want POST");
    const initiation = fromBase64(String(request.headers["x-tailscale-handshake"] ?? ""));
    if (initiation === undefined) return refuse(socket, "invalid tailscale handshake header");
    const answer = answerHandshake(machineKey, initiation, MachinePrivate.generate(random));
    // Inside the upgrade, where clients expect it: a key that does not fit makes them ask for `/key` again.
    if (isRefused(answer)) return void socket.end(concat(SWITCHING, errorMessage(answer.refused)));
    socket.write(concat(SWITCHING, answer.response));
    const noise = new NoiseDuplex(socket, answer.session, { head, goaway: new GoawayFilter() });
    if (answer.session.version >= EARLY_PAYLOAD_VERSION) {
      const challenge = new X25519Private(clamp(random(32))).publicKey;
      noise.write(encodeEarlyPayload({ nodeKeyChallenge: `chalpub:${toHex(challenge)}` }));
    }
    this.#serve(noise, answer.session.peer.toString());
  }

  /** Closes every connection at once. */
  close(): void {
    for (const session of this.#sessions) session.destroy();
  }

  #serve(noise: NoiseDuplex, machineKey: string): void {
    let open = 0;
    let idle: Timer | undefined;
    const wait = () => {
      idle?.cancel();
      idle = this.#options.scheduler.after(IDLE_MS, () => session.destroy());
    };
    const session = http2Server(noise, (stream, headers) => {
      open++;
      idle?.cancel();
      stream.once("close", () => {
        if (--open === 0 && !session.destroyed) wait();
      });
      this.#options.onRequest(stream, headers, machineKey);
    });
    this.#sessions.add(session);
    wait();
    // What goes wrong on one connection ends that connection and is the client's to report.
    session.on("error", () => session.destroy());
    // A client that is killed closes its end, and nothing more comes; its session would not notice by itself.
    noise.once("end", () => session.destroy());
    session.once("close", () => {
      idle?.cancel();
      this.#sessions.delete(session);
      noise.destroy();
    });
  }
}

function refuse(socket: Duplex, why: string): void {
  const body = `${why}\n`;
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}
