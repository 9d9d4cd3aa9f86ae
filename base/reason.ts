/**
 * What an exception says, to stand behind a colon. Errors of files lose their number and the system call, which Deno writes
 * behind them: "No such file or directory (os error 2): mkdir '/x'"; whoever says it names the file first.
 */
export function reasonOf(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.replace(/ \(os error \d+\)(?:: [a-z]+ '[^]*')?$/, "");
}
