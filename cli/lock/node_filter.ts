/** Which of the locked-out nodes are meant: by name, tag or user. Pure. */
import { UsageError } from "../exit_codes.ts";
import type { FlagTable } from "../flags.ts";
import { shortName } from "./nodes.ts";
import type { LockNodeJson } from "./types.ts";

export const FILTER_FLAGS = {
  name: { type: "string", value: "GLOB", help: "with --all-unsigned: only nodes of this name, as web-*" },
  tag: { type: "string", value: "TAG", help: "with --all-unsigned: only nodes with this tag, as tag:web" },
  user: { type: "string", value: "USER", help: "with --all-unsigned: only untagged nodes of this user" },
  distrusted: {
    type: "boolean",
    help: "with --all-unsigned: also nodes whose signature no longer holds, as after revoke-keys",
  },
} as const satisfies FlagTable;

export interface NodeFilter {
  readonly name: string;
  readonly tag: string;
  readonly user: string;
  readonly distrusted: boolean;
}

/** A pattern where `*` is any text and `?` one character; letters of either case. */
export function globPattern(glob: string): RegExp {
  const pattern = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${pattern}$`, "is");
}

/** What a filter leaves of all nodes. */
export interface Selection {
  /** To be signed. */
  readonly chosen: readonly LockNodeJson[];
  /** Locked out, and not chosen because of the filter. */
  readonly others: number;
  /** Fit the filter, and have a signature that does not hold: signed only when asked to. */
  readonly distrusted: readonly LockNodeJson[];
}

/** @throws UsageError for a tag that is none. */
export function select(nodes: readonly LockNodeJson[], filter: NodeFilter): Selection {
  const { name, tag, user } = filter;
  if (tag !== "" && !tag.startsWith("tag:")) throw new UsageError(`--tag ${tag}: want tag:<name>`);
  const pattern = globPattern(name);
  const fits = (node: LockNodeJson) =>
    (name === "" || pattern.test(shortName(node)) || pattern.test(shortName(node).split(".")[0])) &&
    (tag === "" || node.Tags.includes(tag)) &&
    (user === "" || (node.Tags.length === 0 && node.User === user));
  const out = nodes.filter(({ Verdict }) => Verdict === "unsigned" || Verdict === "untrusted");
  const fitting = out.filter(fits);
  const chosen = fitting.filter(({ Verdict }) => Verdict === "unsigned" || filter.distrusted);
  return {
    chosen,
    others: out.length - fitting.length,
    distrusted: filter.distrusted ? [] : fitting.filter(({ Verdict }) => Verdict === "untrusted"),
  };
}
