/**
 * Who may lock the tailnet. A lock is in the hands of who makes it: its keys alone sign nodes, its secrets alone end it. All
 * other changes prove themselves - AUMs and signatures by trusted keys, the end by a secret - so this is the one gate.
 *
 *   any                       every node, as long as its key is valid
 *   none                      nobody
 *   alice,tag:ops,node:vault  untagged nodes of a user, nodes with a tag, one node by its name in the tailnet
 *
 * As long as nothing is said: the untagged nodes of the user "operator", whose keys the coordinator's operator made.
 */
import { isTag } from "../auth_keys.ts";
import { OptionError } from "../listen_policy.ts";
import type { NodeRecord } from "../node_record.ts";
import { DEFAULT_USER, isUserName } from "../users.ts";

/** "any", or who; nobody when empty. */
export type InitPolicy = "any" | readonly string[];

export const DEFAULT_INIT_POLICY: InitPolicy = [DEFAULT_USER];

/** Reads `--lock-init`. @throws OptionError */
export function parseInitPolicy(text: string): InitPolicy {
  if (text === "any") return "any";
  if (text === "none") return [];
  return text.split(",").map((part) => {
    const who = part.trim();
    const valid = who.startsWith("tag:")
      ? isTag(who)
      : who.startsWith("node:")
      ? /^node:[a-z0-9-]+$/.test(who)
      : isUserName(who) && who !== "any" && who !== "none";
    if (valid) return who;
    throw new OptionError(
      `Cannot use --lock-init ${text}: want any, none, or users, tag:NAME and node:NAME with commas between`,
    );
  });
}

/** Why the node may not lock the tailnet; undefined when it may. @param user name of its user. */
export function initRefusal(policy: InitPolicy, node: NodeRecord, user: string): string | undefined {
  if (policy === "any") return undefined;
  const { name, tags } = node;
  const is = [`node:${name}`, ...tags, ...(tags.length === 0 ? [user] : [])];
  if (is.some((who) => policy.includes(who))) return undefined;
  const allowed = policy.length === 0 ? "nobody" : policy.join(", ");
  return `node ${name} (${
    tags.length === 0 ? user : tags.join(", ")
  }) may not lock the tailnet: this coordinator lets ` +
    `${allowed}; its operator changes that with --lock-init`;
}
