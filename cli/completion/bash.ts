/** The completion script for bash. */
import { GLOBAL_FLAGS } from "./commands.ts";
import type { CompletedCommand } from "./commands.ts";

/** To be sourced, or put into `/usr/share/bash-completion/completions/`. */
export function bashCompletion(program: string, commands: readonly CompletedCommand[]): string {
  const words = (command: CompletedCommand) => command.flags.map(({ name }) => `--${name}`).join(" ");
  const cases = commands.map((command) =>
    `    ${command.name}) words="${words(command)}" own="${command.commands.join(" ")}" ;;`
  );
  const global = GLOBAL_FLAGS.map(({ name }) => `--${name}`);
  return `# bash completion for ${program}, made by '${program} completion bash'
_${program}() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= words= own= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    ${global.join(" | ")}) ((i++)) ;;
    -*) ;;
    *) command=\${COMP_WORDS[i]} && break ;;
    esac
  done
  case $command in
    '') words="${commands.map(({ name }) => name).join(" ")} ${global.join(" ")} --help --version" ;;
${cases.join("\n")}
  esac
  ((COMP_CWORD == i + 1)) && words="$words $own"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _${program} ${program}
`;
}
