/** `--lock-required` and `--lock-pin` of `up`, `login` and `set`: what the operator demands of Tailnet Lock. */
import type { FlagTable } from "../flags.ts";
import type { LocalClient } from "../local_client.ts";

export const LOCK_FLAGS = {
  "lock-required": { type: "boolean", help: "speak to no peer before Tailnet Lock is known to be on" },
  "lock-pin": {
    type: "string",
    value: "pin,…",
    help: "the lock must be this one: genesis hash, maker's tlpub:… or state ID; empty for none",
  },
} as const satisfies FlagTable;

interface Asked {
  readonly values: { readonly "lock-required"?: boolean; readonly "lock-pin"?: string };
  readonly given: ReadonlySet<string>;
}

/** Makes the daemon demand what was named; before anything else, so that no peer slips through. @throws CliError */
export async function demandLock(client: LocalClient, { values, given }: Asked): Promise<void> {
  const pins = (values["lock-pin"] ?? "").split(",").map((pin) => pin.trim()).filter((pin) => pin !== "");
  const policy = {
    ...(given.has("lock-required") && { required: values["lock-required"] }),
    ...(given.has("lock-pin") && { pins }),
  };
  if (Object.keys(policy).length > 0) await client.text("POST", "agent/lock/policy", policy);
}
