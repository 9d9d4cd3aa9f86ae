/** Which lines of the daemon's health a command repeats. */
import { CliError } from "./exit_codes.ts";

/** What the daemon says of a store that failed. */
const UNSAVED = "Keys and preferences could not be saved: ";

/** Source: cmd/tailscale/cli/up.go upWorthyWarning. */
const ALWAYS =
  /Tailscale SSH enabled, but |--accept-routes is false|this node is locked out|only being stored in-memory/;

/** What the user can act on now, and what concerns the settings just named. */
export function worthSaying(health: readonly string[], given: ReadonlySet<string>): string[] {
  return health.filter((line) =>
    ALWAYS.test(line) || line.startsWith(UNSAVED) || /update available: /i.test(line) ||
    [...given].some((flag) => new RegExp(`--${flag}(?![\\w-])`).test(line))
  );
}

/** The line of a daemon that has settings in memory alone, which its end would lose; undefined when all are kept. */
export function unsaved(health: readonly string[]): string | undefined {
  return health.find((line) => line.startsWith(UNSAVED));
}

/** After a change. @param otherwise what is to be said of it when the daemon has it in memory alone. @throws CliError then */
export function assertSaved(health: readonly string[], otherwise: string): void {
  const lost = unsaved(health);
  if (lost !== undefined) throw new CliError(`${otherwise}.\n${lost}`);
}

/** Lines that say no more than that the node is not connected, or have no part in it. */
const NO_REASON =
  /^You are logged out\.$|^Tailscale is (?:stopped\.|starting\. Please wait\.)$|not implemented in this version/;

/** Why a node may not get to where it is waited for: the lines of health with a reason. */
export function troubles(health: readonly string[]): string[] {
  return health.filter((line) => !NO_REASON.test(line)).map((line) => line.replace(/^You are logged out\. /, ""));
}
