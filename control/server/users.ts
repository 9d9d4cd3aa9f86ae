/** How users are shown to nodes. Source: tailcfg.UserProfile, User, Login. */
import type { Login, User, UserProfile } from "../wire/tailcfg.ts";
import { goTime } from "../wire/tailcfg.ts";
import type { NodeRecord, UserRecord } from "./node_record.ts";

/** The user of auth keys and approvals that name none. */
export const DEFAULT_USER = "operator";

/** Whom all tagged nodes belong to, with the ID and names clients know. */
export const TAGGED_DEVICES: UserProfile = {
  ID: 2147455555,
  LoginName: "tagged-devices",
  DisplayName: "Tagged Devices",
};

/** A user name: printable, no spaces at its ends, at most 256 characters; compared as it is written. */
export function isUserName(name: string): boolean {
  // deno-lint-ignore no-control-regex
  return name.length > 0 && name.length <= 256 && name.trim() === name && !/[\x00-\x1f\x7f]/.test(name);
}

/** `Node.User`. */
export function shownUserId(node: NodeRecord): number {
  return node.tags.length > 0 ? TAGGED_DEVICES.ID : node.userId;
}

/** The profile of a node's owner. */
export function ownerProfile(node: NodeRecord, users: ReadonlyMap<number, UserRecord>): UserProfile {
  if (node.tags.length > 0) return TAGGED_DEVICES;
  const name = users.get(node.userId)?.name ?? DEFAULT_USER;
  return { ID: node.userId, LoginName: name, DisplayName: name };
}

/** The two halves of a registration's answer that say who the node belongs to. */
export function ownerOf(node: NodeRecord, user: UserRecord): { readonly User: User; readonly Login: Login } {
  const profile = ownerProfile(node, new Map([[user.id, user]]));
  return {
    User: { ID: profile.ID, DisplayName: profile.DisplayName, Created: goTime(user.createdAt) },
    Login: { ID: profile.ID, Provider: "agent", LoginName: profile.LoginName, DisplayName: profile.DisplayName },
  };
}
