/** Which lines of the daemon's health a command repeats after it has changed something. */

/** Source: cmd/tailscale/cli/up.go upWorthyWarning. */
const ALWAYS =
  /Tailscale SSH enabled, but |--accept-routes is false|this node is locked out|only being stored in-memory/;

/** What the user can act on now, and what concerns the settings just named. */
export function worthSaying(health: readonly string[], given: ReadonlySet<string>): string[] {
  return health.filter((line) =>
    ALWAYS.test(line) || /update available: /i.test(line) ||
    [...given].some((flag) => new RegExp(`--${flag}(?![\\w-])`).test(line))
  );
}
