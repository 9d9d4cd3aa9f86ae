/** The completion script for zsh. */
import { GLOBAL_FLAGS } from "./commands.ts";
import type { CompletedCommand, CompletedFlag } from "./commands.ts";

/** Within single quotes, in the places where `:`, `[` and `]` have a meaning. */
const quoted = (text: string) => text.replaceAll(/[:[\]\\]/g, "\\$&").replaceAll("'", "'\\''");

function argument({ name, help, takesValue }: CompletedFlag): string {
  return `'--${name}${takesValue ? "=" : ""}[${quoted(help)}]${takesValue ? ":value:_files" : ""}'`;
}

/** To be put into a directory of `$fpath`, as `_agent`. */
export function zshCompletion(program: string, commands: readonly CompletedCommand[]): string {
  const described = commands.map(({ name, summary }) => `    '${name}:${quoted(summary)}'`);
  const cases = commands.map(({ name, flags, commands: own }) => {
    const first = own.length === 0 ? [] : [`'1:command:(${own.join(" ")})'`];
    return `      ${name}) _arguments ${[...flags.map(argument), ...first, "'*:argument:_files'"].join(" ")} ;;`;
  });
  return `#compdef ${program}
# zsh completion for ${program}, made by '${program} completion zsh'
_${program}() {
  local line state
  local -a commands
  commands=(
${described.join("\n")}
  )
  _arguments -C ${GLOBAL_FLAGS.map(argument).join(" ")} '1: :->command' '*:: :->arguments'
  case $state in
    command) _describe -t commands command commands ;;
    arguments)
      case $words[1] in
${cases.join("\n")}
      esac
      ;;
  esac
}
if [[ $funcstack[1] = _${program} ]]; then _${program} "$@"; else compdef _${program} ${program}; fi
`;
}
