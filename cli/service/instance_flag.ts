/** Which of several nodes on the machine a service is of: `--instance`, before the verb or behind it. */
import { UsageError } from "../exit_codes.ts";
import type { VerbContext } from "../verb.ts";

export const INSTANCE_FLAG = {
  type: "string",
  value: "NAME",
  help: "of several nodes on this machine, that one",
} as const;

/** The instance meant, undefined for the one node. @throws UsageError */
export function askedInstance(flag: string, { instance }: VerbContext): string | undefined {
  const asked = flag === "" ? instance : flag;
  if (asked === undefined || /^[a-z0-9][a-z0-9-]{0,8}$/.test(asked)) return asked;
  throw new UsageError(`--instance ${asked}: want 1 to 9 small letters, digits and inner hyphens`);
}
