/**
 * Routing policy rules by rtnetlink: which table is asked, in the order of priority.
 *
 *   struct fib_rule_hdr (12 bytes)  0 u8 family  1 u8 dst bits  2 u8 src bits  3 u8 tos  4 u8 table  7 u8 action  8 u32 flags
 *
 * Source: ip-rule(8), include/uapi/linux/fib_rules.h.
 */

import { formatPrefix, type IpBytes, type Prefix } from "../base/ip.ts";
import { EEXIST, ENOENT } from "./libc.ts";
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

export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const FRA_SRC = 2;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;

const ACTIONS = { table: 1, blackhole: 6, unreachable: 7, prohibit: 8 };
export type RuleAction = keyof typeof ACTIONS;

export interface Rule {
  readonly family: 4 | 6;
  /** Lower is asked first. */
  readonly priority: number;
  /** "table" by default. */
  readonly action?: RuleAction;
  /** Only packets from there. */
  readonly source?: Prefix;
  /** For the action "table". */
  readonly table?: number;
  /** Only packets whose mark, masked, is this. */
  readonly mark?: number;
  /** 0xffffffff by default where there is a mark. */
  readonly mask?: number;
}

export function listRules(netlink: Netlink, family: 4 | 6): Rule[] {
  const rules = netlink.dump(RTM_GETRULE, [header(family, "table", 0)], `list IPv${family} rules`).map(decodeRule);
  return rules.filter((rule) => rule !== undefined);
}

/** @returns false when the same rule is there already. @throws FfiError */
export function addRule(netlink: Netlink, rule: Rule): boolean {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  return unless(EEXIST, () => netlink.request(RTM_NEWRULE, flags, encode(rule), `add ${describe(rule)}`));
}

/** @returns false when it was not there. @throws FfiError */
export function deleteRule(netlink: Netlink, rule: Rule): boolean {
  return unless(ENOENT, () => netlink.request(RTM_DELRULE, 0, encode(rule), `delete ${describe(rule)}`));
}

/** A rule of an RTM_NEWRULE or RTM_DELRULE message, or undefined for another message or an unknown action. */
export function decodeRule({ type, body }: NetlinkMessage): Rule | undefined {
  if ((type !== RTM_NEWRULE && type !== RTM_DELRULE) || body.length < 12) return undefined;
  const action = (Object.keys(ACTIONS) as RuleAction[]).find((key) => ACTIONS[key] === body[7]);
  if (action === undefined || (body[0] !== AF_INET && body[0] !== AF_INET6)) return undefined;
  const attributes = decodeAttributes(body.subarray(12));
  const mark = readU32(attributes, FRA_FWMARK);
  const source = attributes.get(FRA_SRC)?.slice() as IpBytes | undefined;
  return {
    family: body[0] === AF_INET ? 4 : 6,
    ...(source !== undefined && { source: { ip: source, bits: body[2] } }),
    priority: readU32(attributes, FRA_PRIORITY) ?? 0,
    action,
    table: action === "table" ? readU32(attributes, FRA_TABLE) ?? body[4] : undefined,
    mark,
    mask: mark === undefined ? undefined : readU32(attributes, FRA_FWMASK),
  };
}

function encode({ family, priority, action = "table", source, table = 0, mark, mask }: Rule): Bytes[] {
  const parts = [header(family, action, table), attributeU32(FRA_PRIORITY, priority)];
  if (source !== undefined) {
    parts[0][2] = source.bits;
    parts.push(attribute(FRA_SRC, source.ip));
  }
  if (action === "table") parts.push(attributeU32(FRA_TABLE, table));
  if (mark !== undefined) parts.push(attributeU32(FRA_FWMARK, mark));
  if (mask !== undefined) parts.push(attributeU32(FRA_FWMASK, mask));
  return parts;
}

function header(family: 4 | 6, action: RuleAction, table: number): Bytes {
  const bytes = new Uint8Array(12);
  bytes[0] = family === 4 ? AF_INET : AF_INET6;
  bytes[4] = table < 256 ? table : 0;
  bytes[7] = ACTIONS[action];
  return bytes;
}

function describe({ family, priority, source }: Rule): string {
  return `IPv${family} rule ${priority}${source === undefined ? "" : ` from ${formatPrefix(source)}`}`;
}
