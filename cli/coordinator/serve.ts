/** `agent coordinator` itself: the server, until a signal ends it. */
import type { Socket } from "node:net";
import { reasonOf } from "../../base/reason.ts";
import { startCoordinator } from "../../control/server/server.ts";
import { stderrLog } from "../../daemon/log.ts";
import { peerCredentials, socketFd } from "../../ffi/peercred.ts";
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import { parseLife } from "./life.ts";
import { FLAGS } from "./serve_flags.ts";

function readPem(flag: string, path: string): string | undefined {
  if (path === "") return undefined;
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new CliError(`Cannot read --${flag} ${path}: ${reasonOf(cause)}`, 1, { cause });
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
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" for coordinator`);
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
