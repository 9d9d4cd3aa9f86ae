/**
 * HTTP/2 over the Noise stream, prior knowledge, both ends. What Deno's `node:http2` needs said is said here once:
 *
 * - A GET with a body (all of Tailnet Lock's calls) needs `{ endStream: false }`: without it the stream is ended at
 *   once and writing the body throws.
 * - A session over a Duplex of ours is a server's by `performServerHandshake`, which has no HTTP/1 fallback.
 * - The session is not reentrant: a Duplex whose answer arrives within a write loses bytes. Sockets never do that; a
 *   pair in memory must wait a turn (`tests/support/socket_pair.ts`).
 */
import http2 from "node:http2";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from "node:http2";
import type { Duplex } from "node:stream";

export type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream };

/** Window of a client, per stream and per connection. A netmap of 10,000 peers is megabytes; every 64 KiB of it would
 * cost a round trip otherwise. */
const CLIENT_WINDOW = 1 << 20;

/** A client's session on an open stream. The caller listens to "error" and "close". */
export function http2Client(duplex: Duplex, authority: string): ClientHttp2Session {
  const session = http2.connect(`https://${authority}`, {
    createConnection: () => duplex,
    settings: { enablePush: false, initialWindowSize: CLIENT_WINDOW },
  });
  session.once("connect", () => session.setLocalWindowSize(CLIENT_WINDOW));
  return session;
}

/** Starts a request that will have a body, whatever its method. */
export function http2Request(session: ClientHttp2Session, headers: OutgoingHttpHeaders): ClientHttp2Stream {
  return session.request(headers, { endStream: false });
}

/** A server's session on an open stream; `onStream` is called for each request. The caller listens to "error". */
export function http2Server(
  duplex: Duplex,
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): ServerHttp2Session {
  const session = http2.performServerHandshake(duplex, { settings: { maxConcurrentStreams: 100 } });
  session.on("stream", onStream);
  return session;
}
