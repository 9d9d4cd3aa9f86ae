/**
 * The node on this machine: what `buildNode` is given for ports, of kernel, network and environment, as the daemon's flags
 * say. All connections and look-ups of its own go past the tunnel.
 */
import { lookup } from "node:dns/promises";
import { reasonOf } from "../base/reason.ts";
import { systemRandom, systemScheduler } from "../base/system.ts";
import { LONG_VERSION } from "../base/version.ts";
import type { ProxyChoice } from "../base/web_proxy.ts";
import { ControlClient } from "../control/client/client.ts";
import { createDerpDial } from "../derp/dial.ts";
import { icmpEcho } from "../ffi/icmp.ts";
import { deriveInWorker } from "../tka/kdf.ts";
import { askWeb } from "./ask_web.ts";
import type { Backend } from "./backend.ts";
import { etcDirectory, putMarkedAnswersBack } from "./clean_up.ts";
import { markedDnsTransport } from "./dns/marked_transport.ts";
import { systemDns } from "./dns/os/system.ts";
import { ofFamily, ownNames } from "./dns/own_names.ts";
import { expiryHook } from "./expiry_hook.ts";
import type { DaemonFlags } from "./flags.ts";
import { readSysctl } from "./forwarding.ts";
import { limitedKdf } from "./lock/kdf_limit.ts";
import { allowMarkedAnswers, writeSysctl } from "./marked_answers.ts";
import { markedTcp } from "./marked_tcp.ts";
import { chooseBackend } from "./netfilter/choose.ts";
import { orAsBefore } from "./netfilter/local_use.ts";
import { systemLocalUse } from "./netfilter/system_use.ts";
import { addressesInTwoTailnets } from "./netlink_routing.ts";
import { buildNode } from "./node.ts";
import type { NodeOptions } from "./node.ts";
import { startPeerRelay } from "./peer_relay_host.ts";
import { systemPortmap } from "./portmap_io.ts";
import { serverKeyStore } from "./server_keys.ts";
import { interfaceAddresses, localNetworks } from "./system.ts";

/** What the daemon has opened for it. */
export interface SystemNodeOptions extends
  Pick<
    NodeOptions,
    "store" | "engine" | "inbox" | "routing" | "host" | "dnsTransport" | "capabilityVersion" | "log" | "failed"
  > {
  readonly flags: DaemonFlags;
  /** PEM. */
  readonly roots: readonly string[];
  readonly proxyFor: ProxyChoice;
}

/** Builds it; `start` is the caller's to call. @throws StateFileError when the saved state cannot be used */
export function systemNode(options: SystemNodeOptions): Backend {
  const { flags, store, engine, inbox, routing, roots, proxyFor, host, dnsTransport, capabilityVersion } = options;
  const { log, failed } = options;
  const { bypassMark: mark, serviceAddresses } = flags.instance;
  const lookUp = ownNames({
    system: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
    base: () => backend.dns.base(),
    serviceAddresses,
    transport: markedDnsTransport(mark),
    scheduler: systemScheduler,
    random: systemRandom,
  });
  const tcp = markedTcp(mark, lookUp);
  const backend: Backend = buildNode({
    version: LONG_VERSION,
    store,
    engine,
    inbox,
    routing,
    connect: (serverUrl, profiles) =>
      new ControlClient({
        serverUrl,
        machineKey: profiles.machineKey(),
        ca: roots,
        proxyFor,
        scheduler: systemScheduler,
        random: systemRandom,
        log: (level, text) => log.child("control")[level](text),
        serverKeys: serverKeyStore(store),
        acceptNewServerKey: flags.acceptNewServerKey,
        capabilityVersion,
        network: { tcp },
      }),
    // Tailscale's own variable: a test's headscale without TLS serves its relay by plain HTTP.
    dialDerp: createDerpDial({
      scheduler: systemScheduler,
      ca: roots,
      proxyFor,
      controlNow: () => backend.controlNow,
      connect: tcp,
      resolve: ofFamily(lookUp),
      plainHttp: Deno.env.get("TS_DEBUG_USE_DERP_HTTP") === "1",
    }),
    lookUp,
    askWeb: askWeb(tcp),
    lockDirectory: flags.stateDir === undefined ? undefined : `${flags.stateDir}/tka-profiles`,
    deriveDisablement: limitedKdf(systemScheduler, deriveInWorker),
    capabilityVersion,
    keyExpiry: {
      warnMs: flags.expiryWarningMs,
      ...(flags.expiryHook !== undefined && {
        hook: expiryHook(flags.expiryHook, { socket: flags.socket, log, scheduler: systemScheduler }),
      }),
    },
    interfaces: interfaceAddresses,
    staticEndpoints: flags.staticEndpoints,
    networks: localNetworks,
    instance: flags.instance,
    readSysctl,
    addressesInTwoTailnets: () => addressesInTwoTailnets(engine.tunName, flags.instance),
    markedAnswers: (allowed) => {
      if (!allowed) return void putMarkedAnswersBack(flags.instance);
      const problem = allowMarkedAnswers(flags.instance, writeSysctl, readSysctl);
      if (problem !== "") log.warn(problem);
    },
    localUse: orAsBefore(
      () => systemLocalUse(engine.tunName, localNetworks(), flags.instance.serviceAddresses),
      (cause) => log.warn(`who else uses 100.64.0.0/10 on this machine cannot be seen: ${reasonOf(cause)}`),
    ),
    filter: () => chooseBackend(flags.instance),
    icmpEcho: (ip, timeoutMs) => icmpEcho({ ip, timeoutMs }),
    icmpEchoOutside: (ip, timeoutMs) => icmpEcho({ ip, timeoutMs, mark }),
    portmap: systemPortmap(interfaceAddresses, mark),
    startPeerRelay: (options) => startPeerRelay(options, mark),
    dnsTransport,
    dnsSystem: systemDns({
      device: engine.tunName,
      owner: flags.instance.prefix,
      container: host.container,
      etc: etcDirectory(),
      scheduler: systemScheduler,
      log: (line) => log.info(`dns: ${line}`),
    }),
    host,
    scheduler: systemScheduler,
    random: systemRandom,
    log,
    failed,
  });
  return backend;
}
