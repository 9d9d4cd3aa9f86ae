/** What a LocalAPI handler is given and what it answers. The shapes of errors are Go's `http.Error` and Tailscale's own. */
import type { Duplex } from "node:stream";

/** Who asks, by the kernel's word. */
export interface Caller {
  readonly uid: number;
  readonly pid: number;
  /** Root, or the operator the preferences name. */
  readonly canWrite: boolean;
}

/** A request that passed all checks but the handler's own. */
export interface ApiRequest {
  readonly method: string;
  /** What follows a path that ends in a slash, decoded; "" for a path of its own. */
  readonly rest: string;
  readonly query: URLSearchParams;
  /** A header by its name in small letters, "" when it was not sent. */
  readonly header: (name: string) => string;
  /** The protocol to change to that was asked for; "" for none. */
  readonly upgrade: string;
  readonly caller: Caller;
  /** Fires when the caller hangs up. */
  readonly signal: AbortSignal;
  /** The body as JSON. @throws BadRequest when it is not JSON, or larger than is taken. */
  json(): Promise<unknown>;
  /** The body as it is. @throws BadRequest when it is larger than is taken. */
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
}

/** An answer. A stream is sent line by line, as lines come; it must end when the request's signal fires. */
export type Reply =
  | { readonly kind: "body"; readonly status: number; readonly type: string; readonly text: string }
  | { readonly kind: "octets"; readonly bytes: Uint8Array }
  | { readonly kind: "empty"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** From here on the caller's connection and this one are one; only where `upgrade` was asked for. */
  | { readonly kind: "upgrade"; readonly protocol: string; readonly to: Duplex }
  | { readonly kind: "stream"; readonly lines: AsyncIterable<string> };

/** Answers one path. */
export type Handler = (request: ApiRequest) => Reply | Promise<Reply>;

/** A request to be refused with a status and a text. */
export class BadRequest extends Error {
  override readonly name = "BadRequest";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Go's `http.Error`: plain text and a line break. */
export function errorText(status: number, message: string): Reply {
  return { kind: "body", status, type: "text/plain; charset=utf-8", text: `${message}\n` };
}

/** JSON with tabs, as most of Tailscale's handlers write it. */
export function json(value: unknown, status = 200): Reply {
  return { kind: "body", status, type: "application/json", text: `${JSON.stringify(value, undefined, "\t")}\n` };
}

export function noContent(): Reply {
  return { kind: "empty", status: 204 };
}

/** @throws BadRequest 403 with Tailscale's text, "<what> access denied". */
export function requireWrite(request: ApiRequest, denied: string): void {
  if (!request.caller.canWrite) throw new BadRequest(403, denied);
}

/** @throws BadRequest unless the method is the one wanted. */
export function requireMethod(request: ApiRequest, method: string, status: number, message: string): void {
  if (request.method !== method) throw new BadRequest(status, message);
}

/** The message of whatever was thrown. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
