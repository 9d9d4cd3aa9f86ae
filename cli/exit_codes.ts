/** Exit codes scripts can rely on; `agent help` lists them. */
export const EXIT_OK = 0;
/** The command was understood and did not succeed; the reason is on standard error. */
export const EXIT_FAILED = 1;
/** The command line was not understood. */
export const EXIT_USAGE = 2;

/** A failure with a text for the operator; the frame prints it and exits with `code`. */
export class CliError extends Error {
  readonly code: number;

  constructor(message: string, code: number = EXIT_FAILED, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A command line that cannot be meant. */
export class UsageError extends CliError {
  constructor(message: string) {
    super(message, EXIT_USAGE);
  }
}
