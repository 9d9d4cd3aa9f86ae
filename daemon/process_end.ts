/** How the daemon's process comes to its end: by a signal, or by an error that nobody caught. */
import { EXIT } from "./exit_codes.ts";
import type { Log } from "./log.ts";

/** Runs at each such signal, for as long as the stack stands. */
export function onSignal(stack: AsyncDisposableStack, signal: Deno.Signal, run: () => void): void {
  Deno.addSignalListener(signal, run);
  stack.defer(() => Deno.removeSignalListener(signal, run));
}

/** Resolves with the exit code. A second signal while the daemon is stopping ends the process at once. */
export function endOnSignal(stack: AsyncDisposableStack, log: Log): PromiseWithResolvers<number> {
  const ending = Promise.withResolvers<number>();
  let asked = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    onSignal(stack, signal, () => {
      if (asked) Deno.exit(EXIT.failed);
      asked = true;
      log.info(`got ${signal}`);
      ending.resolve(EXIT.ok);
    });
  }
  return ending;
}

/**
 * Errors that nobody caught. A promise nobody waited for is one piece of work that failed, and the node goes on; an
 * exception out of a callback leaves something half done, and the daemon ends in order, to be started again.
 */
export function onStrayErrors(stack: AsyncDisposableStack, log: Log, ending: PromiseWithResolvers<number>): void {
  const text = (cause: unknown) => cause instanceof Error ? cause.stack ?? cause.message : String(cause);
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    log.error(`unhandled rejection: ${text(event.reason)}`);
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    log.error(`uncaught error: ${text(event.error)}`);
    ending.resolve(EXIT.failed);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  globalThis.addEventListener("error", onError);
  stack.defer(() => {
    globalThis.removeEventListener("unhandledrejection", onRejection);
    globalThis.removeEventListener("error", onError);
  });
}
