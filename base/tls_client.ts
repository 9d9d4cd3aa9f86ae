/** TLS on a connection that stands, and what its certificate is worth. */
import type { Socket } from "node:net";
import { checkServerIdentity, connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { discard } from "./discard.ts";
import { parseIp } from "./ip.ts";
import { certificateFailure } from "./tls_failure.ts";

/** What servers are judged by. */
export interface TlsTrust {
  /** PEM roots; absent means the runtime's own. */
  readonly ca?: readonly string[];
  /** Unix milliseconds, for the dates of certificates in messages. */
  readonly now: () => number;
}

/** TLS that stands. */
export interface TlsConnection {
  readonly socket: TLSSocket;
  /** What is wrong with the server's certificate, to stand behind "Cannot trust …: "; undefined where nothing is. */
  readonly flaw: string | undefined;
}

/** The name for a ClientHello: an IP address has no place there (RFC 6066 3). */
export function serverName(host: string): string {
  return parseIp(host) === undefined ? host : "";
}

/**
 * Opens it whatever the certificate says; `flaw` is for the caller to judge. `plain` is destroyed with it on failure.
 * @throws what the socket says, or the signal's reason.
 */
export async function openTls(
  plain: Socket,
  host: string,
  { ca, now }: TlsTrust,
  signal: AbortSignal,
): Promise<TlsConnection> {
  // The TLS socket reports what befalls the one under it, whose own report would be nobody's.
  plain.on("error", () => {});
  const socket = await opened(
    connect({
      socket: plain,
      host,
      servername: serverName(host),
      rejectUnauthorized: false,
      ...(ca && { ca: [...ca] }),
    }),
    "secureConnect",
    signal,
  ).catch((error) => {
    plain.destroy();
    throw error;
  });
  const certificate = socket.getPeerCertificate(true);
  const mismatch = checkServerIdentity(host, certificate);
  if (socket.authorized && mismatch === undefined) return { socket, flaw: undefined };
  const reason = mismatch?.message ?? String(socket.authorizationError);
  return { socket, flaw: certificateFailure(certificate, reason, now()) };
}

/** Waits for a socket's event; destroys the socket when an error or the signal comes first. */
export function opened<T extends Socket>(
  socket: T,
  event: "connect" | "secureConnect",
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void) => {
      socket.removeListener(event, onOpen);
      socket.removeListener("error", onError);
      socket.removeListener("close", onClose);
      signal.removeEventListener("abort", onAbort);
      run();
    };
    const fail = (error: unknown) =>
      settle(() => {
        discard(socket);
        reject(error);
      });
    const onOpen = () => settle(() => resolve(socket));
    const onError = (error: Error) => fail(error);
    const onClose = () => fail(new Error("the connection was closed while it was being opened"));
    const onAbort = () => fail(signal.reason);
    socket.once(event, onOpen);
    socket.once("error", onError);
    socket.once("close", onClose);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
