/** The completion script for fish. */
import type { CompletedCommand } from "./commands.ts";

const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** To be put into `/usr/share/fish/vendor_completions.d/`. */
export function fishCompletion(program: string, commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, summary, flags }) => [
    `complete -c ${program} -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
    ...flags.map((flag) =>
      `complete -c ${program} -n '__fish_seen_subcommand_from ${name}' -l ${flag.name}` +
      `${flag.takesValue ? " -r" : ""} -d ${quoted(flag.help)}`
    ),
  ]);
  return `# fish completion for ${program}, made by '${program} completion fish'
complete -c ${program} -n __fish_use_subcommand -l socket -r -d 'the daemon\\'s socket'
${lines.join("\n")}
`;
}
