/**
 * The chain of AUMs drawn, newest first, with the branches that lost where they left it, and why they did.
 *
 *   ● update 4XK… (remove-key)
 *   │ KeyID: tlpub:…
 *   │ Signed by: tlpub:…
 *   │
 *   │ ○ update 7QM… (add-key), 1 more behind it
 *   ├─╯ lost: 1 vote against 2
 *   ● update 2AB… (checkpoint)
 */
import { paint } from "../terminal.ts";
import { tlpub } from "./args.ts";
import { decodeUpdate, updateText } from "./update.ts";
import type { UpdateJson } from "./update.ts";

/** A branch that lost against the link it stands by. */
export interface LostBranchJson {
  /** Its first AUM. */
  readonly Root: UpdateJson;
  /** AUMs behind the first. */
  readonly More: number;
  /** What decided: "votes", "removal" or "hash". */
  readonly Rule: string;
  readonly Votes: number;
  readonly WinnerVotes: number;
}

/** An AUM of the active chain: `agent/lock/chain`. */
export interface ChainLinkJson {
  readonly Update: UpdateJson;
  /** Branches from the same parent. */
  readonly Lost: readonly LostBranchJson[];
}

function why({ Rule, Votes, WinnerVotes }: LostBranchJson): string {
  switch (Rule) {
    case "votes":
      return `lost: ${Votes} ${Votes === 1 ? "vote" : "votes"} against ${WinnerVotes}`;
    case "removal":
      return "lost: as many votes, and the other removes a key";
    default:
      return "lost: as many votes, and the other has the lower hash";
  }
}

export function chainText(links: readonly ChainLinkJson[], colour: boolean): string {
  const out: string[] = [];
  const bar = paint("│", "dim", colour);
  for (const { Update, Lost } of links) {
    const aum = decodeUpdate(Update);
    const [head, ...body] = updateText(aum, colour).trimEnd().split("\n");
    out.push(`● ${head}`);
    for (const line of body) out.push(`${bar} ${line}`);
    for (const { keyId } of aum.signatures) out.push(`${bar} Signed by: ${tlpub(keyId ?? new Uint8Array(0))}`);
    out.push(bar);
    for (const lost of Lost) {
      const root = decodeUpdate(lost.Root);
      const [text] = updateText(root, false).split("\n");
      const more = lost.More === 0 ? "" : `, ${lost.More} more behind it`;
      const signers = root.signatures.map(({ keyId }) => tlpub(keyId ?? new Uint8Array(0))).join(", ");
      out.push(`${bar} ${paint(`○ ${text}${more}`, "dim", colour)}`);
      out.push(`${bar} ${bar} Signed by: ${signers}`);
      out.push(`├─╯ ${paint(why(lost), "red", colour)}`);
      out.push(bar);
    }
  }
  while (out.at(-1) === bar) out.pop();
  return out.length === 0 ? "" : `${out.join("\n")}\n`;
}
