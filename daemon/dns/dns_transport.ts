/** DNS messages over the machine's sockets. They follow the system's routes, the tunnel's included. */
import { createSocket } from "node:dgram";
import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { connect as connectTcp } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { concat } from "../../base/bytes.ts";
import { formatIp, parseIp } from "../../base/ip.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { DnsTransport } from "./forwarder.ts";
import type { DohServer } from "./upstream.ts";

/** How long TCP, and HTTPS to one address, may take. */
const STREAM_MS = 5_000;
/** A connection to a provider is kept this long without a question. */
const IDLE_MS = 10_000;
const MAX_MESSAGE = 0xffff;
const MEDIA_TYPE = "application/dns-message";

/** The transport. @param roots PEM, for HTTPS. */
export function systemDnsTransport(roots: readonly string[]): DnsTransport & Disposable {
  const sessions = new Map<string, Promise<ClientHttp2Session>>();
  return {
    udp,
    tcp,
    https: (server, query, signal) =>
      server.url.startsWith("http:")
        ? postPlain(server, query, signal)
        : postHttps(sessions, roots, server, query, signal),
    [Symbol.dispose]: () => {
      for (const session of sessions.values()) session.then((open) => open.destroy(), () => {});
    },
  };
}

function udp(
  { ip, port }: AddrPort,
  query: Uint8Array,
  accept: (bytes: Uint8Array) => boolean,
  signal: AbortSignal,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const host = formatIp(ip);
    const socket = createSocket(ip.length === 4 ? "udp4" : "udp6");
    const end = (settle: () => void) => {
      signal.removeEventListener("abort", onAbort);
      socket.removeAllListeners("message");
      socket.close();
      settle();
    };
    const onAbort = () => end(() => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", (error) => end(() => reject(error)));
    socket.on("message", (bytes, from) => {
      const source = parseIp(from.address);
      if (from.port !== port || source === undefined || formatIp(source) !== host) return;
      if (accept(bytes)) end(() => resolve(new Uint8Array(bytes)));
    });
    socket.send(query, port, host, (error) => {
      if (error) end(() => reject(error));
    });
  });
}

async function tcp({ ip, port }: AddrPort, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  return await askByTcp(() => connectTcp({ host: formatIp(ip), port }), query, signal);
}

/** Length before each message, RFC 1035 4.2.2. @param connect begins a connection, or gives one that stands */
export async function askByTcp(
  connect: (signal: AbortSignal) => Socket | Promise<Socket>,
  query: Uint8Array,
  outer: AbortSignal,
): Promise<Uint8Array> {
  const signal = AbortSignal.any([outer, AbortSignal.timeout(STREAM_MS)]);
  signal.throwIfAborted();
  const socket = await connect(signal);
  const onAbort = () => socket.destroy(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    socket.write(frame(query));
    return await readFrame(socket);
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
  }
}

/** A message with its length before it. */
export function frame(message: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(message.length >> 8, message.length & 0xff), message);
}

async function readFrame(socket: Socket): Promise<Uint8Array> {
  let bytes = new Uint8Array(0);
  for await (const chunk of socket) {
    bytes = concat(bytes, chunk);
    const length = bytes.length < 2 ? Infinity : bytes[0] << 8 | bytes[1];
    if (bytes.length >= 2 + length) return bytes.subarray(2, 2 + length);
  }
  throw new Error("the server closed the connection before it answered");
}

/** HTTP/2 to the first address that answers. @throws the last failure */
async function openSession(server: DohServer, roots: readonly string[]): Promise<ClientHttp2Session> {
  const { hostname, port, origin } = new URL(server.url);
  let failure: unknown;
  for (const address of server.addresses) {
    try {
      const socket = await new Promise<ReturnType<typeof connectTls>>((resolve, reject) => {
        const opening = connectTls({
          host: address,
          port: Number(port || 443),
          servername: hostname,
          ca: [...roots],
          ALPNProtocols: ["h2"],
        });
        const timer = setTimeout(() => opening.destroy(new Error(`${address} did not answer`)), STREAM_MS);
        opening.once("error", (error) => {
          clearTimeout(timer);
          reject(error);
        });
        opening.once("secureConnect", () => {
          clearTimeout(timer);
          resolve(opening);
        });
      });
      const session = connectHttp2(origin, { createConnection: () => socket });
      session.on("error", () => {});
      session.setTimeout(IDLE_MS, () => session.close());
      return session;
    } catch (error) {
      failure = error;
    }
  }
  throw failure ?? new Error(`${server.url} has no address`);
}

/** RFC 8484 4.1. */
async function postHttps(
  sessions: Map<string, Promise<ClientHttp2Session>>,
  roots: readonly string[],
  server: DohServer,
  query: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  let opening = sessions.get(server.url);
  if (opening === undefined) {
    const forget = () => {
      if (sessions.get(server.url) === opening) sessions.delete(server.url);
    };
    opening = openSession(server, roots);
    sessions.set(server.url, opening);
    opening.then((session) => session.on("close", forget), forget);
  }
  const session = await opening;
  signal.throwIfAborted();
  const { pathname, search } = new URL(server.url);
  const stream = session.request({
    ":method": "POST",
    ":path": pathname + search,
    "content-type": MEDIA_TYPE,
    "accept": MEDIA_TYPE,
    "content-length": String(query.length),
  });
  return await new Promise((resolve, reject) => {
    const onAbort = () => stream.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    const chunks: Uint8Array[] = [];
    let size = 0;
    let status = 0;
    stream.on("response", (headers) => status = Number(headers[":status"]));
    stream.on("data", (chunk: Uint8Array) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_MESSAGE) stream.destroy();
    });
    stream.on("error", reject);
    stream.on("end", () => status === 200 ? resolve(concat(...chunks)) : reject(new Error(`HTTP status ${status}`)));
    stream.on("close", () => {
      signal.removeEventListener("abort", onAbort);
      reject(signal.aborted ? signal.reason : new Error("the connection broke"));
    });
    stream.end(query);
  });
}

/** As above without TLS: to a node of the tailnet, where the tunnel seals it. */
function postPlain(server: DohServer, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": MEDIA_TYPE, "accept": MEDIA_TYPE, "content-length": query.length };
    const call = request(server.url, { method: "POST", headers, signal }, async (response) => {
      try {
        const chunks: Uint8Array[] = [];
        let size = 0;
        for await (const chunk of response) {
          chunks.push(chunk);
          size += chunk.length;
          if (size > MAX_MESSAGE) throw new Error("the answer is too long");
        }
        if (response.statusCode !== 200) throw new Error(`HTTP status ${response.statusCode}`);
        resolve(concat(...chunks));
      } catch (error) {
        reject(error);
      }
    });
    call.on("error", reject);
    call.end(query);
  });
}
