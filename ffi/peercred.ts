/**
 * Who is at the other end of a unix socket, as the kernel recorded it at connect(2).
 *
 *   struct ucred (12 bytes)  0 i32 pid  4 u32 uid  8 u32 gid
 *
 * `Deno.serve` shows no descriptor; sockets of `node:net` and `node:http` do. Source: unix(7), SO_PEERCRED.
 */

import { check, libc } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

export interface PeerCredentials {
  /** 0 when the peer is in another PID namespace. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** @throws FfiError when `fd` is no connected unix socket: then the caller must be refused. */
export function peerCredentials(fd: number): PeerCredentials {
  const credentials = new Uint32Array(3);
  check(
    libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, Int32Array.of(12)),
    "getsockopt",
    "identify the caller",
  );
  const [pid, uid, gid] = credentials;
  // A socket that is not connected answers pid 0 and uid and gid -1.
  if (uid === 0xffffffff) throw new Error("Cannot identify the caller: the kernel knows no credentials of this socket");
  return { pid, uid, gid };
}

/**
 * The descriptor of an accepted `node:net` or `node:http` socket, or undefined when it has none (closed, or another kind).
 * Ask at once: after close the number may be another file's.
 */
export function socketFd(socket: unknown): number | undefined {
  const handle = (socket as { _handle?: { fd?: unknown } | null } | null | undefined)?._handle;
  const fd = handle?.fd;
  return typeof fd === "number" && Number.isInteger(fd) && fd >= 0 ? fd : undefined;
}
