/**
 * TCP connections with a mark, so that routing rules keep them out of the tunnel.
 *
 *   socket, SO_MARK ─▶ connect (not blocking) ─▶ poll on a thread of the pool ─▶ SO_ERROR 0 ─▶ node:net takes it over
 *
 * `node:net` has no way to set the mark before it connects, but takes a connected descriptor. Where the process may not
 * set marks there are no rules of ours either, and the connection is an ordinary one. Source: socket(7), connect(2).
 */
import { Socket } from "node:net";
import { formatIp, type IpBytes } from "../base/ip.ts";
import { check, closeFd, EINPROGRESS, errno, ETIMEDOUT, FfiError, libc, O_CLOEXEC, O_NONBLOCK } from "./libc.ts";
import { AF_INET, AF_INET6 } from "./sockaddr.ts";
import { socketAddress } from "./udp.ts";

const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_MARK = 36;
const POLLOUT = 4;
/** A connection given up on is noticed within this. */
const SLICE_MS = 500;
/** As long as kernels try by themselves. */
const TIMEOUT_MS = 130_000;

/** Connects to an address. @throws FfiError with the kernel's reason, or the signal's. */
export async function connectMarked(ip: IpBytes, port: number, mark: number, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const action = `connect to ${formatIp(ip)} port ${port}`;
  const domain = ip.length === 4 ? AF_INET : AF_INET6;
  const fd = check(libc.socket(domain, SOCK_STREAM | O_NONBLOCK | O_CLOEXEC, 0), "socket", action);
  try {
    libc.setsockopt(fd, SOL_SOCKET, SO_MARK, Int32Array.of(mark), 4);
    const address = socketAddress(ip.length === 4 ? 4 : 6, ip, port);
    if (libc.connect(fd, address, address.length) < 0) {
      if (errno() !== EINPROGRESS) throw new FfiError("connect", errno(), action);
      await writable(fd, signal, action);
    }
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  // Deno's types do not know the option; the kind of descriptor is found out by the kernel.
  return new Socket({ fd, readable: true, writable: true } as ConstructorParameters<typeof Socket>[0]);
}

async function writable(fd: number, signal: AbortSignal, action: string): Promise<void> {
  // The caller may stand in another namespace until we yield, and a pool thread born now would stay there.
  await Promise.resolve();
  const pollfd = Int32Array.of(fd, POLLOUT);
  const deadline = performance.now() + TIMEOUT_MS;
  for (;;) {
    const ready = await libc.poll_async(pollfd, 1, SLICE_MS);
    signal.throwIfAborted();
    if (ready > 0) break;
    if (performance.now() > deadline) throw new FfiError("connect", ETIMEDOUT, action);
  }
  const error = new Int32Array(1);
  check(libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, error, Int32Array.of(4)), "getsockopt", action);
  if (error[0] !== 0) throw new FfiError("connect", error[0], action);
}
