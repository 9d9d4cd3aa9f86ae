/** `set`: changes the named preferences and nothing else. Source: cmd/tailscale/cli/set.go. */
import { ACCEPT_RISK_FLAG, askRisk, isSshOverTailscale } from "./accept_risk.ts";
import { EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import { assertSaved, unsaved, worthSaying } from "./health_lines.ts";
import { demandLock, LOCK_FLAGS } from "./lock/policy_flags.ts";
import type { Prefs, Status } from "./local_types.ts";
import { maskedPrefs, PREF_FLAGS, SET_ONLY_FLAGS } from "./pref_flags.ts";
import { applyEdits, checkPrefs, prefWarnings } from "./prefs_merge.ts";
import { printError } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = { ...PREF_FLAGS, ...SET_ONLY_FLAGS, ...LOCK_FLAGS, "accept-risk": ACCEPT_RISK_FLAG } as const;

export const set: Verb = {
  help: `Usage: {program} set [flags]

Changes the named settings; there are no default values. '{program} get' prints them.

${flagHelp(FLAGS, { fallbacks: false })}
`,
  async run(args, { client }) {
    const { values, given } = parseOnlyFlags(FLAGS, args);
    if ([...given].every((flag) => flag === "accept-risk")) {
      throw new UsageError("nothing to set: name at least one setting");
    }
    const status = await client.json<Status>("GET", given.has("exit-node") ? "status" : "status?peers=false");
    const prefs = await client.json<Prefs>("GET", "prefs");
    const edits = maskedPrefs(values, given, prefs, status);
    if (given.has("ssh") && values.ssh !== prefs.RunSSH && isSshOverTailscale()) {
      const message = values.ssh
        ? "You are connected over Tailscale; this action will reroute SSH traffic to Tailscale SSH and will result in your session disconnecting."
        : "You are connected using Tailscale SSH; this action will result in your session disconnecting.";
      askRisk("lose-ssh", message, values["accept-risk"]);
    }
    const next = applyEdits(prefs, edits);
    for (const warning of prefWarnings(next, given)) printError(`Warning: ${warning}\n`);
    await checkPrefs(client, next);
    await demandLock(client, { values, given });
    await client.text("PATCH", "prefs", edits);
    const after = await client.json<Status>("GET", "status?peers=false");
    const lost = unsaved(after.Health ?? []);
    for (const line of worthSaying(after.Health ?? [], given)) if (line !== lost) printError(`${line}\n`);
    assertSaved(after.Health ?? [], "Set, but only until the daemon ends: make it possible to save and set it again");
    return EXIT_OK;
  },
};
