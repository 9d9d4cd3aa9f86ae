/** The commands and flags to complete, read from the same tables and help texts that the program prints. */

/** A flag, without its dashes. */
export interface CompletedFlag {
  readonly name: string;
  readonly help: string;
  /** It is followed by a value. */
  readonly takesValue: boolean;
}

/** A command. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  /** Names of its own commands. */
  readonly commands: readonly string[];
}

/** Flags that stand before the command. */
export const GLOBAL_FLAGS: readonly CompletedFlag[] = [
  { name: "instance", help: "the node of that name, of several on this machine", takesValue: true },
  { name: "socket", help: "the daemon's socket", takesValue: true },
];

/** The flags a help text lists, each once: lines `  --name value   help`, `  -n`, the help perhaps on the line below. */
export function flagsOf(help: string): CompletedFlag[] {
  const lines = help.split("\n");
  const flags = lines.flatMap((line, i): CompletedFlag[] => {
    const match = /^ +--?([a-z0-9][\w-]*)(?:\[=\S*\]| (\S+))?(?: {2,}(.*))?$/.exec(line);
    if (match === null) return [];
    const [, name, value, text] = match;
    const below = text ?? (/^ {8,}[^-\s]/.test(lines[i + 1] ?? "") ? lines[i + 1].trim() : "");
    return [{ name, help: below, takesValue: value !== undefined }];
  });
  return flags.filter(({ name }, i) => flags.findIndex((other) => other.name === name) === i);
}
