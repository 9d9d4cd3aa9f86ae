/**
 * Builds a node from its parts. The parts that touch the machine come in as ports, so that a test builds the same node
 * around an engine and a control server in memory.
 */
import type { Scheduler } from "../base/clock.ts";
import type { RandomBytes } from "../base/keys.ts";
import type { ControlApi } from "../control/client/types.ts";
import { createHttpsLatency } from "../derp/latency.ts";
import type { DerpDial } from "../derp/stream.ts";
import { DerpPool } from "../derp/pool.ts";
import type { Engine } from "../engine/engine.ts";
import { type AskWeb, findPortal, portalProbes } from "../engine/netcheck/captive_portal.ts";
import { Netcheck } from "../engine/netcheck/netcheck.ts";
import { PortMapper } from "../engine/portmap/port_mapper.ts";
import type { DeriveDisablement } from "../tka/kdf.ts";
import { Backend } from "./backend.ts";
import { Datapath } from "./datapath.ts";
import { Dns } from "./dns/dns.ts";
import type { DnsSystem } from "./dns/dns.ts";
import type { DnsTransport } from "./dns/forwarder.ts";
import { type LookUp, ofFamily } from "./dns/own_names.ts";
import type { EngineInbox } from "./engine_inbox.ts";
import { usableAddresses } from "./endpoints.ts";
import type { InterfaceAddress } from "./endpoints.ts";
import type { ReadSysctl } from "./forwarding.ts";
import type { HostFacts } from "./hostinfo.ts";
import type { Instance } from "./instance.ts";
import { isOnThisMachine } from "./local_networks.ts";
import type { LocalNetwork } from "./local_networks.ts";
import { EXPIRY_WARNING_MS, KeyExpiry } from "./key_expiry.ts";
import type { KeyExpiryOptions } from "./key_expiry.ts";
import { diskStores, memoryStores } from "./lock/stores.ts";
import { TailnetLock } from "./lock/tailnet_lock.ts";
import type { Log } from "./log.ts";
import { Firewall } from "./netfilter/firewall.ts";
import type { FilterBackend } from "./netfilter/firewall.ts";
import type { LocalUse } from "./netfilter/local_use.ts";
import { OsRouter } from "./os_router.ts";
import type { RoutingPort } from "./os_router.ts";
import type { PingPorts } from "./ping.ts";
import { PeerRelay } from "./peer_relay.ts";
import type { PeerRelayOptions } from "./peer_relay.ts";
import type { PortmapIo } from "./portmap_io.ts";
import { Profiles } from "./profiles.ts";
import type { StateStore } from "./state_file.ts";

/** What a node is built from. */
export interface NodeOptions {
  readonly version: string;
  readonly store: StateStore;
  readonly engine: Engine;
  readonly inbox: EngineInbox;
  readonly routing: RoutingPort;
  /** Makes a control client for a URL and the machine's key. @throws ControlError */
  readonly connect: (serverUrl: string, profiles: Profiles) => ControlApi;
  /** Where Tailnet Lock keeps its AUMs, `<state directory>/tka-profiles`; undefined to keep them in memory. */
  readonly lockDirectory: string | undefined;
  readonly deriveDisablement: DeriveDisablement;
  readonly capabilityVersion: number;
  /** From when on the end of the node key is spoken of, and to whom; two weeks, and nobody but log and health, unless given. */
  readonly keyExpiry?: KeyExpiryOptions;
  readonly dialDerp: DerpDial;
  /** Names of relays. */
  readonly lookUp: LookUp;
  /** Captive portals are not looked for where it is absent. */
  readonly askWeb?: AskWeb;
  readonly interfaces: () => readonly InterfaceAddress[];
  /** `ip:port` at which the operator says this node can be reached. */
  readonly staticEndpoints?: readonly string[];
  readonly networks: () => readonly LocalNetwork[];
  readonly instance: Instance;
  readonly readSysctl: ReadSysctl;
  readonly addressesInTwoTailnets: () => readonly string[];
  readonly localUse: () => LocalUse;
  readonly markedAnswers: (allowed: boolean) => void;
  /** What the packet filter is set by. @throws ProgramMissing */
  readonly filter: () => Promise<FilterBackend>;
  readonly dnsSystem: DnsSystem;
  readonly dnsTransport: DnsTransport;
  readonly icmpEcho: PingPorts["icmpEcho"];
  /** As that, but past the tunnel. */
  readonly icmpEchoOutside: PingPorts["icmpEcho"];
  readonly portmap: PortmapIo;
  readonly startPeerRelay: PeerRelayOptions["start"];
  readonly host: HostFacts;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
  readonly failed: (error: Error) => void;
}

/** Builds the node; `start` is the caller's to call. @throws StateFileError when the saved state cannot be used. */
export function buildNode(options: NodeOptions): Backend {
  const { store, engine, inbox, dialDerp, interfaces, scheduler, random, log } = options;
  const profiles = new Profiles(store, random, () => scheduler.wall());
  let datapath: Datapath;
  const portmap = new PortMapper(
    { ...options.portmap, scheduler, random, localPort: () => engine.localPorts.udp4 },
    () => datapath.portMapChanged(),
    (line) => log.debug(line),
  );
  const localFamilies = () => {
    const addresses = usableAddresses(interfaces(), engine.tunName);
    const has = (length: number) => addresses.some((ip) => ip.length === length);
    return { v4: has(4), v6: has(16), osHasIpv6: options.routing.hasFamily(6) };
  };
  const { askWeb, lookUp } = options;
  const resolve = ofFamily(lookUp);
  const netcheck = new Netcheck({
    scheduler,
    random,
    sendStun: (to, payload) => engine.sendStun(to, payload),
    onStun: (handler) => datapath.onStun(handler),
    resolve,
    icmpLatency: options.icmpEchoOutside,
    portmap: () => portmap.probe(),
    httpsLatency: createHttpsLatency(dialDerp, scheduler),
    askWeb,
    localFamilies,
  });
  const peerRelay = new PeerRelay({
    start: options.startPeerRelay,
    interfaces,
    tunName: engine.tunName,
    resolve,
    localFamilies,
    scheduler,
    random,
    log,
    problem: (text) => backend.problem("agent-peer-relay", text),
  });
  const lock = new TailnetLock({
    store,
    stores: options.lockDirectory === undefined ? memoryStores() : diskStores(options.lockDirectory),
    derive: options.deriveDisablement,
    capabilityVersion: options.capabilityVersion,
    persist: () => profiles.prefs.persist,
    isProfile: (id) => profiles.list().some((profile) => profile.ID === id),
    scheduler,
    random,
    log: log.child("lock"),
  });
  const routing = new OsRouter(options.routing, (text) => {
    log.error(text);
    backend.problem("router", text);
  }, options.instance);
  const firewall = new Firewall({
    instance: options.instance,
    backend: options.filter,
    families: () => ([4, 6] as const).filter((family) => options.routing.hasFamily(family)),
    scheduler,
    log: log.child("netfilter"),
    problem: (text) => backend.problem("agent-netfilter", text),
  });
  const { serviceAddresses: all } = options.instance;
  const serviceAddresses = all.filter((address) => options.routing.hasFamily(address.includes(":") ? 6 : 4));
  const dns = new Dns({
    system: options.dnsSystem,
    transport: options.dnsTransport,
    serviceAddresses,
    mayAsk: (address) => isOnThisMachine(address, options.networks()),
    scheduler,
    random,
    log,
    problem: (code, text) => backend.problem(code, text),
  });
  const backend: Backend = new Backend({
    dns,
    version: options.version,
    profiles,
    ephemeral: store.ephemeral,
    lock,
    keyExpiry: new KeyExpiry(options.keyExpiry ?? { warnMs: EXPIRY_WARNING_MS }, log),
    connect: (serverUrl) => options.connect(serverUrl, profiles),
    findPortal: async (map, home) =>
      askWeb !== undefined && await findPortal(portalProbes(map, home), { scheduler, askWeb }),
    icmpEcho: options.icmpEcho,
    networks: options.networks,
    readSysctl: options.readSysctl,
    addressesInTwoTailnets: options.addressesInTwoTailnets,
    host: options.host,
    scheduler,
    random,
    log,
    failed: options.failed,
    datapath: (events) => {
      datapath = new Datapath({
        engine,
        relays: (privateKey, poolEvents) =>
          new DerpPool({
            privateKey,
            scheduler,
            random,
            dial: dialDerp,
            events: poolEvents,
            log: (line) => log.debug(`derp: ${line}`),
          }),
        netcheck,
        portmap,
        routing,
        peerRelay,
        lock,
        interfaces,
        staticEndpoints: options.staticEndpoints ?? [],
        networks: options.networks,
        localUse: options.localUse,
        markedAnswers: options.markedAnswers,
        firewall,
        serviceAddresses,
        scheduler,
        random,
        log,
        events,
      });
      inbox.connect(datapath.engineEvents());
      return datapath;
    },
  });
  return backend;
}
