/**
 * `lock revoke-keys`: takes trust back from stolen keys as of before the theft (L9).
 *
 *   revoke-keys KEY… ──blob──▶ --cosign, on other signers ──blob──▶ … ──blob──▶ --finish
 *
 * It wins when its signers have more votes, counted before the theft, than the change it is against. A thief who removed
 * the honest keys is undone by naming them with `--keep`, ours. Source: cli.runTailnetLockRevokeKeys.
 */
import { toBase64, toHex } from "../../base/bytes.ts";
import { aumHashOf, parseAumHash } from "../../tka/aum_hash.ts";
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import { hexArg, parseKey, parseKeys } from "./args.ts";
import { refusedAs } from "./command.ts";
import type { Run } from "./command.ts";

export const REVOKE_FLAGS = {
  cosign: { type: "boolean", help: "sign the recovery given with this node's key too" },
  finish: { type: "boolean", help: "submit the recovery given" },
  keep: {
    type: "string",
    value: "KEY,…",
    help: "trust these as before the theft, although the stolen key removed them",
  },
  "fork-from": { type: "string", value: "hash", help: "AUM to rewrite from (advanced)" },
} as const;

export const revokeKeys: Run = async (args, { client, program }) => {
  const { values, rest } = parseFlags(REVOKE_FLAGS, args);
  const command = `${program} lock revoke-keys`;
  const hex = (bytes: Uint8Array) => toHex(bytes).toUpperCase();
  if (!values.cosign && !values.finish) {
    const keys = parseKeys(rest);
    const text = values["fork-from"];
    const parent = text.length === 64 ? aumHashOf(hexArg(text, "fork-from")) : parseAumHash(text);
    if (text !== "" && parent === undefined) throw new CliError("invalid fork-from hash: want hex or base32");
    const kept = values.keep.split(",").filter((text) => text !== "");
    const Keep = kept.map((text, i) => toBase64(parseKey(text, i + 1).key.bytes));
    const Keys = keys.map(({ key }) => toBase64(key.bytes));
    const aum = await refusedAs(
      "generation of recovery AUM failed: sending generate-recovery-aum",
      client.bytes("POST", "tka/generate-recovery-aum", {
        Keys,
        ForkFrom: parent ?? "",
        ...(Keep.length > 0 && { Keep }),
      }),
    );
    print(`Run the following command on another machine with a trusted tailnet lock key:\n`);
    print(`\t${command} --cosign ${hex(aum)}\n`);
    return EXIT_OK;
  }
  if (rest.length !== 1) throw new UsageError(`usage: ${command} [--cosign] [--finish] <recovery-blob>`);
  const recovery = hexArg(rest[0], "hex");
  if (values.cosign) {
    const aum = await refusedAs(
      "co-signing recovery AUM failed: sending cosign-recovery-aum",
      client.bytes("POST", "tka/cosign-recovery-aum", recovery),
    );
    print("Co-signing completed successfully.\n\n");
    print(
      "To accumulate an additional signature, run the following command on another machine with a trusted tailnet ",
    );
    print(`lock key:\n\t${command} --cosign ${hex(aum)}\n\n`);
    print("Alternatively if you are done with co-signing, complete recovery by running the following command:\n");
    print(`\t${command} --finish ${hex(aum)}\n`);
  }
  if (values.finish) {
    await refusedAs(
      "submitting recovery AUM failed: sending cosign-recovery-aum",
      client.bytes("POST", "tka/submit-recovery-aum", recovery),
    );
    print("Recovery completed.\n");
  }
  return EXIT_OK;
};
