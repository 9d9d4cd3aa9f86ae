/**
 * Network interfaces by rtnetlink: list, create, change, delete.
 *
 *   struct ifinfomsg (16 bytes)  0 u8 family  2 u16 hardware type  4 i32 index  8 u32 flags  12 u32 change mask
 *
 * Source: rtnetlink(7), include/uapi/linux/if_link.h.
 */

import { EEXIST, ENODEV, FfiError } from "./libc.ts";
import type { Netlink } from "./netlink.ts";
import {
  attributeNested,
  attributeText,
  attributeU32,
  type Bytes,
  decodeAttributes,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
  readText,
  readU32,
} from "./netlink_codec.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_TXQLEN = 13;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_RUNNING = 0x40;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly up: boolean;
  /** Up, and its carrier too. */
  readonly running: boolean;
  readonly loopback: boolean;
  readonly txQueueLength: number;
  /** "veth", "bridge", "tun", … ; undefined for hardware. */
  readonly kind?: string;
  /** Index of the bridge it is a port of. */
  readonly master?: number;
  /** Hardware address; empty where there is none. */
  readonly hardwareAddress: Uint8Array;
}

export interface LinkChanges {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly txQueueLength?: number;
  readonly name?: string;
  /** Index of the bridge to become a port of; 0 leaves it. */
  readonly master?: number;
  /** Descriptor of the network namespace to move to. */
  readonly netns?: number;
}

export function listLinks(netlink: Netlink): Link[] {
  return netlink.dump(RTM_GETLINK, [ifinfomsg(0)], "list interfaces").map(decodeLink).filter((link) =>
    link !== undefined
  );
}

export function linkByName(netlink: Netlink, name: string): Link | undefined {
  return getLink(netlink, [ifinfomsg(0), attributeText(IFLA_IFNAME, name)], name);
}

export function linkByIndex(netlink: Netlink, index: number): Link | undefined {
  return getLink(netlink, [ifinfomsg(index)], `${index}`);
}

/** @throws FfiError */
export function setLink(netlink: Netlink, index: number, changes: LinkChanges): void {
  const { up, mtu, txQueueLength, name, master, netns } = changes;
  const parts = [ifinfomsg(index, up === true ? IFF_UP : 0, up === undefined ? 0 : IFF_UP)];
  if (mtu !== undefined) parts.push(attributeU32(IFLA_MTU, mtu));
  if (txQueueLength !== undefined) parts.push(attributeU32(IFLA_TXQLEN, txQueueLength));
  if (name !== undefined) parts.push(attributeText(IFLA_IFNAME, name));
  if (master !== undefined) parts.push(attributeU32(IFLA_MASTER, master));
  if (netns !== undefined) parts.push(attributeU32(IFLA_NET_NS_FD, netns));
  netlink.request(RTM_SETLINK, 0, parts, `change interface ${index}`);
}

/** Creates an interface that needs nothing but a name. @returns false when one of that name exists. @throws FfiError */
export function addLink(netlink: Netlink, kind: "dummy" | "bridge", name: string): boolean {
  const info = attributeNested(IFLA_LINKINFO, [attributeText(IFLA_INFO_KIND, kind)]);
  return createLink(netlink, [ifinfomsg(0), attributeText(IFLA_IFNAME, name), info], `add ${kind} ${name}`);
}

/** Creates a pair of connected interfaces, its peer in the namespace of descriptor `peerNetns` where given. */
export function addVeth(netlink: Netlink, name: string, peer: string, peerNetns?: number): boolean {
  const peerParts = [ifinfomsg(0), attributeText(IFLA_IFNAME, peer)];
  if (peerNetns !== undefined) peerParts.push(attributeU32(IFLA_NET_NS_FD, peerNetns));
  const info = attributeNested(IFLA_LINKINFO, [
    attributeText(IFLA_INFO_KIND, "veth"),
    attributeNested(IFLA_INFO_DATA, [attributeNested(VETH_INFO_PEER, peerParts)]),
  ]);
  return createLink(netlink, [ifinfomsg(0), attributeText(IFLA_IFNAME, name), info], `add veth ${name}`);
}

/** @returns false when there was none. @throws FfiError */
export function deleteLink(netlink: Netlink, index: number): boolean {
  return unless(ENODEV, () => netlink.request(RTM_DELLINK, 0, [ifinfomsg(index)], `delete interface ${index}`));
}

/** A link of an RTM_NEWLINK or RTM_DELLINK message, or undefined for another message. */
export function decodeLink(message: NetlinkMessage): Link | undefined {
  const { type, body } = message;
  if ((type !== RTM_NEWLINK && type !== RTM_DELLINK) || body.length < 16) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = decodeAttributes(body.subarray(16));
  const flags = view.getUint32(8, true);
  const info = decodeAttributes(attributes.get(IFLA_LINKINFO) ?? new Uint8Array());
  return {
    index: view.getInt32(4, true),
    name: readText(attributes, IFLA_IFNAME) ?? "",
    mtu: readU32(attributes, IFLA_MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & (IFF_UP | IFF_RUNNING)) === (IFF_UP | IFF_RUNNING),
    loopback: (flags & IFF_LOOPBACK) !== 0,
    txQueueLength: readU32(attributes, IFLA_TXQLEN) ?? 0,
    kind: readText(info, IFLA_INFO_KIND),
    master: readU32(attributes, IFLA_MASTER),
    hardwareAddress: attributes.get(IFLA_ADDRESS)?.slice() ?? new Uint8Array(),
  };
}

/** Runs `call`; false when the kernel answers `code`, which then is no failure. */
export function unless(code: number, call: () => unknown): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (error instanceof FfiError && error.errno === code) return false;
    throw error;
  }
}

function getLink(netlink: Netlink, parts: Bytes[], what: string): Link | undefined {
  let link: Link | undefined;
  unless(ENODEV, () => {
    link = decodeLink(netlink.request(RTM_GETLINK, 0, parts, `get interface ${what}`)[0]);
  });
  return link;
}

function createLink(netlink: Netlink, parts: Bytes[], action: string): boolean {
  return unless(EEXIST, () => netlink.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, parts, action));
}

function ifinfomsg(index: number, flags = 0, change = 0): Bytes {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return bytes;
}
