/** `lock add`, `lock remove`: which keys are trusted. Source: cli.runTailnetLockAdd, runTailnetLockRemove. */
import { CliError, EXIT_OK } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import { keyJson, parseKeys } from "./args.ts";
import { refusedAs, requireEnabled } from "./command.ts";
import type { Run } from "./command.ts";
import { signAgain } from "./resign.ts";

export const REMOVE_FLAGS = {
  "re-sign": { type: "boolean", help: "sign again what hangs on the removed keys", fallback: true },
} as const;

export const add: Run = async (args, { client }) => {
  const keys = parseKeys(args);
  await requireEnabled(client);
  await refusedAs("error", client.text("POST", "tka/modify", { AddKeys: keys.map(keyJson), RemoveKeys: null }));
  return EXIT_OK;
};

export const remove: Run = async (args, { client, program }) => {
  const { values, rest } = parseFlags(REMOVE_FLAGS, args);
  const keys = parseKeys(rest);
  const seen = await requireEnabled(client);
  if ((seen.TrustedKeys ?? []).length === 1) {
    throw new CliError(
      `cannot remove the last trusted signing key; use '${program} lock disable' to disable tailnet lock instead, ` +
        "or add another signing key before removing one",
    );
  }
  if (values["re-sign"]) {
    if (keys.some(({ key }) => key.toString() === seen.PublicKey)) {
      throw new CliError(
        "cannot remove local trusted signing key while resigning; run command on a different node or with " +
          "--re-sign=false",
      );
    }
    for (const { key } of keys) await signAgain(client, key.bytes);
  } else if (Deno.stdin.isTerminal()) {
    print(
      "Warning\nRemoval of a signing key(s) without resigning nodes (--re-sign=false)\n" +
        "will cause any nodes signed by the given key(s) to be locked out\n" +
        "of the Tailscale network. Proceed with caution.\n",
    );
    if (!confirm("Are you sure you want to remove the signing key(s)?")) {
      print("aborting removal of signing key(s)\n");
      return EXIT_OK;
    }
  }
  await refusedAs("error", client.text("POST", "tka/modify", { AddKeys: null, RemoveKeys: keys.map(keyJson) }));
  return EXIT_OK;
};
