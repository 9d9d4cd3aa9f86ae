/** The completion script for fish. */
import { GLOBAL_FLAGS } from "./commands.ts";
import type { CompletedCommand } from "./commands.ts";

const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** To be put into `/usr/share/fish/vendor_completions.d/`. */
export function fishCompletion(program: string, commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, summary, flags, commands: own }) => [
    `complete -c ${program} -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
    ...own.length === 0 ? [] : [
      `complete -c ${program} -n '__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ` +
      `${own.join(" ")}' -f -a '${own.join(" ")}'`,
    ],
    ...flags.map((flag) =>
      `complete -c ${program} -n '__fish_seen_subcommand_from ${name}' -l ${flag.name}` +
      `${flag.takesValue ? " -r" : ""} -d ${quoted(flag.help)}`
    ),
  ]);
  const global = GLOBAL_FLAGS.map(({ name, help }) =>
    `complete -c ${program} -n __fish_use_subcommand -l ${name} -r -d ${quoted(help)}`
  );
  return `# fish completion for ${program}, made by '${program} completion fish'
${global.join("\n")}
${lines.join("\n")}
`;
}
