/**
 * The embedded DERP server: relays packets between clients by their node keys.
 *
 * ```
 *   https server ── upgrade /derp ──▶ handleUpgrade ──▶ ServerClient ─┐ relay by key
 *                                                       ServerClient ◀┘
 *                ── request ────────▶ handleRequest     /derp/probe, /derp/latency-check, /generate_204
 * ```
 * A key may be connected several times (a client that changed networks, or a cloned machine). The connection that came
 * or spoke last gets the key's packets; when an older one speaks again the key is in two hands, and both are told by a
 * Health frame. No mesh: a region of ours has one node. Source: derp/derpserver/derpserver.go, handler.go.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { utf8 } from "../base/bytes.ts";
import type { Scheduler } from "../base/clock.ts";
import type { NodePrivate, NodePublic, RandomBytes } from "../base/keys.ts";
import { PROTOCOL_VERSION } from "./frame.ts";
import { FAST_START_HEADER } from "./http_upgrade.ts";
import { PeerGoneReason } from "./messages.ts";
import { NO_CONTENT_PATH, serveNoContent } from "./no_content.ts";
import { ServerClient } from "./server_client.ts";

const DEFAULT_MAX_CONNECTIONS = 10_000;
/** Idle time before TCP asks whether a client is still there; clients themselves need not say anything. */
const TCP_KEEP_ALIVE_MS = 30_000;
/** How long connections may take to end when the server closes. */
const CLOSE_TIMEOUT_MS = 2_000;
const DUPLICATE_KEY =
  "This node key is connected to the relay from more than one place; is this machine a clone of another?";

/** What the server needs. */
export interface DerpServerOptions {
  /** The relay's own key; kept over restarts so that clients see the same relay. */
  readonly privateKey: NodePrivate;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: (line: string) => void;
  /** Whether a key may use the relay; everyone may when absent. `remote` is the client's IP address. */
  readonly verifyClient?: (key: NodePublic, remote: string) => boolean | Promise<boolean>;
  /** Connections beyond this many are refused. */
  readonly maxConnections?: number;
}

/** What happened since the start; `connections`, `clients`, `homeClients` and `duplicateKeys` are as of now. */
export interface DerpServerCounters {
  accepts: number;
  connections: number;
  /** Keys served. */
  clients: number;
  homeClients: number;
  duplicateKeys: number;
  refused: number;
  protocolErrors: number;
  packetsIn: number;
  bytesIn: number;
  packetsOut: number;
  bytesOut: number;
  droppedQueue: number;
  droppedUnknownDestination: number;
  peerGoneDisconnected: number;
  peerGoneNotHere: number;
  pings: number;
  unknownFrames: number;
}

/** What a connection asks of the server. */
export interface DerpServerContext {
  readonly privateKey: NodePrivate;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly counters: DerpServerCounters;
  log(line: string): void;
  verify(key: NodePublic, remote: string): boolean | Promise<boolean>;
  /** The connection has proved its key and is admitted. */
  serving(client: ServerClient, key: NodePublic): void;
  /** The connection sent something. */
  active(client: ServerClient, key: NodePublic): void;
  /** Queues a packet for a key; false when the key is not here. @param payload kept. */
  relay(source: NodePublic, destination: string, payload: Uint8Array): boolean;
  closed(client: ServerClient, key: NodePublic | undefined, reason: string): void;
}

/** The connections of one key, the one that gets its packets last. */
interface KeyEntry {
  readonly key: NodePublic;
  readonly connections: ServerClient[];
  /** Connections that got packets from this key. */
  readonly heardBy: Set<ServerClient>;
  /** The key is in two hands and they were told. */
  fighting: boolean;
}

function newCounters(): DerpServerCounters {
  return {
    accepts: 0,
    connections: 0,
    clients: 0,
    homeClients: 0,
    duplicateKeys: 0,
    refused: 0,
    protocolErrors: 0,
    packetsIn: 0,
    bytesIn: 0,
    packetsOut: 0,
    bytesOut: 0,
    droppedQueue: 0,
    droppedUnknownDestination: 0,
    peerGoneDisconnected: 0,
    peerGoneNotHere: 0,
    pings: 0,
    unknownFrames: 0,
  };
}

/** A relay. It listens on nothing itself: connections come from the http(s) server it is mounted on. */
export class DerpServer {
  readonly #options: DerpServerOptions;
  readonly #counters = newCounters();
  readonly #connections = new Set<ServerClient>();
  readonly #keys = new Map<string, KeyEntry>();
  readonly #sockets = new Set<Duplex>();
  readonly #context: DerpServerContext;
  #closing = false;

  constructor(options: DerpServerOptions) {
    this.#options = options;
    this.#context = {
      privateKey: options.privateKey,
      scheduler: options.scheduler,
      random: options.random,
      counters: this.#counters,
      log: options.log,
      verify: (key, remote) => options.verifyClient?.(key, remote) ?? true,
      serving: (client, key) => this.#serving(client, key),
      active: (client, key) => this.#active(client, key),
      relay: (source, destination, payload) => this.#relay(source, destination, payload),
      closed: (client, key, reason) => this.#closed(client, key, reason),
    };
  }

  get publicKey(): NodePublic {
    return this.#options.privateKey.public;
  }

  counters(): DerpServerCounters {
    let homeClients = 0;
    let duplicateKeys = 0;
    for (const { connections } of this.#keys.values()) {
      if (connections.some((client) => client.preferred)) homeClients++;
      if (connections.length > 1) duplicateKeys++;
    }
    const sizes = { connections: this.#connections.size, clients: this.#keys.size };
    return { ...this.#counters, ...sizes, homeClients, duplicateKeys };
  }

  /** Whether a key is served now. */
  has(key: NodePublic): boolean {
    return this.#keys.has(key.hex);
  }

  /** Answers the relay's plain requests; false for a path that is not the relay's. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    switch (pathOf(request)) {
      case "/derp/probe":
      case "/derp/latency-check":
        if (request.method === "GET" || request.method === "HEAD") {
          response.writeHead(200, { "Access-Control-Allow-Origin": "*", "Content-Length": "0" }).end();
        } else response.writeHead(405, { "Content-Length": "0" }).end();
        return true;
      case NO_CONTENT_PATH:
        serveNoContent(request, response);
        return true;
      case "/derp":
        response.writeHead(426, { "Content-Type": "text/plain" }).end("DERP requires connection upgrade\n");
        return true;
      default:
        return false;
    }
  }

  /**
   * Takes over the connection of an upgrade to `/derp`; false, and nothing is touched, for any other path.
   * @param head bytes that came behind the request.
   */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): boolean {
    if (pathOf(request) !== "/derp") return false;
    if ((request.headers.upgrade ?? "").toLowerCase() !== "derp") {
      refuse(socket, "426 Upgrade Required");
      return true;
    }
    const limit = this.#options.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
    if (this.#closing || this.#connections.size >= limit) {
      this.#counters.refused++;
      refuse(socket, "503 Service Unavailable");
      return true;
    }
    const fastStart = request.headers[FAST_START_HEADER.toLowerCase()] === "1";
    this.accept(socket, request.socket?.remoteAddress ?? "", fastStart ? new Uint8Array(0) : this.#switching(), head);
    return true;
  }

  /**
   * Serves a stream on which the upgrade has been asked for.
   * @param duplex owned from now on. @param preface the answer to send first. @param head bytes already read.
   */
  accept(duplex: Duplex, remote: string, preface: Uint8Array, head: Uint8Array): void {
    this.#counters.accepts++;
    const socket = duplex as Partial<Pick<Socket, "setNoDelay" | "setKeepAlive" | "setTimeout">>;
    socket.setNoDelay?.(true);
    socket.setKeepAlive?.(true, TCP_KEEP_ALIVE_MS);
    // The http server's own idle timeout would end clients that only listen.
    socket.setTimeout?.(0);
    const client = new ServerClient(this.#context, duplex, remote);
    this.#connections.add(client);
    this.#sockets.add(duplex);
    duplex.once("close", () => this.#sockets.delete(duplex));
    client.start(preface, head);
  }

  /**
   * Ends all connections. Clients are told to come back after `reconnectInMs` each, spread evenly up to that time, so
   * that they do not all return at once; without it they come back when they like.
   */
  async close(reconnectInMs = 0): Promise<void> {
    this.#closing = true;
    const clients = [...this.#connections];
    for (const [i, client] of clients.entries()) {
      client.restart(Math.floor(reconnectInMs * (i + 1) / clients.length), reconnectInMs + 5_000);
    }
    await this.#socketsClosed();
  }

  #socketsClosed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#sockets.size === 0) return resolve();
      const timer = this.#options.scheduler.after(CLOSE_TIMEOUT_MS, () => {
        for (const socket of this.#sockets) socket.destroy();
      });
      for (const socket of this.#sockets) {
        socket.once("close", () => {
          if (this.#sockets.size > 0) return;
          timer.cancel();
          resolve();
        });
      }
    });
  }

  #switching(): Uint8Array {
    return utf8(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n" +
        `Derp-Version: ${PROTOCOL_VERSION}\r\nDerp-Public-Key: ${this.publicKey.hex}\r\n\r\n`,
    );
  }

  #serving(client: ServerClient, key: NodePublic): void {
    const entry = this.#keys.get(key.hex);
    if (entry !== undefined) entry.connections.push(client);
    else this.#keys.set(key.hex, { key, connections: [client], heardBy: new Set(), fighting: false });
  }

  #active(client: ServerClient, key: NodePublic): void {
    const entry = this.#keys.get(key.hex);
    if (entry === undefined || entry.connections.length === 1 || entry.connections.at(-1) === client) return;
    entry.connections.splice(entry.connections.indexOf(client), 1);
    entry.connections.push(client);
    if (entry.fighting) return;
    entry.fighting = true;
    this.#options.log(`derp: the key ${key.shortString()} is used by ${entry.connections.length} connections`);
    for (const connection of [...entry.connections]) connection.health(DUPLICATE_KEY);
  }

  #relay(source: NodePublic, destination: string, payload: Uint8Array): boolean {
    const receiver = this.#keys.get(destination)?.connections.at(-1);
    if (receiver === undefined) {
      this.#counters.droppedUnknownDestination++;
      return false;
    }
    if (!receiver.heardFrom.has(source.hex)) {
      receiver.heardFrom.add(source.hex);
      this.#keys.get(source.hex)?.heardBy.add(receiver);
    }
    if (receiver.deliver(source, payload)) {
      this.#counters.packetsOut++;
      this.#counters.bytesOut += payload.length;
    }
    return true;
  }

  #closed(client: ServerClient, key: NodePublic | undefined, reason: string): void {
    this.#connections.delete(client);
    if (reason !== "" && !this.#closing) this.#options.log(`derp: ${client.remote} closed: ${reason}`);
    for (const source of client.heardFrom) this.#keys.get(source)?.heardBy.delete(client);
    const entry = key && this.#keys.get(key.hex);
    if (entry === undefined) return;
    entry.connections.splice(entry.connections.indexOf(client), 1);
    if (entry.connections.length === 0) return this.#gone(entry);
    if (entry.connections.length > 1 || !entry.fighting) return;
    entry.fighting = false;
    entry.connections[0].health("");
  }

  /** The last connection of a key closed: whoever heard from it must not send there any more. */
  #gone(entry: KeyEntry): void {
    this.#keys.delete(entry.key.hex);
    for (const receiver of [...entry.heardBy]) {
      receiver.heardFrom.delete(entry.key.hex);
      this.#counters.peerGoneDisconnected++;
      receiver.peerGone(entry.key, PeerGoneReason.disconnected);
    }
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?", 1)[0];
}

function refuse(socket: Duplex, status: string): void {
  socket.on("error", () => {});
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
