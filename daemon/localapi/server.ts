/**
 * The LocalAPI: HTTP/1.1 on a unix socket, for the command line and for Tailscale's own tools.
 *
 * ```
 *   accept ─▶ SO_PEERCRED ─▶ Referer, Origin, Host ─▶ path ─▶ handler ─▶ answer
 *                 │ unknown        │ 403                │ 404
 *                 └─▶ 403, closed                                    └─▶ another protocol: `dial`
 * ```
 * A browser cannot reach a unix socket, but a proxy somebody puts before it can: hence the header rules (TS-2022-004).
 * Root and the operator may write, everybody else may read. Source: ipn/localapi/localapi.go, ipn/ipnserver.
 */
import { createServer, ServerResponse as Response } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Log } from "../log.ts";
import { joinSockets } from "./join_sockets.ts";
import { BadRequest, errorText, messageOf } from "./reply.ts";
import type { ApiRequest, Handler, Reply } from "./reply.ts";
import { claimSocket, SocketError } from "./socket_file.ts";

/** Who is at the other end of a connection. */
export interface Credentials {
  readonly uid: number;
  readonly pid: number;
}

/** What a server needs. */
export interface LocalApiOptions {
  /** Path of the socket. */
  readonly path: string;
  readonly version: string;
  readonly capabilityVersion: number;
  /** Handlers by what follows `/localapi/v0/`. */
  readonly routes: Readonly<Record<string, Handler>>;
  /** The caller of an accepted connection; throws when the kernel does not say. */
  readonly credentials: (socket: Socket) => Credentials;
  /** Whether this user may change the node. */
  readonly canWrite: (uid: number) => boolean;
  readonly log: Log;
}

/** Largest body taken. Preferences with thousands of routes are far below it. */
export const MAX_BODY = 4 << 20;
/** How long a refused caller may take to send the rest of its body, ms. */
const READ_AWAY_MS = 1_000;
const PREFIX = "/localapi/v0/";
/** The Host that Tailscale's clients send (apitype.LocalAPIHost). */
const HOST = "local-tailscaled.sock";

const HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; frame-ancestors 'none'; script-src 'none'; script-src-elem 'none'; script-src-attr 'none'",
  "X-Frame-Options": "DENY",
  "X-Content-Type-Options": "nosniff",
};

/** Tailscale's answer to whatever may come from a web page. */
const FORGED = errorText(403, "invalid localapi request");

/** Whether headers are those of a local program and not of a web page. Every spelling and repetition counts. */
export function isLocalRequest(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    const value = rawHeaders[i + 1];
    if ((name === "referer" || name === "origin") && value !== "") return false;
    if (name === "host" && value !== "" && value !== HOST) return false;
  }
  return true;
}

/** The running server. */
export class LocalApiServer {
  readonly #options: LocalApiOptions;
  readonly #server: Server;
  readonly #callers = new WeakMap<Socket, Credentials>();
  readonly #sockets = new Set<Socket>();

  private constructor(options: LocalApiOptions) {
    this.#options = options;
    // A body may stay open for hours (`bugreport?record`); Node would end it after five minutes.
    this.#server = createServer({ requestTimeout: 0 }, (request, response) => void this.#serve(request, response));
    // Whoever asks for another protocol and is not given it gets an answer like everybody else.
    this.#server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Uint8Array) => {
      const response = new Response(request);
      response.assignSocket(socket);
      response.shouldKeepAlive = false;
      response.on("finish", () => socket.end());
      if (head.length > 0) socket.unshift(head);
      void this.#serve(request, response, String(request.headers.upgrade ?? ""));
    });
    this.#server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  /** Claims the socket and listens. @throws SocketError when another daemon answers there, or it cannot be made. */
  static async listen(options: LocalApiOptions): Promise<LocalApiServer> {
    await claimSocket(options.path);
    const server = new LocalApiServer(options);
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: Error) =>
        reject(new SocketError(`Cannot listen on ${options.path}: ${messageOf(cause)}; give --socket another path`));
      server.#server.once("error", failed);
      server.#server.listen(options.path, () => {
        server.#server.removeListener("error", failed);
        resolve();
      });
    });
    // Everybody may connect; who they are decides what they may do.
    Deno.chmodSync(options.path, 0o666);
    return server;
  }

  /** Stops listening, ends all connections and removes the socket. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    try {
      Deno.removeSync(this.#options.path);
    } catch {
      // Node removes it too.
    }
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    try {
      this.#callers.set(socket, this.#options.credentials(socket));
    } catch (cause) {
      this.#options.log.warn(`refused a caller of the LocalAPI: ${messageOf(cause)}`);
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse, upgrade = ""): Promise<void> {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    response.on("error", () => gone.abort());
    let reply: Reply;
    try {
      reply = await this.#answer(request, upgrade, gone.signal);
    } catch (cause) {
      if (cause instanceof BadRequest) reply = errorText(cause.status, cause.message);
      else {
        this.#options.log.error(`localapi ${request.url}: ${cause instanceof Error ? cause.stack : cause}`);
        reply = errorText(500, messageOf(cause));
      }
    }
    if (reply.kind === "body" && reply.status >= 400) await readAway(request);
    if (!gone.signal.aborted) await this.#send(response, reply, gone.signal);
  }

  async #answer(request: IncomingMessage, upgrade: string, signal: AbortSignal): Promise<Reply> {
    const credentials = this.#callers.get(request.socket);
    if (credentials === undefined) throw new BadRequest(403, "caller unknown");
    if (!isLocalRequest(request.rawHeaders)) return FORGED;
    const target = request.url ?? "";
    const question = target.indexOf("?");
    const path = question < 0 ? target : target.slice(0, question);
    if (path === "/") return { kind: "body", status: 200, type: "text/plain; charset=utf-8", text: "tailscaled\n" };
    const name = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : "";
    const { routes, canWrite, log } = this.#options;
    const route = findRoute(routes, name);
    if (route === undefined) return errorText(404, "404 page not found");
    const method = request.method ?? "GET";
    if (method !== "GET" && method !== "HEAD" && method !== "OPTIONS") {
      log.debug(`localapi: [${method}] ${PREFIX}${name} by uid ${credentials.uid}`);
    }
    const apiRequest: ApiRequest = {
      method,
      rest: route.rest,
      query: new URLSearchParams(question < 0 ? "" : target.slice(question + 1)),
      header: (name) => String(request.headers[name] ?? ""),
      upgrade,
      caller: { uid: credentials.uid, pid: credentials.pid, canWrite: canWrite(credentials.uid) },
      signal,
      json: () => readJson(request),
      bytes: () => readBody(request),
    };
    return await route.handler(apiRequest);
  }

  async #send(response: ServerResponse, reply: Reply, signal: AbortSignal): Promise<void> {
    const { version, capabilityVersion } = this.#options;
    const headers = { ...HEADERS, "Tailscale-Version": version, "Tailscale-Cap": String(capabilityVersion) };
    try {
      switch (reply.kind) {
        case "body":
          response.writeHead(reply.status, {
            ...headers,
            // What is left of a body nobody reads must not be taken for the next request.
            ...(reply.status >= 400 && { "Connection": "close" }),
            "Content-Type": reply.type,
            "Content-Length": new TextEncoder().encode(reply.text).length,
          });
          response.end(reply.text);
          return;
        case "octets":
          response.writeHead(200, {
            ...headers,
            "Content-Type": "application/octet-stream",
            "Content-Length": reply.bytes.length,
          });
          response.end(reply.bytes);
          return;
        case "empty":
          response.writeHead(reply.status, { ...headers, ...reply.headers });
          response.end();
          return;
        case "upgrade": {
          const { socket } = response;
          if (socket === null) return void reply.to.destroy();
          response.detachSocket(socket);
          socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${reply.protocol}\r\nConnection: upgrade\r\n\r\n`);
          await joinSockets(socket, reply.to);
          return;
        }
        case "stream":
          response.writeHead(200, { ...headers, "Content-Type": "application/json" });
          // The caller takes the headers for the sign that nothing it does from now on is missed.
          response.flushHeaders();
          await sendLines(response, reply.lines, signal);
          response.end();
      }
    } catch (cause) {
      if (!signal.aborted) this.#options.log.debug(`localapi: ${messageOf(cause)}`);
      response.destroy();
    }
  }
}

/** The route of this name, or the one up to its last slash, which then gets what follows. */
function findRoute(
  routes: Readonly<Record<string, Handler>>,
  name: string,
): { readonly handler: Handler; readonly rest: string } | undefined {
  if (Object.hasOwn(routes, name)) return { handler: routes[name], rest: "" };
  const folder = name.slice(0, name.lastIndexOf("/") + 1);
  if (folder === "" || !Object.hasOwn(routes, folder)) return undefined;
  try {
    return { handler: routes[folder], rest: decodeURIComponent(name.slice(folder.length)) };
  } catch {
    return undefined;
  }
}

/** The source ends by itself when the signal fires, or is told so at its next line. */
async function sendLines(response: ServerResponse, lines: AsyncIterable<string>, signal: AbortSignal): Promise<void> {
  for await (const line of lines) {
    if (signal.aborted) return;
    if (!response.write(line)) await drained(response);
  }
}

/** Resolves when there is room again, or nobody is left to read. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.removeListener("drain", done);
      response.removeListener("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}

/**
 * Reads what is left of a body that nobody wants, within bounds: a caller who still writes when the connection closes
 * would see a broken pipe instead of the reason it was refused.
 */
function readAway(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let size = 0;
    const timer = setTimeout(resolve, READ_AWAY_MS);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    request.on("data", (chunk: Uint8Array) => {
      size += chunk.length;
      if (size > MAX_BODY) done();
    });
    for (const event of ["end", "close", "error"]) request.on(event, done);
    request.resume();
  });
}

async function readBody(request: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = new BadRequest(413, `request body is larger than ${MAX_BODY} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY) throw tooLarge;
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const text = new TextDecoder().decode(await readBody(request));
  if (text.trim() === "") throw new BadRequest(400, "EOF");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BadRequest(400, `invalid JSON body: ${messageOf(cause)}`);
  }
}
