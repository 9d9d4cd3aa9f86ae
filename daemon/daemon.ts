/**
 * The daemon from its command line to its end.
 *
 * ```
 *   flags ─▶ socket free? ─▶ state ─▶ engine (TUN, UDP) ─▶ node ─▶ LocalAPI ─▶ … ─▶ signal ─▶ LocalAPI, node, state
 * ```
 * Each step can fail with one line and an exit code, and leaves nothing behind. SIGTERM and SIGINT end it in order,
 * routes restored; SIGHUP looks at the network anew and reads the configuration file again.
 */
import type { Secret } from "../base/secret.ts";
import { systemRandom, systemScheduler } from "../base/system.ts";
import { LONG_VERSION } from "../base/version.ts";
import { proxyFromEnvironment } from "../base/web_proxy.ts";
import { CAPABILITY_VERSION } from "../control/wire/tailcfg.ts";
import { peerCredentials, socketFd } from "../ffi/peercred.ts";
import { metricsInput } from "./backend_status.ts";
import { cleanUpMachine } from "./clean_up.ts";
import { configuredFlags } from "./config/daemon_flags.ts";
import { Declared } from "./config/declared.ts";
import type { LoadedConfig } from "./config/load.ts";
import { systemDnsTransport } from "./dns/dns_transport.ts";
import { EngineInbox } from "./engine_inbox.ts";
import { EXIT } from "./exit_codes.ts";
import type { DaemonFlags, InvokedAs } from "./flags.ts";
import { readSysctl } from "./forwarding.ts";
import { readHostFacts } from "./hostinfo.ts";
import { isOnThisMachine } from "./local_networks.ts";
import { localApiRoutes } from "./localapi/routes.ts";
import { observeRoutes } from "./localapi/routes/observe.ts";
import { LocalApiServer } from "./localapi/server.ts";
import { mayWrite } from "./localapi/may_write.ts";
import { claimSocket, SocketError } from "./localapi/socket_file.ts";
import { stderrLog } from "./log.ts";
import type { ProcessLog } from "./log.ts";
import { followFilter, watchLinks } from "./machine_watch.ts";
import { watchMemory } from "./memory_watch.ts";
import { userMetrics } from "./metrics.ts";
import { MetricsPage, serveWhileUp } from "./metrics_page.ts";
import { refuseTwin } from "./moving/twin.ts";
import { netlinkRouting } from "./netlink_routing.ts";
import { openEngine, SystemError } from "./open_engine.ts";
import { endOnSignal, onSignal, onStrayErrors } from "./process_end.ts";
import { followStatus, openServiceStatus } from "./service_status.ts";
import { MemoryState, StateFile, StateFileError } from "./state_file.ts";
import { localNetworks, trustedRoots } from "./system.ts";
import { systemNode } from "./system_node.ts";
import { TimestampCeiling } from "./timestamp_ceiling.ts";

/** Runs the daemon until a signal ends it. Returns the exit code; says why on standard error. */
export async function runDaemon(
  args: readonly string[],
  invokedAs: InvokedAs = "agent",
  companion: Companion = {},
): Promise<number> {
  const parsed = configuredFlags(args, invokedAs);
  switch (parsed.kind) {
    case "help":
      console.log(parsed.text.trimEnd());
      return EXIT.ok;
    case "version":
      console.log(LONG_VERSION);
      return EXIT.ok;
    case "error":
      console.error(parsed.message);
      return EXIT.usage;
    case "bad-config":
      for (const line of parsed.lines) console.error(line);
      return EXIT.config;
    case "run":
      return await run(parsed.flags, parsed.first, companion);
  }
}

/** What runs beside the daemon in one process. */
export interface Companion {
  /** The LocalAPI answers, and the node has begun. */
  readonly ready?: (flags: DaemonFlags, configured: boolean) => void;
  /** Ends the daemon, in order. */
  readonly end?: AbortSignal;
  /** For a configuration that has none of its own. */
  readonly authKey?: Secret;
}

async function run(flags: DaemonFlags, first: LoadedConfig, companion: Companion): Promise<number> {
  const processLog = stderrLog(flags.verbose, flags.logFormat);
  const { log } = processLog;
  try {
    if (flags.cleanup) {
      for (const line of await cleanUpMachine(flags)) log.info(`cleanup: ${line}`);
      return EXIT.ok;
    }
    return await serve(flags, processLog, first, companion);
  } catch (cause) {
    log.error(cause instanceof Error ? cause.message : String(cause));
    if (cause instanceof StateFileError) return EXIT.state;
    if (cause instanceof SocketError) return cause.busy ? EXIT.busy : EXIT.system;
    return cause instanceof SystemError ? EXIT.system : EXIT.failed;
  }
}

/** `AGENT_TEST_CAPABILITY_VERSION` lets a test speak to a server that wants one exact number. */
function capabilityVersion(): number {
  const text = Deno.env.get("AGENT_TEST_CAPABILITY_VERSION") ?? "";
  return /^[0-9]{1,4}$/.test(text) ? Number(text) : CAPABILITY_VERSION;
}

async function serve(
  flags: DaemonFlags,
  processLog: ProcessLog,
  first: LoadedConfig,
  companion: Companion,
): Promise<number> {
  const { log } = processLog;
  const startedAt = Date.now();
  await using stack = new AsyncDisposableStack();
  // A signal that comes while we start must not leave a TUN device or a socket behind.
  const ending = endOnSignal(stack, log);
  companion.end?.addEventListener("abort", () => ending.resolve(EXIT.ok));

  onStrayErrors(stack, log, ending);

  // The socket first: a second daemon must notice the first before it touches state or devices.
  await claimSocket(flags.socket);
  const roots = trustedRoots(flags.caFile);
  const proxyFor = proxyFromEnvironment(Deno.env.toObject());
  const store = flags.state.kind === "memory" ? new MemoryState() : StateFile.open(flags.state.path);
  if (store instanceof StateFile) {
    stack.defer(() => store.close());
    await refuseTwin(store, flags.socket);
  }

  const inbox = new EngineInbox();
  const timestamps = new TimestampCeiling({ store, scheduler: systemScheduler, warn: (text) => log.warn(text) });
  stack.defer(() => timestamps.close());
  const engine = await openEngine(flags, timestamps.shared, inbox, log);
  // Closing twice is no harm; this one is for a failure between here and the node.
  stack.defer(() => engine.close());
  const routing = stack.use(netlinkRouting(engine.tunName, flags.instance));

  const host = readHostFacts();
  const capability = capabilityVersion();
  // Until a signal says otherwise the end is a fault, and what keeps an exit node's traffic in outlives it.
  let code: number = EXIT.failed;
  const backend = systemNode({
    flags,
    store,
    engine,
    inbox,
    routing,
    roots,
    proxyFor,
    host,
    dnsTransport: stack.use(systemDnsTransport(roots)),
    capabilityVersion: capability,
    log,
    failed: (error) => {
      log.error(`the data plane failed: ${error.message}`);
      ending.resolve(EXIT.failed);
    },
  });
  stack.defer(() => backend.close(code !== EXIT.ok));
  timestamps.begin();
  // Before anything of ours is asked: a killed daemon may have left the machine without DNS.
  await backend.dns.start();

  const watch = watchLinks(backend, engine.tunName, flags.instance, log);
  stack.defer(() => watch.stop());
  stack.defer(followFilter(backend, log));
  stack.defer(watchMemory(readFile, systemScheduler, (text) => backend.problem("agent-memory-low", text)));
  const declared = new Declared({
    first,
    setLogLevel: (level) => processLog.threshold.set(flags.verbose > 0 ? "debug" : level),
    source: flags.config,
    backend,
    store,
    log,
    instance: flags.instance.name,
    flagEndpoints: flags.staticEndpoints,
    ...companion.authKey && { authKey: companion.authKey },
  });
  const api = await LocalApiServer.listen({
    path: flags.socket,
    version: LONG_VERSION,
    capabilityVersion: capability,
    routes: {
      ...localApiRoutes(backend, declared),
      ...observeRoutes(
        { backend, log: processLog, host, random: systemRandom, startedAt, readSysctl },
        systemScheduler,
      ),
    },
    credentials: (socket) => peerCredentials(socketFd(socket) ?? -1),
    canWrite: (uid) => mayWrite(uid, backend.prefs.OperatorUser, log),
    log,
  });
  stack.defer(() => api.close());
  onSignal(stack, "SIGHUP", () => {
    backend.networkChanged(true);
    void declared.reload();
  });

  const page = new MetricsPage({
    addresses: flags.instance.serviceAddresses.filter((address) => routing.hasFamily(address.includes(":") ? 6 : 4)),
    text: async () => userMetrics(await metricsInput(backend)),
    mayAsk: (address) => isOnThisMachine(address, localNetworks()),
    scheduler: systemScheduler,
    log: (text) => log.debug(text),
  });
  stack.defer(serveWhileUp(backend, page));
  const service = stack.adopt(openServiceStatus(engine), (opened) => opened.close());
  stack.defer(followStatus(backend, service));
  log.info(
    `agent ${LONG_VERSION} on ${flags.socket}, device ${engine.tunName}, UDP ports ` +
      `${engine.localPorts.udp4} (IPv4) and ${engine.localPorts.udp6} (IPv6)`,
  );
  await declared.start();
  service.ready();
  companion.ready?.(flags, declared.state.InUse);
  code = await ending.promise;
  log.info("stopping");
  service.stopping();
  return code;
}

function readFile(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}
