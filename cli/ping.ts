/** `ping`: is a peer there, and by which path. Texts and exit codes are those of cmd/tailscale/cli/ping.go. */
import { parseIp } from "../base/ip.ts";
import { formatDuration } from "./duration.ts";
import { askPath, formatPath } from "./debug/path.ts";
import { CliError, EXIT_FAILED, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { Parsed } from "./flags.ts";
import type { LocalClient } from "./local_client.ts";
import type { PingResult, Status } from "./local_types.ts";
import { lockedOutText } from "./lock/locked_out.ts";
import { resolveTarget } from "./peer_names.ts";
import { notRunningText } from "./status.ts";
import { print, printError } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  c: { type: "number", value: "N", help: "most pings to send, 0 for no limit", fallback: 10 },
  timeout: { type: "duration", help: "how long to wait for one answer", fallback: 5000 },
  "until-direct": { type: "boolean", help: "stop when a direct path is found", fallback: true },
  tsmp: { type: "boolean", help: "ping through WireGuard, not through either system's network stack" },
  icmp: { type: "boolean", help: "ping through WireGuard, not through the own system's network stack" },
  peerapi: { type: "boolean", help: "ask the peer's HTTP server" },
  size: { type: "number", value: "bytes", help: "size of the message, disco pings only; 0 for the smallest" },
  verbose: { type: "boolean", help: "tell which address a name stands for, and at the end the story of the path" },
} as const;

type Values = Parsed<typeof FLAGS>["values"];
/** Kinds of pings (tailcfg.PingType). */
export type PingType = "disco" | "TSMP" | "ICMP" | "peerapi";

function pingType(values: Values): PingType {
  return values.tsmp ? "TSMP" : values.icmp ? "ICMP" : values.peerapi ? "peerapi" : "disco";
}

/** One line for one answer. */
export function formatPong(result: PingResult, type: PingType): string {
  const latency = formatDuration(Math.round(result.LatencySeconds * 1000));
  if (type === "peerapi") {
    return `hit peerapi of ${result.NodeIP} (${result.NodeName}) at ${result.PeerAPIURL ?? ""} in ${latency}`;
  }
  const via = result.PeerRelay
    ? `peer-relay(${result.PeerRelay})`
    : result.DERPRegionID !== 0
    ? `DERP(${result.DERPRegionCode})`
    : result.Endpoint || type;
  const port = result.PeerAPIPort ? `, ${result.PeerAPIPort}` : "";
  return `pong from ${result.NodeName} (${result.NodeIP}${port}) via ${via} in ${latency}`;
}

/** One ping; undefined when no answer came in time. */
async function pingOnce(
  client: LocalClient,
  ip: string,
  type: PingType,
  values: Values,
): Promise<PingResult | undefined> {
  const query = new URLSearchParams({ ip, type, size: String(values.size) });
  try {
    const signal = AbortSignal.timeout(values.timeout);
    const result = await client.json<PingResult>("POST", `ping?${query}`, undefined, { signal });
    // The daemon gives up on its own as well; whose clock ended first is not the user's concern.
    return /^timeout waiting for/.test(result.Err) ? undefined : result;
  } catch (error) {
    if (error instanceof DOMException && error.name === "TimeoutError") return undefined;
    throw error;
  }
}

async function pingUntilDone(client: LocalClient, ip: string, values: Values): Promise<number> {
  const type = pingType(values);
  let anyPong = false;
  for (let n = 1;; n++) {
    const result = await pingOnce(client, ip, type, values);
    if (result === undefined) {
      print(`ping "${ip}" timed out\n`);
    } else if (result.Err !== "") {
      if (!result.IsLocalIP) throw new CliError(result.Err);
      print(`${result.Err}\n`);
      return EXIT_OK;
    } else {
      anyPong = true;
      print(`${formatPong(result, type)}\n`);
      if (type !== "disco" || (result.Endpoint !== "" && values["until-direct"])) return EXIT_OK;
      if (n !== values.c) await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    if (n !== values.c) continue;
    if (!anyPong) throw new CliError("no reply");
    if (values["until-direct"] && result !== undefined) throw new CliError("direct connection not established");
    return EXIT_OK;
  }
}

export const ping: Verb = {
  help: `Usage: {program} ping [flags] <name or address>

Pings a peer below the operating system and shows by which path each answer came. The first answers often come through a
DERP relay while a direct path is found. Stops after 10 pings, or when a direct path is found.
Exits with 1 when there was no answer, or no direct path when one was waited for.

${flagHelp(FLAGS)}
`,
  async run(args, { client, program }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length !== 1 || rest[0] === "") throw new UsageError(`usage: ${program} ping <name or address>`);
    if (values.c < 0 || values.size < 0) throw new UsageError("--c and --size cannot be negative");
    const [word] = rest;
    const status = await client.json<Status>("GET", parseIp(word) === undefined ? "status" : "status?peers=false");
    const stopped = notRunningText(status);
    if (stopped !== undefined) {
      print(`${stopped}\n`);
      return EXIT_FAILED;
    }
    try {
      const { ip, isSelf } = await resolveTarget(status, word);
      if (isSelf) {
        print(`${ip} is local Tailscale IP\n`);
        return EXIT_OK;
      }
      if (values.verbose && ip !== word) printError(`lookup "${word}" => "${ip}"\n`);
      if (!values.verbose) return await pingUntilDone(client, ip, values);
      try {
        return await pingUntilDone(client, ip, values);
      } finally {
        const story = await askPath(client, ip).then(formatPath, () => "");
        printError(story);
      }
    } catch (error) {
      const lockedOut = error instanceof CliError ? await lockedOutText(client, word, program) : undefined;
      throw lockedOut === undefined ? error : new CliError(lockedOut, undefined, { cause: error });
    }
  },
};
