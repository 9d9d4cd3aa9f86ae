/** Where `--auth-key` comes from. The key is never printed, and never part of an error. */
import { reasonOf } from "../base/reason.ts";
import { Secret } from "../base/secret.ts";
import { CliError, UsageError } from "./exit_codes.ts";

const NOT_OFFERED = "is not offered in this version; make an auth key with the coordinator or the admin console";

/**
 * The key itself: as given, or the trimmed content of `file:PATH`. Undefined when none is given.
 * @throws UsageError for kinds this version cannot resolve, CliError for a file that cannot be read.
 */
export function resolveAuthKey(
  value: string,
  readFile: (path: string) => string = Deno.readTextFileSync,
): Secret | undefined {
  if (value === "") return undefined;
  if (/^arn:aws/.test(value)) throw new UsageError(`--auth-key from the AWS parameter store ${NOT_OFFERED}`);
  const key = value.startsWith("file:") ? fromFile(value.slice(5), readFile) : value;
  if (key.startsWith("tskey-client-")) {
    throw new UsageError(`--auth-key with an OAuth client secret ${NOT_OFFERED}`);
  }
  return new Secret(key);
}

function fromFile(path: string, readFile: (path: string) => string): string {
  let key: string;
  try {
    key = readFile(path).trim();
  } catch (cause) {
    throw new CliError(`Cannot read the auth key ${path}: ${reasonOf(cause)}`, undefined, { cause });
  }
  if (key === "") throw new CliError(`Cannot read the auth key: ${path} is empty`);
  return key;
}

/** Refuses the flags of workload identity, whose values could not be kept. @throws UsageError */
export function refuseWorkloadIdentity(values: Readonly<Record<string, unknown>>): void {
  for (const flag of ["client-id", "client-secret", "id-token", "audience"]) {
    if (values[flag]) throw new UsageError(`--${flag} ${NOT_OFFERED}`);
  }
}
