/**
 * `lock sign`, in its five forms. Source of the first two: cli.runTailnetLockSign, runTskeyWrapCmd.
 *
 *   sign NODE-KEY [LOCK-KEY]         by this node's key, and submitted
 *   sign AUTH-KEY                    printed with a signature that lets nodes in
 *   sign --all-unsigned              `sign_all.ts`
 *   sign --key file:PATH …           by a key in a file, without a daemon: `sign_offline.ts`
 *   sign --submit FILE               what was signed so
 */
import { toBase64 } from "../../base/bytes.ts";
import { LockPrivate } from "../../base/lock_key.ts";
import { systemRandom } from "../../base/system.ts";
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import type { FlagTable } from "../flags.ts";
import type { Status } from "../local_types.ts";
import { print, printError } from "../terminal.ts";
import { keyJson, NO_KEY_ADDED, parseNode, readWords } from "./args.ts";
import { refusedAs } from "./command.ts";
import type { Run } from "./command.ts";
import { FILTER_FLAGS } from "./node_filter.ts";
import { signAll } from "./sign_all.ts";
import { signOffline, submit } from "./sign_offline.ts";

export const SIGN_FLAGS = {
  "all-unsigned": { type: "boolean", help: "sign every node that is locked out, after asking" },
  ...FILTER_FLAGS,
  yes: { type: "boolean", help: "do not ask" },
  key: { type: "string", value: "file:PATH", help: "sign by the key in a file, without a daemon" },
  in: { type: "string", value: "FILE", help: "with --key: sign what `lock request` wrote; - is standard input" },
  out: { type: "string", value: "FILE", help: "with --key: write there instead of printing" },
  "no-new-key": {
    type: "boolean",
    help: "with an auth key: sign it by this node's own key, and add none for it",
  },
  submit: { type: "string", value: "FILE", help: "hand signatures that --key made to control; - is standard input" },
} as const satisfies FlagTable;

/** Wraps an auth key: its signer is made for it alone and is trusted from then on. */
export const wrap: Run = async (args, { client }) => {
  if (args.length !== 1) throw new UsageError("usage: lock tskey-wrap <tailscale pre-auth key>");
  const [authKey] = args;
  if (authKey.includes("--TL")) throw new CliError("Error: provided key was already wrapped");
  const { Self } = await client.json<Status>("GET", "status?peers=false");
  const signer = LockPrivate.generate(systemRandom);
  // Of the auth key no more than its public part may get into the metadata.
  const id = /^tskey-auth-([^-]+)-/.exec(authKey)?.[1];
  const meta = {
    purpose: "pre-auth key",
    wrapper_stableid: Self?.ID ?? "",
    wrapper_createtime: String(Math.floor(Date.now() / 1000)),
    ...(id !== undefined && { authkey_stableid: id }),
  };
  const request = { TSKey: authKey, TKAKey: signer.revealText() };
  const wrapped = await refusedAs("wrapping failed: error", client.text("POST", "tka/wrap-preauth-key", request));
  const AddKeys = [keyJson({ key: signer.public, votes: 1, meta })];
  await refusedAs("add key failed: error", client.text("POST", "tka/modify", { AddKeys, RemoveKeys: null }));
  print(`${wrapped.trim()}\n`);
  return EXIT_OK;
};

/** Wraps an auth key without leaving a trusted key behind. */
const wrapByOwnKey: Run = async (words, { client }) => {
  if (words.length !== 1 || !words[0].startsWith("tskey-auth-")) {
    throw new UsageError("--no-new-key: want one auth key");
  }
  if (words[0].includes("--TL")) throw new CliError("Error: provided key was already wrapped");
  print(`${await refusedAs("wrapping failed: error", client.text("POST", "agent/lock/wrap", { TSKey: words[0] }))}\n`);
  printError(NO_KEY_ADDED);
  return EXIT_OK;
};

const signNode: Run = async (words, { client, program }) => {
  const { nodeKey, rotation } = parseNode(words, program);
  const RotationPublic = rotation === undefined ? null : toBase64(rotation.bytes);
  try {
    await refusedAs("error", client.text("POST", "tka/sign", { NodeKey: nodeKey.toString(), RotationPublic }));
  } catch (error) {
    if (error instanceof CliError && error.message.includes("this node is not trusted by Tailnet Lock")) {
      printError(
        "Error: Signing is not available on this device because it does not have a trusted tailnet lock key.\n\n" +
          "Try again on a signing device instead. Tailnet admins can see signing devices on the admin panel.\n\n",
      );
    }
    throw error;
  }
  return EXIT_OK;
};

export const sign: Run = async (args, context) => {
  const { values, given, rest } = parseFlags(SIGN_FLAGS, args);
  const forms = ["key", "submit", "all-unsigned"].filter((name) => given.has(name));
  if (forms.length > 1) throw new UsageError(`--${forms[0]} and --${forms[1]} cannot go together`);
  if (given.has("submit")) return await submit(values.submit, rest, context);
  if (given.has("key")) return await signOffline(values, readWords(rest), context.program);
  for (const name of ["in", "out"]) {
    if (given.has(name)) throw new UsageError(`--${name} is for signing by --key`);
  }
  if (values["all-unsigned"]) return await signAll(values, rest, context);
  for (const name of Object.keys(FILTER_FLAGS)) {
    if (given.has(name)) throw new UsageError(`--${name} is a filter of --all-unsigned`);
  }
  const words = readWords(rest);
  if (values["no-new-key"]) return await wrapByOwnKey(words, context);
  return words[0]?.startsWith("tskey-auth-") ? await wrap(words, context) : await signNode(words, context);
};
