/**
 * The path of the LocalAPI's socket: made ready, unless a daemon answers there.
 *
 * A socket file that nobody answers on is left over from a daemon that was killed, and is removed. Nothing else is ever
 * removed: a path that is something other than a socket is a mistake of the operator's.
 */
import { dirname } from "node:path";
import { reasonOf } from "../../base/reason.ts";

/** The socket cannot be had; the message says why and what to do. */
export class SocketError extends Error {
  override readonly name = "SocketError";
  /** Another daemon answers. */
  readonly busy: boolean;

  constructor(message: string, busy = false) {
    super(message);
    this.busy = busy;
  }
}

/** Linux' `sun_path` holds 108 bytes with the zero at the end (unix(7)). */
const LONGEST_PATH = 107;

async function answers(path: string): Promise<boolean> {
  try {
    const connection = await Deno.connect({ transport: "unix", path });
    connection.close();
    return true;
  } catch (cause) {
    if (cause instanceof Deno.errors.ConnectionRefused || cause instanceof Deno.errors.NotFound) return false;
    throw new SocketError(`Cannot use socket ${path}: ${reasonOf(cause)}`);
  }
}

/** Leaves the path free to listen on. @throws SocketError */
export async function claimSocket(path: string): Promise<void> {
  if (new TextEncoder().encode(path).length > LONGEST_PATH) {
    throw new SocketError(
      `Cannot use socket ${path}: its path is longer than ${LONGEST_PATH} bytes; give --socket a shorter one`,
    );
  }
  try {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new SocketError(
      `Cannot use socket ${path}: its directory cannot be made (${reasonOf(cause)}); give --socket another path`,
    );
  }
  try {
    const info = Deno.lstatSync(path);
    if (!info.isSocket) {
      throw new SocketError(
        `Cannot use socket ${path}: something else is there; remove it or give --socket another path`,
      );
    }
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    if (cause instanceof SocketError) throw cause;
    throw new SocketError(`Cannot use socket ${path}: ${reasonOf(cause)}`);
  }
  if (await answers(path)) {
    throw new SocketError(
      `Cannot listen on ${path}: another daemon is running there; stop it or give --socket another path`,
      true,
    );
  }
  Deno.removeSync(path);
}
