/**
 * `debug restun`, `rebind` and `break-derp-conns`: what else happens by itself when the network changes. They print nothing.
 * Source: cmd/tailscale/cli/debug.go (localAPIAction).
 */
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import type { Verb } from "../verb.ts";

function action(name: string, summary: string, what: string): Verb & { readonly summary: string } {
  return {
    summary,
    help: `Usage: {program} debug ${name}

${what}
`,
    async run(args, { client }) {
      if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
      await client.text("POST", `debug?action=${name}`);
      return EXIT_OK;
    },
  };
}

export const restun = action(
  "restun",
  "Force a magicsock restun",
  "Measures the relays and looks for own endpoints at once, not when it is time.",
);

export const rebind = action(
  "rebind",
  "Force a magicsock rebind",
  "Opens the UDP sockets anew and forgets every direct path: as after a change of the machine's addresses. Connections go\n" +
    "on by relay until direct paths are found again.",
);

export const breakDerpConns = action(
  "break-derp-conns",
  "Break any open DERP connections from the daemon",
  "Closes the connections to relays; those in use are made again.",
);
