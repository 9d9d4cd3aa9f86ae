/**
 * The operator's socket: JSON over HTTP on a unix socket that only root can open.
 *
 * | request            | body                                      | answer         |
 * |--------------------|-------------------------------------------|----------------|
 * | GET /keys          |                                           | KeySummary[]   |
 * | POST /keys         | KeyRequest                                | CreatedKey     |
 * | POST /keys/expire  | {id}                                      | KeySummary     |
 * | GET /nodes         |                                           | NodeSummary[]  |
 * | POST /nodes/expire | {node}                                    | NodeSummary    |
 * | POST /nodes/delete | {node}                                    | NodeSummary    |
 * | POST /routes       | RouteRequest                              | NodeSummary    |
 * | GET /logins        |                                           | LoginSummary[] |
 * | POST /logins       | ApproveRequest                            | NodeSummary    |
 *
 * A failed operation is 400 `{error}`. Mode 0600 keeps other users out; the credentials of each connection are checked
 * besides, since modes are easily changed by hand. A request that a browser could have been talked into (Origin,
 * Referer, a foreign Host) is refused (TS-2022-004).
 */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { fromUtf8 } from "../../base/bytes.ts";
import type { AdminOperations, ApproveRequest, KeyRequest, RouteRequest } from "./admin.ts";
import { readBody } from "./request_body.ts";

/** `Host` of requests to the socket. */
export const ADMIN_HOST = "local-coordinator.sock";
const MAX_BODY = 64 << 10;

/** The effective user ID of a connection's other end (SO_PEERCRED), or undefined when it cannot be told. */
export type PeerUid = (socket: Socket) => number | undefined;

export interface AdminApiOptions {
  readonly path: string;
  readonly admin: AdminOperations;
  /** Absent: the socket's mode alone decides. */
  readonly peerUid?: PeerUid;
  /** The only user let in besides root: the one the server runs as. */
  readonly ownUid: number;
}

type Operation = (admin: AdminOperations, body: Record<string, unknown>) => Promise<unknown>;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  "GET /keys": (admin) => admin.listKeys(),
  "POST /keys": (admin, body) => admin.createKey(body as KeyRequest),
  "POST /keys/expire": (admin, body) => admin.expireKey(String(body.id)),
  "GET /nodes": (admin) => admin.listNodes(),
  "POST /nodes/expire": (admin, body) => admin.expireNode(String(body.node)),
  "POST /nodes/delete": (admin, body) => admin.deleteNode(String(body.node)),
  "POST /routes": (admin, body) => admin.setRoutes(body as unknown as RouteRequest),
  "GET /logins": (admin) => admin.listLogins(),
  "POST /logins": (admin, body) => admin.approveLogin(body as unknown as ApproveRequest),
};

function answer(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value) + "\n");
}

function admitted(request: IncomingMessage, { peerUid, ownUid }: AdminApiOptions): string | undefined {
  const { host, origin, referer } = request.headers;
  if (origin !== undefined || referer !== undefined || (host && host !== ADMIN_HOST && host !== "localhost")) {
    return "this socket is not for browsers";
  }
  if (peerUid === undefined) return undefined;
  const uid = peerUid(request.socket);
  if (uid === undefined) return "cannot tell who is asking";
  return uid === 0 || uid === ownUid ? undefined : `user ${uid} may not administer this coordinator: run it as root`;
}

async function serve(request: IncomingMessage, response: ServerResponse, options: AdminApiOptions): Promise<void> {
  const refusal = admitted(request, options);
  if (refusal !== undefined) return answer(response, 403, { error: refusal });
  const operation = OPERATIONS[`${request.method} ${request.url}`];
  if (operation === undefined) return answer(response, 404, { error: "no such operation; is this agent older?" });
  try {
    const bytes = await readBody(request, MAX_BODY);
    if (bytes === undefined) return answer(response, 413, { error: `request over ${MAX_BODY} bytes` });
    const body = bytes.length === 0 ? {} : JSON.parse(fromUtf8(bytes) ?? "");
    if (typeof body !== "object" || body === null || Array.isArray(body)) {
      return answer(response, 400, { error: "want a JSON object" });
    }
    answer(response, 200, await operation(options.admin, body));
  } catch (error) {
    answer(response, 400, { error: (error as Error).message });
  }
}

/** True when a server answers on the socket. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Removes what a crashed server left, and nothing else. @throws Error when something else is in the way. */
async function clearPath(path: string): Promise<void> {
  const seen = lstatSync(path, { throwIfNoEntry: false });
  if (seen === undefined) return;
  if (!seen.isSocket()) throw new Error(`Cannot listen on ${path}: something that is no socket is there`);
  if (await isAlive(path)) throw new Error(`Cannot listen on ${path}: another coordinator answers there`);
  unlinkSync(path);
}

/** Serves the operations until the returned function is called, which also removes the socket. */
export async function listenAdmin(options: AdminApiOptions): Promise<() => Promise<void>> {
  const { path } = options;
  await clearPath(path);
  const server = http.createServer((request, response) => {
    // serve() answers its own failures; what is left is a client that hung up.
    serve(request, response, options).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new Error(`Cannot listen on ${path}: ${cause.message}`, { cause })));
    server.listen({ path }, resolve);
  });
  chmodSync(path, 0o600);
  return () =>
    new Promise((resolve) => {
      server.close(() => {
        try {
          unlinkSync(path);
        } catch {
          // Node and Deno remove it themselves on some versions.
        }
        resolve();
      });
      server.closeAllConnections?.();
    });
}
