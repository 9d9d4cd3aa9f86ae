/**
 * UDP sockets with a mark for the main thread, so that routing rules keep the daemon's own questions out of the tunnel:
 * DNS, port mapping. A few datagrams each; the data plane's sockets are in udp.ts.
 *
 *   socket, SO_MARK ─▶ poll on a thread of the pool ─▶ recvfrom until EAGAIN ─▶ poll … closed ─▶ close
 *
 * `node:dgram` shows no descriptor that a mark could be set on. Where the process may not set marks there are no rules of
 * ours either. Source: socket(7), recvfrom(2).
 */
import { type AddrPort, formatIp, type IpBytes } from "../base/ip.ts";
import { check, closeFd, EAGAIN, EINTR, errno, FfiError, libc, O_CLOEXEC, O_NONBLOCK } from "./libc.ts";
import { AF_INET, AF_INET6 } from "./sockaddr.ts";
import { socketAddress } from "./udp.ts";

const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const POLLIN = 1;
/** A closed socket's number is free after this at the latest, ms. */
const SLICE_MS = 100;
/** After failures in a row; ms. */
const RETRY_MS = 100;
const MAX_DATAGRAM = 0xffff;

/** What comes. */
export interface MarkedUdpEvents {
  /** The payload is the receiver's to keep. */
  received(from: AddrPort, payload: Uint8Array<ArrayBuffer>): void;
  /** What the network says of a datagram to the one address this socket is for: nobody listens there. */
  failed?(error: FfiError): void;
}

/** An open socket. */
export interface MarkedUdp {
  /** @throws FfiError when the kernel knows no way there */
  send(to: AddrPort, payload: Uint8Array): void;
  /** Nothing comes after this. */
  close(): void;
}

/**
 * Opens a socket on a port the kernel picks.
 * @param only the one address it is for: datagrams of others never come. @throws FfiError
 */
export function openMarkedUdp(family: 4 | 6, mark: number, events: MarkedUdpEvents, only?: AddrPort): MarkedUdp {
  const domain = family === 4 ? AF_INET : AF_INET6;
  const fd = check(libc.socket(domain, SOCK_DGRAM | O_NONBLOCK | O_CLOEXEC, 0), "socket", "open a UDP socket");
  let open = true;
  try {
    libc.setsockopt(fd, SOL_SOCKET, SO_MARK, Int32Array.of(mark), 4);
    const address = socketAddress(family, only?.ip, only?.port ?? 0);
    // Bound or connected: before it has a port nothing can be received.
    if (only === undefined) check(libc.bind(fd, address, address.length), "bind", "open a UDP socket");
    else check(libc.connect(fd, address, address.length), "connect", `reach ${formatIp(only.ip)}`);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  void read(fd, family, () => open, events);
  return {
    send({ ip, port }, payload) {
      if (!open) return;
      const address = socketAddress(family, ip, port);
      const sent = libc.sendto_buffer(fd, new Uint8Array(payload), payload.length, 0, address, address.length);
      check(sent, "sendto", `reach ${formatIp(ip)}`);
    },
    close: () => void (open = false),
  };
}

/** Owns the descriptor: it is closed when nobody polls it any more. */
async function read(fd: number, family: 4 | 6, isOpen: () => boolean, events: MarkedUdpEvents): Promise<void> {
  // The caller may stand in another namespace until we yield, and a pool thread born now would stay there.
  await Promise.resolve();
  const pollfd = Int32Array.of(fd, POLLIN);
  const buffer = new Uint8Array(MAX_DATAGRAM);
  const source = socketAddress(family, undefined, 0);
  try {
    while (isOpen()) {
      const ready = await libc.poll_async(pollfd, 1, SLICE_MS);
      if (ready === 0) continue;
      // What the network says of a datagram is said once, a second failure on its heels lasts; so may one of poll's.
      let failures = ready < 0 ? 2 : 0;
      while (isOpen() && failures < 2) {
        const length = libc.recvfrom_buffer(fd, buffer, buffer.length, 0, source, Int32Array.of(source.length));
        const error = length < 0 ? errno() : 0;
        if (error === EAGAIN) break;
        failures = error === 0 ? 0 : failures + 1;
        if (error === 0) events.received(addrPort(family, source), buffer.slice(0, length));
        else if (error !== EINTR) events.failed?.(new FfiError("recvfrom", error, "get an answer by UDP"));
      }
      if (failures === 2) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  } finally {
    closeFd(fd);
  }
}

function addrPort(family: 4 | 6, source: Uint8Array<ArrayBuffer>): AddrPort {
  const ip: IpBytes = family === 4 ? source.slice(4, 8) : source.slice(8, 24);
  return { ip, port: source[2] << 8 | source[3] };
}
