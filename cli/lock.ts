/**
 * `lock`: Tailnet Lock from the command line. Arguments, texts and JSON are Tailscale's, so that scripts for
 * `tailscale lock` work; `doctor`, `prune`, `keygen`, `request`, the long forms of `sign` and `status --all` are ours.
 * One file a subcommand, below `lock/`. Source: cmd/tailscale/cli/tailnet-lock.go.
 */
import { UsageError } from "./exit_codes.ts";
import { flagHelp } from "./flags.ts";
import type { FlagTable } from "./flags.ts";
import type { Run } from "./lock/command.ts";
import { doctor, DOCTOR_FLAGS } from "./lock/doctor.ts";
import { disable, disablementKdf, localDisable } from "./lock/end.ts";
import { init, INIT_FLAGS } from "./lock/init.ts";
import { add, remove, REMOVE_FLAGS } from "./lock/keys.ts";
import { log, LOG_FLAGS } from "./lock/log.ts";
import { prune, PRUNE_FLAGS } from "./lock/prune.ts";
import { REVOKE_FLAGS, revokeKeys } from "./lock/revoke.ts";
import { sign, SIGN_FLAGS, wrap } from "./lock/sign.ts";
import { keygen, request, REQUEST_FLAGS } from "./lock/sign_offline.ts";
import { status, STATUS_FLAGS } from "./lock/status.ts";
import { commandsOf } from "./verb.ts";
import type { Verb } from "./verb.ts";

const SUBCOMMANDS: Readonly<Record<string, Run>> = {
  init,
  status,
  add,
  remove,
  sign,
  disable,
  "disablement-kdf": disablementKdf,
  log,
  "local-disable": localDisable,
  "revoke-keys": revokeKeys,
  prune,
  keygen,
  request,
  doctor,
};

/** As older scripts have it: `sign AUTH-KEY`. */
const HIDDEN: Readonly<Record<string, Run>> = { "tskey-wrap": wrap };

/** A subcommand's flags, below its line. */
function flagsOf(table: FlagTable): string {
  return flagHelp(table).replace(/^/gm, "    ");
}

export const lock: Verb = {
  help: `Usage: {program} lock <subcommand> [arguments...]

Manages Tailnet Lock: nodes are trusted only when a key that the nodes themselves hold has signed them.

  status                     show the state of the lock (also without a subcommand)
${flagsOf(STATUS_FLAGS)}
  init KEY...                make a lock; KEY is tlpub:<hex>[?votes], this node's among them
${flagsOf(INIT_FLAGS)}
  sign NODE-KEY [LOCK-KEY]   sign a node; file:PATH reads an argument from a file
  sign AUTH-KEY              sign an auth key, and print it with its signature
  sign --all-unsigned        sign every node that is locked out, or those a filter leaves
  sign --key file:PATH ...   sign a node, an auth key or what is --in a file, without a daemon
  sign --submit FILE         hand in what was signed so
${flagsOf(SIGN_FLAGS)}
  add KEY...                 trust more signing keys
  remove KEY...              trust them no longer
${flagsOf(REMOVE_FLAGS)}
  prune                      retire the keys of auth keys that are used or expired; lists them first
${flagsOf(PRUNE_FLAGS)}
  log                        list the changes of the lock
${flagsOf(LOG_FLAGS)}
  disable SECRET             end the lock for the whole tailnet; the secret is public from then on
  local-disable              end it on this node alone
  disablement-kdf HEX        derive the disablement value of a secret
  revoke-keys KEY...         take trust back from stolen keys as of before the theft
${flagsOf(REVOKE_FLAGS)}
  keygen FILE                make a signing key that is no node's, for a safe or an automation
  request                    write what such a key is to sign for this node
${flagsOf(REQUEST_FLAGS)}
  doctor                     say what is wrong and what to do about it
${flagsOf(DOCTOR_FLAGS)}
`,
  commands: commandsOf(SUBCOMMANDS),
  async run(args, context) {
    const [name, ...rest] = args;
    if (name === undefined || name.startsWith("-")) return await status(args, context);
    const all = { ...SUBCOMMANDS, ...HIDDEN };
    if (!Object.hasOwn(all, name)) throw new UsageError(`${context.program} lock: unknown subcommand: ${name}`);
    return await all[name](rest, context);
  },
};
