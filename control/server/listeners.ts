/** Opening and closing what listens, with errors that name the flag. */
import type { Server } from "node:net";
import { StunServer } from "../../derp/stun_server.ts";
import { isUnspecified, joinHostPort } from "./listen_policy.ts";
import type { ListenAddress } from "./listen_policy.ts";

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use; choose another or stop what has it",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "ports below 1024 need root",
};

/** Listens and resolves with the port. @throws Error that names the flag. */
export function listenTcp(server: Server, { host, port }: ListenAddress, flag: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: Error & { code?: string }) => {
      const why = REASONS[cause.code ?? ""] ?? cause.message;
      reject(new Error(`Cannot listen on ${flag} ${joinHostPort(host, port)}: ${why}`, { cause }));
    });
    server.listen({ port, ...(host !== "" && { host }) }, () => resolve((server.address() as { port: number }).port));
  });
}

/** Stops listening, drops what is connected, resolves when all is closed. */
export function closeServer(server: Server & { closeAllConnections?(): void }): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections?.();
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
