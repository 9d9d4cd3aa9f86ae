/** Which of several nodes on the machine a command is for: `--instance`, before the verb or, for services, behind it. */
import { INSTANCE_WANTED, isInstanceName } from "../base/instance_name.ts";
import { UsageError } from "./exit_codes.ts";
import type { VerbContext } from "./verb.ts";

export const INSTANCE_FLAG = {
  type: "string",
  value: "NAME",
  help: "of several nodes on this machine, that one",
} as const;

/** The name as it was given. @throws UsageError when no node can be called that */
export function checkedInstance(name: string): string {
  if (isInstanceName(name)) return name;
  throw new UsageError(`Cannot use --instance ${name}: want ${INSTANCE_WANTED}`);
}

/** The instance meant, undefined for the one node. @throws UsageError */
export function askedInstance(flag: string, { instance }: VerbContext): string | undefined {
  return flag === "" ? instance : checkedInstance(flag);
}
