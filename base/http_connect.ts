/** CONNECT: a web server asked to join this stream to another one's. RFC 9110 9.3.6. */
import type { Duplex } from "node:stream";
import { toBase64, utf8 } from "./bytes.ts";
import { type HttpHead, readHttpHead } from "./http_head.ts";
import type { Login } from "./secret.ts";

/** What is asked for. */
export interface ConnectRequest {
  /** "host:port" to connect to. */
  readonly target: string;
  /** Value of `Host`. */
  readonly hostHeader: string;
  readonly login?: Login;
}

/**
 * Asks, and gives what was answered, whatever the status; the stream is paused and stays the caller's.
 * @throws Error whose message goes on from the name of who was asked; the signal's reason.
 */
export async function connectByHttp(stream: Duplex, request: ConnectRequest, signal: AbortSignal): Promise<HttpHead> {
  const { target, hostHeader, login } = request;
  const lines = [`CONNECT ${target} HTTP/1.1`, `Host: ${hostHeader}`];
  if (login !== undefined) {
    lines.push(`Proxy-Authorization: Basic ${toBase64(utf8(`${login.user}:${login.password.reveal()}`))}`);
  }
  stream.write(utf8(`${lines.join("\r\n")}\r\n\r\n`));
  return await readHttpHead(stream, signal).catch((error) => {
    if (signal.aborted) throw signal.reason;
    throw new Error(`gave no answer: ${(error as Error).message}`, { cause: error });
  });
}
