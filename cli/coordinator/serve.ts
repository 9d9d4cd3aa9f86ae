/** `agent coordinator` itself: the server, until a signal ends it. */
import type { Socket } from "node:net";
import { startCoordinator } from "../../control/server/server.ts";
import { stderrLog } from "../../daemon/log.ts";
import { peerCredentials, socketFd } from "../../ffi/peercred.ts";
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import type { FlagTable } from "../flags.ts";
import { parseLife } from "./life.ts";

const FLAGS = {
  listen: { type: "string", value: "ADDR", help: "where nodes connect (default 127.0.0.1:8080, with TLS :443)" },
  "server-url": { type: "string", value: "URL", help: "what nodes call it (default: where it listens)" },
  statedir: { type: "string", value: "DIR", help: "keys and database", fallback: "/var/lib/agent/coordinator" },
  socket: { type: "string", value: "PATH", help: "the operator's socket (default in the state directory)" },
  "tls-cert": { type: "string", value: "FILE", help: "certificate chain, PEM" },
  "tls-key": { type: "string", value: "FILE", help: "its key, PEM" },
  "insecure-http": { type: "boolean", help: "allow plain http beyond loopback and private addresses" },
  "derp-listen": {
    type: "string",
    value: "ADDR",
    help: "the relay's own TLS port (default: shared with TLS, else :8443)",
  },
  "stun-listen": { type: "string", value: "ADDR", help: "UDP address of STUN, or off (default :3478)" },
  "magic-dns-domain": { type: "string", value: "NAME", help: "suffix of all node names", fallback: "tailnet.internal" },
  "lock-init": {
    type: "string",
    value: "WHO",
    help: "who may lock the tailnet: any, none, or users, tag:NAME, node:NAME",
    fallback: "operator",
  },
  "approve-routes": {
    type: "string",
    value: "ROUTES",
    help: "approve these beforehand, and subnets in them: 10.0.0.0/8,exit",
  },
  "log-format": { type: "string", value: "text|json", help: "lines of text, or an object a line", fallback: "text" },
  "key-expiry": { type: "string", value: "TIME", help: "life of node keys: 180d, 24h, never", fallback: "180d" },
} as const satisfies FlagTable;

/** The verb's help text. */
export const HELP = `Run a tailnet of your own: control server, relay (DERP) and STUN in one process.

Usage:
  agent coordinator [flags]                  serve until stopped
  agent coordinator keys create|list|expire  auth keys
  agent coordinator nodes list|approve|expire|delete
  agent coordinator routes list|approve|unapprove

Flags:
${flagHelp(FLAGS)}

Nodes join with: agent up --login-server URL --auth-key KEY
`;

function readPem(flag: string, path: string): string | undefined {
  if (path === "") return undefined;
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new CliError(`Cannot read --${flag} ${path}: ${(cause as Error).message}`, 1, { cause });
  }
}

/** Who is behind a connection to the operator's socket. */
function peerUid(socket: Socket): number | undefined {
  const fd = socketFd(socket);
  if (fd === undefined) return undefined;
  try {
    return peerCredentials(fd).uid;
  } catch {
    return undefined;
  }
}

/** SIGINT and SIGTERM, listened to from the start on so that none is missed. */
function stopSignals(): Disposable & { readonly received: Promise<void> } {
  const signals = ["SIGINT", "SIGTERM"] as const;
  const { promise, resolve } = Promise.withResolvers<void>();
  const onSignal = () => resolve();
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  return {
    received: promise,
    [Symbol.dispose]: () => signals.forEach((signal) => Deno.removeSignalListener(signal, onSignal)),
  };
}

const given = (text: string): string | undefined => text === "" ? undefined : text;

/** Serves until a signal comes. @throws UsageError, or an Error that says what cannot be started. */
export async function serve(args: readonly string[]): Promise<number> {
  const { values, rest } = parseFlags(FLAGS, args);
  if (rest.length > 0) throw new UsageError(`unknown command "${rest[0]}": want keys, nodes, or flags alone`);
  const format = values["log-format"];
  if (format !== "text" && format !== "json") {
    throw new UsageError(`Cannot use --log-format ${format}: want text or json`);
  }
  const { log } = stderrLog(0, format);
  using stop = stopSignals();
  const coordinator = await startCoordinator({
    stateDir: values.statedir,
    listen: given(values.listen),
    serverUrl: given(values["server-url"]),
    socket: given(values.socket),
    tlsCert: readPem("tls-cert", values["tls-cert"]),
    tlsKey: readPem("tls-key", values["tls-key"]),
    insecureHttp: values["insecure-http"],
    derpListen: given(values["derp-listen"]),
    stunListen: given(values["stun-listen"]),
    magicDnsDomain: values["magic-dns-domain"],
    approveRoutes: given(values["approve-routes"]),
    keyExpiryMs: parseLife("key-expiry", values["key-expiry"]),
    lockInit: values["lock-init"],
    peerUid,
    log: (line) => log.info(line),
  });
  await stop.received;
  await coordinator.close();
  return EXIT_OK;
}
