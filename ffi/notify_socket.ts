/**
 * The socket on which systemd hears from a service: datagrams of `NAME=value` lines. Deno has no unix datagrams.
 *
 *   struct sockaddr_un  0 u16 family, host byte order  2 path, at most 108 bytes; an abstract name begins with NUL
 *
 * Source: sd_notify(3), unix(7).
 */

import { check, closeFd, libc, O_CLOEXEC } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const PATH_MAX = 108;

/** Sends to one socket. */
export interface NotifySocket {
  /** False when nobody took it: the socket is gone, or its queue is full. Never blocks. */
  send(text: string): boolean;
  close(): void;
}

/** The address of `$NOTIFY_SOCKET`: a path, or `@` and an abstract name. Undefined for anything else. */
export function notifyAddress(name: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new TextEncoder().encode(name);
  if (!/^[/@]./.test(name) || bytes.length >= PATH_MAX) return undefined;
  const address = new Uint8Array(2 + bytes.length);
  new Uint16Array(address.buffer, 0, 1)[0] = AF_UNIX;
  address.set(bytes, 2);
  if (name.startsWith("@")) address[2] = 0;
  return address;
}

/** @param address Of `notifyAddress`. @throws FfiError when the process has no descriptors left. */
export function openNotifySocket(address: Uint8Array<ArrayBuffer>): NotifySocket {
  const fd = check(libc.socket(AF_UNIX, SOCK_DGRAM | O_CLOEXEC, 0), "socket", "open a unix datagram socket");
  return {
    send: (text) => {
      const bytes = new TextEncoder().encode(text);
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      return libc.sendto_buffer(fd, bytes, bytes.length, flags, address, address.length) >= 0;
    },
    close: () => closeFd(fd),
  };
}
