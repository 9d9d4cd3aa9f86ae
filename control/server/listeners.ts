/** Opening and closing what listens, with errors that name the flag. */
import type { Server, Socket } from "node:net";
import { StunServer } from "../../derp/stun_server.ts";
import { isUnspecified, joinHostPort } from "./listen_policy.ts";
import type { ListenAddress } from "./listen_policy.ts";

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use; choose another or stop what has it",
  EADDRNOTAVAIL: "this machine has no such address",
  EINVAL: "this machine has no such address",
  ENOTFOUND: "no such host name",
  EACCES: "ports below 1024 need root",
};

/** Listens and resolves with the port. @throws Error that names the flag. */
export function listenTcp(server: Server, { host, port }: ListenAddress, flag: string): Promise<number> {
  track(server);
  return new Promise((resolve, reject) => {
    server.once("error", (cause: Error & { code?: string }) => {
      const why = REASONS[cause.code ?? ""] ?? cause.message;
      reject(new Error(`Cannot listen on ${flag} ${joinHostPort(host, port)}: ${why}`, { cause }));
    });
    server.listen({ port, ...(host !== "" && { host }) }, () => resolve((server.address() as { port: number }).port));
  });
}

interface Connections {
  readonly sockets: Set<Socket>;
  closing: boolean;
}

/** What is connected to each listener; a runtime's own list leaves out connections that were upgraded. */
const connections = new WeakMap<Server, Connections>();

function track(server: Server): void {
  const known: Connections = { sockets: new Set(), closing: false };
  connections.set(server, known);
  const add = (socket: Socket) => {
    // Accepted before the listener closed, told of after it.
    if (known.closing) return void socket.destroy();
    known.sockets.add(socket);
    socket.once("close", () => known.sockets.delete(socket));
  };
  server.on("connection", add);
  server.on("secureConnection", add);
}

/** Stops listening, drops what is connected, resolves when all is closed. */
export function closeServer(server: Server & { closeAllConnections?(): void }): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections?.();
    const known = connections.get(server);
    if (known === undefined) return;
    known.closing = true;
    for (const socket of known.sockets) socket.destroy();
  });
}

/** Opens the STUN responder, on both families when no address is given. @throws Error that names the flag. */
export async function listenStun({ host, port }: ListenAddress): Promise<StunServer> {
  try {
    return await StunServer.listen({ port, ...(!isUnspecified(host) && { addresses: [host] }) });
  } catch (cause) {
    const text = `Cannot use --stun-listen ${joinHostPort(host, port)}: ${(cause as Error).message}`;
    throw new Error(text, { cause });
  }
}
