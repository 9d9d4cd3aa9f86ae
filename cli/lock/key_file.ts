/**
 * A signing key in a file of its own, for a machine on no network or a secret of an automation: one line `nlpriv:…`, which
 * nobody but its owner may read. Its text is in no error and on no command line.
 */
import { LockPrivate } from "../../base/lock_key.ts";
import { reasonOf } from "../../base/reason.ts";
import { CliError, UsageError } from "../exit_codes.ts";

/** Reads the key of `--key file:PATH`. @throws UsageError, CliError */
export function readKeyFile(flag: string): LockPrivate {
  if (!flag.startsWith("file:")) {
    throw new UsageError(
      "--key: want file:PATH; a key on the command line can be read by everyone on this machine",
    );
  }
  const path = flag.slice(5);
  let text: string;
  let mode: number;
  try {
    // The file that is looked at is the one that is read, whatever becomes of the path meanwhile.
    using file = Deno.openSync(path);
    const info = file.statSync();
    if (!info.isFile) throw new Error("it is not a file");
    mode = (info.mode ?? 0) & 0o777;
    const bytes = new Uint8Array(1024);
    text = new TextDecoder().decode(bytes.subarray(0, file.readSync(bytes) ?? 0)).trim();
  } catch (cause) {
    throw new CliError(`Cannot read the key ${path}: ${reasonOf(cause)}`, undefined, { cause });
  }
  if ((mode & 0o077) !== 0) {
    throw new CliError(
      `Cannot use the key ${path}: others may read it (mode ${mode.toString(8).padStart(4, "0")}, want 0600). ` +
        `If nobody else had it: chmod 600 ${path}; else remove the key from the lock`,
    );
  }
  const key = LockPrivate.parse(text);
  if (key === undefined) {
    throw new CliError(
      `Cannot use the key ${path}: want one line nlpriv:<128 hex digits>, as \`lock keygen\` writes it`,
    );
  }
  return key;
}

/** Writes a key to a new file. @throws CliError when there is one. */
export function writeKeyFile(path: string, key: LockPrivate): void {
  try {
    Deno.writeTextFileSync(path, `${key.revealText()}\n`, { createNew: true, mode: 0o600 });
  } catch (cause) {
    const why = cause instanceof Deno.errors.AlreadyExists ? "it is there already" : reasonOf(cause);
    throw new CliError(`Cannot write the key ${path}: ${why}`, undefined, { cause });
  }
}
