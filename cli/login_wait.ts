/**
 * Waits on the notification bus until the node runs, and tells the person what is wanted of them meanwhile.
 *
 * Texts go to standard error as Tailscale's do; with `--json` two objects go to standard output instead: one with the
 * URL (and its QR code), one with the outcome. Source: cmd/tailscale/cli/up.go runUp, upOutputJSON.
 */
import { CliError } from "./exit_codes.ts";
import type { Notify } from "./local_types.ts";
import { STATES } from "./local_types.ts";
import { print, printError } from "./terminal.ts";

/** How the person is spoken to. */
export interface LoginVoice {
  readonly json: boolean;
  /** The QR code of a URL as text; undefined for none. */
  readonly qrText?: (url: string) => Promise<string>;
  /** The QR code of a URL as a data URL, for `--json`. */
  readonly qrDataUrl: (url: string) => Promise<string>;
}

/** What to wait for. */
export interface LoginWait {
  /** Whether this login URL is worth showing. */
  readonly showUrl: (url: string) => boolean;
  /** The page where an administrator approves the node. */
  readonly approvalUrl: string;
  /** State at the time of asking, for the first JSON object. */
  readonly backendState: string;
  /** The node key that must be replaced before it is over (`--force-reauth`), "" for none. */
  readonly oldNodeKey: string;
}

function outcome(state: string, error = ""): string {
  return `${JSON.stringify({ BackendState: state, ...(error && { Error: error }) }, null, 2)}\n`;
}

async function showUrl(url: string, wait: LoginWait, voice: LoginVoice): Promise<void> {
  if (voice.json) {
    const value = { AuthURL: url, QR: await voice.qrDataUrl(url), BackendState: wait.backendState };
    print(`${JSON.stringify(value, null, "\t")}\n`);
    return;
  }
  printError(`\nTo authenticate, visit:\n\n\t${url}\n\n`);
  if (voice.qrText !== undefined) printError(await voice.qrText(url));
}

/** Resolves when the node runs. @throws CliError when the daemon reports an error, or ends. */
export async function waitForRunning(
  notifies: AsyncIterable<Notify>,
  wait: LoginWait,
  voice: LoginVoice,
): Promise<void> {
  let lastUrl = "";
  let printed = false;
  let running = false;
  let keyIsOld = wait.oldNodeKey !== "";
  for await (const { ErrMessage, State, SelfChange, BrowseToURL } of notifies) {
    if (ErrMessage) {
      if (voice.json) print(outcome(wait.backendState, ErrMessage));
      throw new CliError(`backend error: ${ErrMessage}`);
    }
    if (typeof State === "number") {
      running = STATES[State] === "Running";
      if (STATES[State] === "NeedsMachineAuth" && lastUrl !== wait.approvalUrl) {
        lastUrl = wait.approvalUrl;
        printed = true;
        if (voice.json) print(outcome("NeedsMachineAuth"));
        else printError(`\nTo approve your machine, visit (as admin):\n\n\t${wait.approvalUrl}\n\n`);
      }
    }
    if (SelfChange && SelfChange.Key !== wait.oldNodeKey) keyIsOld = false;
    if (running && !keyIsOld) {
      if (voice.json) print(outcome("Running"));
      else if (printed) printError("Success.\n");
      return;
    }
    if (BrowseToURL && BrowseToURL !== lastUrl && wait.showUrl(BrowseToURL)) {
      lastUrl = BrowseToURL;
      printed = true;
      await showUrl(BrowseToURL, wait, voice);
    }
  }
  throw new CliError("the daemon stopped before the node was connected");
}
