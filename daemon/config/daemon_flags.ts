/**
 * The daemon's flags where a configuration has a say: what it names counts as a flag in front of those that were given.
 * `Instance` alone has to agree, because all paths follow from it.
 */
import { parseDaemonFlags } from "../flags.ts";
import type { DaemonFlags, InvokedAs, ParsedFlags } from "../flags.ts";
import { loadConfig } from "./load.ts";
import type { ConfigSource, LoadedConfig } from "./load.ts";
import type { Config } from "./read.ts";

/** How the command line ended up, with the configuration it names. */
export type ConfiguredFlags =
  | Exclude<ParsedFlags, { readonly kind: "run" }>
  | { readonly kind: "bad-config"; readonly lines: readonly string[] }
  | { readonly kind: "run"; readonly flags: DaemonFlags; readonly first: LoadedConfig };

function asFlags({ Instance, Port, CAFile, LogFormat, ExpiryWarning, ExpiryHook }: Config): string[] {
  return [
    ...Instance === undefined ? [] : [`--instance=${Instance}`],
    ...Port === undefined ? [] : [`--port=${Port}`],
    ...CAFile === undefined ? [] : [`--ca-file=${CAFile}`],
    ...LogFormat === undefined ? [] : [`--log-format=${LogFormat}`],
    ...ExpiryWarning === undefined ? [] : [`--expiry-warning=${ExpiryWarning}`],
    ...ExpiryHook === undefined ? [] : [`--expiry-hook=${ExpiryHook}`],
  ];
}

/** Reads the arguments after the verb, and the file that they name. Never throws. */
export function configuredFlags(
  args: readonly string[],
  invokedAs: InvokedAs,
  load: (source: ConfigSource) => LoadedConfig = loadConfig,
): ConfiguredFlags {
  const parsed = parseDaemonFlags(args, invokedAs);
  if (parsed.kind !== "run") return parsed;
  const { config: source, cleanup, instance } = parsed.flags;
  const first: LoadedConfig = source === undefined ? { kind: "absent" } : load(source);
  switch (first.kind) {
    case "absent":
      return { ...parsed, first };
    case "bad":
      // What an earlier run left is to go, whatever has become of the file since.
      return cleanup ? { ...parsed, first } : { kind: "bad-config", lines: first.lines };
    case "config": {
      const named = first.config.Instance;
      if (named !== undefined && args.some((arg) => /^--?instance(=|$)/.test(arg)) && named !== instance.name) {
        const message = `Cannot use --instance ${instance.name}: ${source!.path} says "Instance": "${named}"`;
        return { kind: "error", message };
      }
      const again = parseDaemonFlags([...asFlags(first.config), ...args], invokedAs);
      return again.kind === "run" ? { ...again, first } : again;
    }
  }
}
