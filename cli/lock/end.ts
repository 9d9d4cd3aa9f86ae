/** `lock disable`, `lock local-disable`, `lock disablement-kdf`: the ways out of a lock. */
import { toHex } from "../../base/bytes.ts";
import { disablementValue } from "../../tka/disablement.ts";
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import { hexArg, parseSecret, readWords } from "./args.ts";
import { refusedAs } from "./command.ts";
import type { Run } from "./command.ts";

/** Ends the lock for the whole tailnet; the secret is public from then on. From a file it is on no command line before. */
export const disable: Run = async (args, { client, program }) => {
  if (args.length !== 1) throw new UsageError(`usage: ${program} lock disable <disablement-secret>`);
  await refusedAs("error", client.bytes("POST", "tka/disable", parseSecret(readWords(args)[0], 1)));
  return EXIT_OK;
};

/** Ends the lock on this node alone. */
export const localDisable: Run = async (args, { client, program }) => {
  if (args.length > 0) throw new UsageError(`${program} lock local-disable: unexpected argument`);
  await refusedAs("error", client.text("POST", "tka/force-local-disable", {}));
  return EXIT_OK;
};

/** What a lock is made with, from what ends it. Asks no daemon. */
export const disablementKdf: Run = (args, { program }) => {
  if (args.length !== 1) {
    throw new UsageError(`usage: ${program} lock disablement-kdf <hex-encoded-disablement-secret>`);
  }
  print(`disablement:${toHex(disablementValue(hexArg(args[0], "secret")))}\n`);
  return Promise.resolve(EXIT_OK);
};
