/** `debug watch-ipn`: what the daemon tells its watchers. Source: cmd/tailscale/cli/debug.go (runWatchIPN). */
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "../flags.ts";
import { print, printError } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const FLAGS = {
  initial: { type: "boolean", help: "include the initial state and preferences in the first message" },
  count: { type: "number", value: "N", help: "exit after so many messages, 0 to go on", fallback: 0 },
  "engine-updates": { type: "boolean", help: "tell of the engine every two seconds" },
  "initial-health": { type: "boolean", help: "include what is wrong in the first message" },
  "health-actions": { type: "boolean", help: "keep the actions of health messages apart from their texts" },
  "initial-status": { type: "boolean", help: "include the status in the first message" },
  "peer-changes": { type: "boolean", help: "tell of peers that come, change and go", fallback: true },
  "peer-patches": { type: "boolean", help: "tell of changes of single fields of peers", fallback: true },
} as const;

/** Bits of `ipn.NotifyWatchOpt`. The netmap is left out: 'debug netmap' prints it. */
const NO_NETMAP = 1 << 13;
const BITS = {
  initial: 1 << 1 | 1 << 2,
  "engine-updates": 1 << 0,
  "initial-health": 1 << 7,
  "health-actions": 1 << 9,
  "peer-changes": 1 << 12,
  "initial-status": 1 << 14,
  "peer-patches": 1 << 15,
} as const;

export const watchIpn: Verb & { readonly summary: string } = {
  summary: "Subscribe to IPN message bus",
  help: `Usage: {program} debug watch-ipn [flags]

Prints what changes as JSON, a message at a time, until it is ended.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    if (values.count < 0) throw new UsageError("--count cannot be negative");
    const wanted = Object.entries(BITS).filter(([name]) => values[name as keyof typeof BITS]);
    const mask = wanted.reduce((bits, [, bit]) => bits | bit, NO_NETMAP);
    let left = values.count;
    const messages = await client.stream<unknown>(`watch-ipn-bus?mask=${mask}`);
    printError("Connected.\n");
    for await (const message of messages) {
      print(`${JSON.stringify(message, undefined, "\t")}\n`);
      if (--left === 0) break;
    }
    return EXIT_OK;
  },
};
