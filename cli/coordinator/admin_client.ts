/**
 * The operator's operations from the command line.
 *
 * ```
 *   socket answers ──────────────────────▶ over the socket
 *   no socket, or nobody behind it ──────▶ on the file, under its exclusive lock (not with --socket alone)
 *   file locked ─────────────────────────▶ a server that is starting: ask the socket again, a few times;
 *                                          then a server whose socket is elsewhere: say so
 * ```
 */
import { request } from "node:http";
import { join } from "node:path";
import type { AdminOperations } from "../../control/server/admin.ts";
import { CliError } from "../exit_codes.ts";
import type { FlagTable } from "../flags.ts";

/** Flags that every sub-command has. */
export const ADMIN_FLAGS = {
  statedir: { type: "string", value: "DIR", help: "the coordinator's state", fallback: "/var/lib/agent/coordinator" },
  socket: { type: "string", value: "PATH", help: "the running coordinator's socket (default in the state directory)" },
  json: { type: "boolean", help: "print JSON" },
} as const satisfies FlagTable;

/** Where to find the coordinator. */
export interface AdminPlace {
  readonly statedir: string;
  /** "": in the state directory. */
  readonly socket: string;
}

class NobodyAnswers extends Error {}

/** One request. @throws CliError with the coordinator's own words, NobodyAnswers when there is no coordinator. */
function call<T>(socketPath: string, method: string, path: string, body?: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const headers = { host: "local-coordinator.sock", "content-type": "application/json" };
    const outgoing = request({ socketPath, method, path, headers }, (incoming) => {
      const chunks: Uint8Array[] = [];
      incoming.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      incoming.once("error", reject);
      incoming.once("end", async () => {
        try {
          const text = await new Blob(chunks as BlobPart[]).text();
          const value = JSON.parse(text);
          if (incoming.statusCode === 200) resolve(value);
          else reject(new CliError(value.error ?? text));
        } catch (cause) {
          reject(new CliError(`Cannot understand the answer on ${socketPath}`, 1, { cause }));
        }
      });
    });
    outgoing.once("error", (cause: Error & { code?: string }) => {
      const nobody = cause.code === "ENOENT" || cause.code === "ECONNREFUSED";
      const denied = cause.code === "EACCES" || cause.code === "EPERM";
      const text = `Cannot ask the coordinator on ${socketPath}: ${
        denied ? "permission denied; run as root" : cause.message
      }`;
      reject(nobody ? new NobodyAnswers(text, { cause }) : new CliError(text, 1, { cause }));
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function overSocket(path: string): AdminOperations {
  return {
    createKey: (key) => call(path, "POST", "/keys", key),
    listKeys: () => call(path, "GET", "/keys"),
    expireKey: (id) => call(path, "POST", "/keys/expire", { id }),
    listNodes: () => call(path, "GET", "/nodes"),
    expireNode: (node) => call(path, "POST", "/nodes/expire", { node }),
    deleteNode: (node) => call(path, "POST", "/nodes/delete", { node }),
    setRoutes: (request) => call(path, "POST", "/routes", request),
    listLogins: () => call(path, "GET", "/logins"),
    approveLogin: (approval) => call(path, "POST", "/logins", approval),
  };
}

/** Each try waits a second for the file's lock. */
const TRIES = 3;

/** Runs one operation where it can be run. Any other failure of it rejects with a text for the operator. */
export async function administer<T>(place: AdminPlace, run: (admin: AdminOperations) => Promise<T>): Promise<T> {
  const socket = place.socket !== "" ? place.socket : join(place.statedir, "coordinator.sock");
  for (let tries = 1;; tries++) {
    try {
      return await run(overSocket(socket));
    } catch (error) {
      if (!(error instanceof NobodyAnswers)) throw error;
      // Whoever names a socket means that coordinator, and not what may lie in the default directory.
      if (place.socket !== "" && place.statedir === ADMIN_FLAGS.statedir.fallback) {
        throw new CliError(`${error.message}; start it, or give its --statedir to work on its files`, 1, {
          cause: error,
        });
      }
    }
    const { openOfflineAdmin } = await import("../../control/server/offline_admin.ts");
    let offline;
    try {
      offline = await openOfflineAdmin(place.statedir);
    } catch (error) {
      if (tries < TRIES && (error as Error).name === "StoreLockedError") continue;
      throw error;
    }
    try {
      return await run(offline.admin);
    } finally {
      await offline.close();
    }
  }
}
