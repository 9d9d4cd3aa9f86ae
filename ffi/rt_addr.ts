/**
 * Addresses of interfaces by rtnetlink.
 *
 *   struct ifaddrmsg (8 bytes)  0 u8 family  1 u8 prefix length  2 u8 flags  3 u8 scope  4 u32 interface index
 *
 * Source: rtnetlink(7), include/uapi/linux/if_addr.h.
 */

import { formatPrefix, type IpBytes, type Prefix } from "../base/ip.ts";
import { EADDRNOTAVAIL, EEXIST } from "./libc.ts";
import type { Netlink } from "./netlink.ts";
import {
  attribute,
  attributeU32,
  type Bytes,
  decodeAttributes,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
  readU32,
} from "./netlink_codec.ts";
import { unless } from "./rt_link.ts";
import { AF_INET, AF_INET6 } from "./sockaddr.ts";

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_NOPREFIXROUTE = 0x200;

/** struct ifa_cacheinfo, four u32: preferred for no time, valid for ever, two stamps. */
const DEPRECATED = new Uint8Array(16).fill(0xff, 4, 8);

export interface InterfaceAddress {
  /** Index of its interface. */
  readonly index: number;
  /** The address itself, not masked. */
  readonly prefix: Prefix;
  /** "link" for 169.254/16 and fe80::/10, "host" for loopback. */
  readonly scope: "global" | "link" | "host";
  /** IPv6 duplicate address detection is not done: it cannot be bound yet. */
  readonly tentative: boolean;
}

export interface AddAddressOptions {
  /** Do not add the route to the prefix. */
  readonly noPrefixRoute?: boolean;
  /** Only answers come from it: never chosen for what this machine begins. IPv4 by scope "host", IPv6 by deprecation. */
  readonly neverChosen?: boolean;
}

const SCOPE_HOST = 254;

export function listAddresses(netlink: Netlink): InterfaceAddress[] {
  const addresses = netlink.dump(RTM_GETADDR, [new Uint8Array(8)], "list addresses").map(decodeAddress);
  return addresses.filter((address) => address !== undefined);
}

/** Adds an address, without duplicate address detection. @returns false when it is there already. @throws FfiError */
export function addAddress(netlink: Netlink, index: number, prefix: Prefix, options: AddAddressOptions = {}): boolean {
  const flags = IFA_F_NODAD | (options.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0);
  const parts = [...encode(index, prefix), attributeU32(IFA_FLAGS, flags)];
  if (options.neverChosen) {
    if (prefix.ip.length === 4) parts[0][3] = SCOPE_HOST;
    else parts.push(attribute(IFA_CACHEINFO, DEPRECATED));
  }
  const action = `add address ${formatPrefix(prefix)} to interface ${index}`;
  return unless(EEXIST, () => netlink.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, parts, action));
}

/** @returns false when it was not there. @throws FfiError */
export function deleteAddress(netlink: Netlink, index: number, prefix: Prefix): boolean {
  const action = `delete address ${formatPrefix(prefix)} of interface ${index}`;
  return unless(EADDRNOTAVAIL, () => netlink.request(RTM_DELADDR, 0, encode(index, prefix), action));
}

/** An address of an RTM_NEWADDR or RTM_DELADDR message, or undefined for another message. */
export function decodeAddress({ type, body }: NetlinkMessage): InterfaceAddress | undefined {
  if ((type !== RTM_NEWADDR && type !== RTM_DELADDR) || body.length < 8) return undefined;
  const attributes = decodeAttributes(body.subarray(8));
  const ip = (attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS))?.slice() as IpBytes | undefined;
  if (ip === undefined || (ip.length !== 4 && ip.length !== 16)) return undefined;
  const flags = readU32(attributes, IFA_FLAGS) ?? body[2];
  return {
    index: new DataView(body.buffer, body.byteOffset, 8).getUint32(4, true),
    prefix: { ip, bits: body[1] },
    scope: body[3] === 0 ? "global" : body[3] === 253 ? "link" : "host",
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
  };
}

function encode(index: number, { ip, bits }: Prefix): Bytes[] {
  const header = new Uint8Array(8);
  header[0] = ip.length === 4 ? AF_INET : AF_INET6;
  header[1] = bits;
  new DataView(header.buffer).setUint32(4, index, true);
  return [header, attribute(IFA_LOCAL, ip), attribute(IFA_ADDRESS, ip)];
}
