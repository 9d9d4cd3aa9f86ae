/** A control server of a few lines over real sockets: `/key`, `/ts2021`, and what the test answers inside Noise. */
import { randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { concat, fromBase64, toHex } from "../../base/bytes.ts";
import { MachinePrivate } from "../../base/keys.ts";
import { encodeEarlyPayload } from "../../control/wire/early_payload.ts";
import { http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "../../control/wire/h2.ts";
import { answerHandshake, isRefused } from "../../control/wire/handshake.ts";
import { NoiseDuplex } from "../../control/wire/noise_duplex.ts";
import type { TestCertificates } from "./test_ca.ts";

const random = (length: number) => new Uint8Array(randomBytes(length));

/** What the stub does with a request inside Noise. */
export type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Uint8Array) => void;

export class StubControl implements AsyncDisposable {
  /** May be changed while it runs: the server then has another identity. */
  key = MachinePrivate.generate(random);
  /** Connections that got through the handshake. */
  connections = 0;
  keyRequests = 0;
  readonly #server: http.Server;
  readonly #sockets = new Set<Socket>();
  readonly #handler: Handler;
  readonly #secure: boolean;

  private constructor(handler: Handler, certificates: TestCertificates | undefined) {
    this.#handler = handler;
    const onRequest: http.RequestListener = (request, response) => {
      if (!request.url!.startsWith("/key?v=")) return void response.writeHead(404).end("no such page");
      this.keyRequests++;
      response.end(JSON.stringify({ legacyPublicKey: `mkey:${"0".repeat(64)}`, publicKey: this.key.public }));
    };
    this.#secure = certificates !== undefined;
    this.#server = certificates === undefined
      ? http.createServer(onRequest)
      : https.createServer(certificates, onRequest);
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.#server.on("upgrade", (request, socket) => this.#upgrade(request, socket as Socket));
  }

  /** @param certificates makes it serve https. */
  static async start(handler: Handler, certificates?: TestCertificates): Promise<StubControl> {
    const stub = new StubControl(handler, certificates);
    await new Promise<void>((resolve) => stub.#server.listen(0, "127.0.0.1", resolve));
    return stub;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http${this.#secure ? "s" : ""}://127.0.0.1:${this.port}`;
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Reads nothing any more: as a host that has gone. */
  pause(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  #upgrade(request: http.IncomingMessage, socket: Socket): void {
    const initiation = fromBase64(String(request.headers["x-tailscale-handshake"]))!;
    const answer = answerHandshake(this.key, initiation, MachinePrivate.generate(random));
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n",
    );
    if (isRefused(answer)) return void socket.destroy();
    this.connections++;
    socket.write(answer.response);
    const duplex = new NoiseDuplex(socket, answer.session);
    duplex.write(encodeEarlyPayload({ nodeKeyChallenge: `chalpub:${toHex(random(32))}` }));
    const session = http2Server(duplex, async (stream, headers) => {
      stream.on("error", () => {});
      const parts: Uint8Array[] = [];
      for await (const part of stream) parts.push(part);
      this.#handler(stream, headers, concat(...parts));
    });
    session.on("error", () => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
