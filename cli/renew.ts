/** `renew`: a new node key in the place of the old one, which goes on working until the control server has taken the new. */
import { resolveAuthKey } from "./auth_key.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import type { Notify } from "./local_types.ts";
import { colourWanted, print, printError } from "./terminal.ts";
import type { Verb, VerbContext } from "./verb.ts";

const FLAGS = {
  "auth-key": {
    type: "string",
    value: "key",
    help: "auth key, or file:PATH of a file with it; without, a link is shown",
  },
  timeout: { type: "duration", help: "how long to wait, 0 for ever" },
  qr: { type: "boolean", help: "show the link as a QR code too (on a terminal: unless --qr=false)" },
  json: { type: "boolean", help: "print the outcome as JSON" },
} as const;

/** What the daemon answers. `KeyExpiry` is absent where the key does not expire. */
interface Renewed {
  readonly NodeKey: string;
  readonly KeyExpiry?: string;
}

async function showUrls(notifies: AsyncIterable<Notify>, qr: boolean): Promise<void> {
  let last = "";
  for await (const { BrowseToURL } of notifies) {
    if (!BrowseToURL || BrowseToURL === last) continue;
    last = BrowseToURL;
    printError(`\nTo authenticate, visit:\n\n\t${BrowseToURL}\n\n`);
    if (!qr) continue;
    const { detectFormat, qrText } = await import("./qr.ts");
    const format = detectFormat((name) => Deno.env.get(name));
    printError(qrText(BrowseToURL, format, Deno.stderr.isTerminal() && colourWanted()));
  }
}

async function renewed({ client }: VerbContext, authKey: string, timeoutMs: number, qr: boolean): Promise<Renewed> {
  const end = new AbortController();
  const giveUp = (why: string) => () => end.abort(new CliError(`${why}; the old node key stays in use`));
  const interrupted = giveUp("interrupted");
  const timer = timeoutMs > 0 ? setTimeout(giveUp("timeout waiting for the new node key"), timeoutMs) : 0;
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, interrupted);
  try {
    // The bus first: a link that comes at once must not be missed.
    const notifies = await client.stream<Notify>("watch-ipn-bus?mask=0", end.signal);
    const shown = showUrls(notifies, qr);
    // When the daemon goes away the request below says so.
    shown.catch(() => {});
    const body = authKey === "" ? {} : { AuthKey: authKey };
    const answer = await client.json<Renewed>("POST", "agent/renew", body, { signal: end.signal });
    end.abort();
    await shown;
    return answer;
  } finally {
    clearTimeout(timer);
    for (const signal of signals) Deno.removeSignalListener(signal, interrupted);
    if (!end.signal.aborted) end.abort();
  }
}

export const renew: Verb = {
  help: `Usage: {program} renew [flags]

Gets this node a new key before the old one expires, or after. The old key works until the control server has taken the
new one: connections go on. When it fails, or is interrupted, all stays as it was. Under Tailnet Lock the new key is
signed by the old one's signature. To be run by a timer or by the daemon's --expiry-hook, with --auth-key file:PATH.

${flagHelp(FLAGS)}
`,
  async run(args, context) {
    const { values, given } = parseOnlyFlags(FLAGS, args);
    if (values.timeout < 0) throw new UsageError("--timeout cannot be negative");
    const authKey = resolveAuthKey(values["auth-key"]);
    const qr = given.has("qr") ? values.qr : Deno.stderr.isTerminal();
    const answer = await renewed(context, authKey?.reveal() ?? "", values.timeout, qr);
    if (values.json) print(`${JSON.stringify(answer, null, 2)}\n`);
    else {
      const life = answer.KeyExpiry === undefined ? "does not expire" : `is good until ${answer.KeyExpiry}`;
      print(`Renewed: the node key ${life}.\n`);
    }
    return EXIT_OK;
  },
};
