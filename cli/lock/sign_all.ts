/**
 * `lock sign --all-unsigned`: signs what is locked out, after showing it.
 *
 * Names, tags and users are control's word, and so are the node keys: who signs by a list trusts control for once. The
 * text says so, because it is what the lock is there against. Exit code 1 when any could not be signed.
 */
import { EXIT_FAILED, EXIT_OK, UsageError } from "../exit_codes.ts";
import { columns, print, printError } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";
import { agreed, refusedAs, requireEnabled, requireSigner } from "./command.ts";
import { select } from "./node_filter.ts";
import type { NodeFilter } from "./node_filter.ts";
import { lockNodes, ownerText, shortName } from "./nodes.ts";
import type { LockNodeJson } from "./types.ts";

/** The nodes as a table to read before signing. */
export function nodeTable(nodes: readonly LockNodeJson[]): string {
  const rows = nodes.map((node) => [
    shortName(node),
    node.TailscaleIPs[0] ?? "",
    ownerText(node),
    node.Why,
    node.NodeKey,
  ]);
  return `${columns([["NODE", "ADDRESS", "OWNER", "WHY IT IS OUT", "NODE KEY"], ...rows])}\n`;
}

/** What a filter left, and a line about what it left out. */
export async function chooseNodes(filter: NodeFilter, { client }: VerbContext): Promise<readonly LockNodeJson[]> {
  const status = await requireEnabled(client);
  const { chosen, others, distrusted } = select(await lockNodes(client, status), filter);
  if (distrusted.length > 0) {
    printError(
      `${distrusted.length} more ${distrusted.length === 1 ? "has" : "have"} a signature that no longer holds: ` +
        `${distrusted.map(shortName).join(", ")}. Who made it may have been distrusted for a reason; ` +
        "--distrusted takes them too.\n",
    );
  }
  if (chosen.length === 0) {
    print(`No unsigned node ${others === 0 ? "is there" : `fits; ${others} that do not are locked out`}.\n`);
  }
  return chosen;
}

export async function signAll(
  flags: NodeFilter & { readonly yes: boolean },
  rest: readonly string[],
  context: VerbContext,
): Promise<number> {
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" beside --all-unsigned`);
  requireSigner(await requireEnabled(context.client));
  const chosen = await chooseNodes(flags, context);
  if (chosen.length === 0) return EXIT_OK;
  print(nodeTable(chosen));
  print(
    "\nThis list is the control server's word: compare the node keys with what `lock status` says on the nodes.\n" +
      "Signed so, a node whose key expires needs a new signature; `lock sign NODE-KEY LOCK-KEY` lets it renew itself.\n",
  );
  if (!agreed(`Sign ${chosen.length === 1 ? "this node" : `these ${chosen.length} nodes`}?`, flags.yes)) {
    print("Nothing was signed.\n");
    return EXIT_FAILED;
  }
  let failed = 0;
  for (const node of chosen) {
    try {
      const request = { NodeKey: node.NodeKey, RotationPublic: null };
      await refusedAs("error", context.client.text("POST", "tka/sign", request));
      print(`signed  ${shortName(node)}\n`);
    } catch (error) {
      failed++;
      printError(`failed  ${shortName(node)}: ${(error as Error).message}\n`);
    }
  }
  if (failed > 0) printError(`${failed} of ${chosen.length} nodes were not signed\n`);
  return failed === 0 ? EXIT_OK : EXIT_FAILED;
}
