/** The completion script for bash. */
import type { CompletedCommand } from "./commands.ts";

/** To be sourced, or put into `/usr/share/bash-completion/completions/`. */
export function bashCompletion(program: string, commands: readonly CompletedCommand[]): string {
  const words = (command: CompletedCommand) => command.flags.map(({ name }) => `--${name}`).join(" ");
  const cases = commands.map((command) => `    ${command.name}) words="${words(command)}" ;;`);
  return `# bash completion for ${program}, made by '${program} completion bash'
_${program}() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    --socket) ((i++)) ;;
    -*) ;;
    *) command=\${COMP_WORDS[i]} && break ;;
    esac
  done
  case $command in
    '') words="${commands.map(({ name }) => name).join(" ")} --socket --help --version" ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _${program} ${program}
`;
}
