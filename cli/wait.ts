/** `wait`: until the node is connected and its address can be bound to. Source: cmd/tailscale/cli/wait.go. */
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import type { LocalClient } from "./local_client.ts";
import type { Notify, Status } from "./local_types.ts";
import { STATES } from "./local_types.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  timeout: { type: "duration", help: "how long to wait, 0 for ever" },
} as const;

const INITIAL_STATE = 2;
/** Pauses between two looks, ms. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Tries again, ever more slowly, until `look` gives a value. */
async function until<T>(look: () => Promise<T | undefined> | T | undefined, signal: AbortSignal): Promise<T> {
  for (let ms = FIRST_PAUSE_MS;; ms = Math.min(LONGEST_PAUSE_MS, ms * 2)) {
    const found = await look();
    if (found !== undefined) return found;
    await pause(ms, signal);
  }
}

async function status(client: LocalClient, signal: AbortSignal): Promise<Status | undefined> {
  try {
    return await client.json<Status>("GET", "status?peers=false", undefined, { signal });
  } catch (error) {
    if (error instanceof CliError) return undefined;
    throw error;
  }
}

/** Resolves with the status of a node that runs and has an address. */
async function running(client: LocalClient, signal: AbortSignal): Promise<Status> {
  for await (const { State } of await client.stream<Notify>(`watch-ipn-bus?mask=${INITIAL_STATE}`, signal)) {
    if (typeof State !== "number" || STATES[State] !== "Running") continue;
    const now = await status(client, signal);
    if (now !== undefined && (now.TailscaleIPs ?? []).length > 0) return now;
  }
  signal.throwIfAborted();
  throw new CliError("the daemon stopped before the node was connected");
}

export const wait: Verb = {
  help: `Usage: {program} wait [flags]

Waits until the daemon answers, the node is connected, and its address is on the TUN device, so that a service can bind
to it: {program} wait && my-service. Exits with 1 when the time is over.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    if (values.timeout < 0) throw new UsageError("--timeout cannot be negative");
    const end = new AbortController();
    const late = () => end.abort(new CliError("timeout waiting for the node to be connected"));
    const timer = values.timeout > 0 ? setTimeout(late, values.timeout) : 0;
    try {
      await until(() => status(client, end.signal), end.signal);
      const { TUN, TailscaleIPs } = await running(client, end.signal);
      if (TUN === false) return EXIT_OK;
      const bound = () => Deno.networkInterfaces().some(({ address }) => address === TailscaleIPs![0]) || undefined;
      await until(bound, end.signal);
      return EXIT_OK;
    } finally {
      clearTimeout(timer);
      end.abort();
    }
  },
};
