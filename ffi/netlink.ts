/**
 * A NETLINK_ROUTE socket: one request at a time, answered before the call returns.
 *
 * The socket belongs to the network namespace of the thread that opened it and stays there. The kernel answers in
 * microseconds, so calls are synchronous; they are for set-up, never for the packet path.
 * Source: netlink(7), rtnetlink(7).
 */

import { check, closeFd, EINTR, ENOBUFS, errno, FfiError, libc, O_CLOEXEC, O_NONBLOCK } from "./libc.ts";
import {
  type Bytes,
  decodeError,
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./netlink_codec.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const BUFFER = 256 << 10;
/** A dump that the kernel says changed under it is asked for again this often. */
const DUMP_TRIES = 5;

export class Netlink implements Disposable {
  readonly fd: number;
  readonly #buffer: Bytes = new Uint8Array(BUFFER);
  #sequence = 0;
  #open = true;

  /** @throws FfiError */
  constructor() {
    this.fd = openSocket(0, 0);
    for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK]) {
      libc.setsockopt(this.fd, SOL_NETLINK, option, Int32Array.of(1), 4);
    }
    // The kernel answers at once or never; a request it never answers must not hang the caller.
    libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, BigInt64Array.of(5n, 0n), 16);
  }

  /** Sends a request and waits for its acknowledgement. @throws FfiError with the kernel's reason. */
  request(type: number, flags: number, parts: readonly Uint8Array[], action: string): NetlinkMessage[] {
    this.#send(type, flags | NLM_F_REQUEST | NLM_F_ACK, parts, action);
    return this.#receive(action).messages;
  }

  /** All objects of a kind. Asked again when the kernel says the list changed meanwhile. @throws FfiError */
  dump(type: number, parts: readonly Uint8Array[], action: string): NetlinkMessage[] {
    for (let tries = 1;; tries++) {
      this.#send(type, NLM_F_REQUEST | NLM_F_DUMP, parts, action);
      const { messages, interrupted } = this.#receive(action);
      if (!interrupted || tries === DUMP_TRIES) return messages;
    }
  }

  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #send(type: number, flags: number, parts: readonly Uint8Array[], action: string): void {
    const message = encodeMessage(type, flags, ++this.#sequence, parts);
    check(libc.sendto_buffer(this.fd, message, message.length, 0, null, 0), "sendto", action);
  }

  #receive(action: string): { messages: NetlinkMessage[]; interrupted: boolean } {
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      const length = libc.recv_buffer(this.fd, this.#buffer, BUFFER, 0);
      if (length < 0 && errno() === EINTR) continue;
      check(length, "recv", action);
      for (const message of decodeMessages(this.#buffer.slice(0, length))) {
        if (message.sequence !== this.#sequence) continue; // left over from a request given up on
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_DONE) return { messages, interrupted };
        if (message.type === NLMSG_ERROR) {
          const { errno: code, detail } = decodeError(message);
          if (code !== 0) throw new FfiError("netlink", code, action, detail);
          return { messages, interrupted };
        }
        messages.push(message);
      }
    }
  }
}

/** A non-blocking socket that receives the notifications of `groups` (a mask of 1 << (RTNLGRP - 1)). @throws FfiError */
export function openNotifications(groups: number, protocol = NETLINK_ROUTE): number {
  const fd = openSocket(groups, O_NONBLOCK, protocol);
  libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, Int32Array.of(1 << 20), 4);
  return fd;
}

/** One datagram of notifications; "empty" when there is none, "overflow" when the kernel had to drop some. */
export function receiveNotifications(fd: number, buffer: Bytes): NetlinkMessage[] | "empty" | "overflow" {
  for (;;) {
    const length = libc.recv_buffer(fd, buffer, buffer.length, 0);
    if (length >= 0) return decodeMessages(buffer.subarray(0, length));
    if (errno() === EINTR) continue;
    return errno() === ENOBUFS ? "overflow" : "empty";
  }
}

function openSocket(groups: number, flags: number, protocol = NETLINK_ROUTE): number {
  const fd = check(libc.socket(AF_NETLINK, SOCK_RAW | O_CLOEXEC | flags, protocol), "socket", "open netlink");
  const address = new Uint8Array(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  if (libc.bind(fd, address, 12) < 0) {
    const failure = new FfiError("bind", errno(), "bind netlink");
    closeFd(fd);
    throw failure;
  }
  return fd;
}
