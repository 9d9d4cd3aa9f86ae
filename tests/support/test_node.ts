/**
 * A whole node in memory: the daemon's own backend around a fake engine, a fake control server, no relays and a system
 * without routes. Time is the test's.
 */
import { Duplex } from "node:stream";
import { Backend } from "../../daemon/backend.ts";
import { EngineInbox } from "../../daemon/engine_inbox.ts";
import { ONE_NODE } from "../../daemon/instance.ts";
import type { KeyExpiryOptions } from "../../daemon/key_expiry.ts";
import type { HostFacts } from "../../daemon/hostinfo.ts";
import type { AskWeb } from "../../engine/netcheck/captive_portal.ts";
import type { DeriveDisablement } from "../../tka/kdf.ts";
import { createLog } from "../../daemon/log.ts";
import type { LocalNetwork } from "../../daemon/local_networks.ts";
import { NO_LOCAL_USE } from "../../daemon/netfilter/local_use.ts";
import type { LocalUse } from "../../daemon/netfilter/local_use.ts";
import { buildNode } from "../../daemon/node.ts";
import type { RoutingPort } from "../../daemon/os_router.ts";
import type { Notify } from "../../daemon/bus.ts";
import { change } from "../../daemon/prefs.ts";
import type { Prefs } from "../../daemon/prefs.ts";
import { MemoryState } from "../../daemon/state_file.ts";
import type { StateStore } from "../../daemon/state_file.ts";
import { FakeControl } from "./fake_control.ts";
import { FakeEngine } from "./fake_engine.ts";
import { FakeRelays } from "./fake_relay.ts";
import { FakeServers } from "./dns.ts";
import { noConfigurator } from "../../daemon/dns/os/configurator.ts";
import { FakeScheduler } from "./fake_scheduler.ts";
import { SeededRandom } from "./random.ts";

const HOST: HostFacts = {
  hostname: "testhost",
  kernel: "6.1.0",
  machine: "x86_64",
  distro: "debian",
  distroVersion: "12",
  distroCodeName: "bookworm",
  container: false,
};

/** Remembers addresses and routes. */
export class FakeRouting implements RoutingPort {
  readonly addresses = new Set<string>();
  readonly routes = new Set<string>();
  readonly rules = new Set<string>();
  linkUp(): void {}
  addAddress(prefix: string): void {
    this.addresses.add(prefix);
  }
  deleteAddress(prefix: string): void {
    this.addresses.delete(prefix);
  }
  addRoute(prefix: string): void {
    this.routes.add(prefix);
  }
  deleteRoute(prefix: string): void {
    this.routes.delete(prefix);
  }
  hasFamily(): boolean {
    return true;
  }
  addRule(family: 4 | 6, rule: { priority: number }): void {
    this.rules.add(`${family}:${rule.priority}`);
  }
  deleteRule(family: 4 | 6, rule: { priority: number }): void {
    this.rules.delete(`${family}:${rule.priority}`);
  }
  presentRoutes(): ReadonlySet<string> {
    return this.routes;
  }
  foreignRoutes(): number {
    return 0;
  }
}

const nothingBefore = () => Promise.resolve({ nameservers: [], searchDomains: [] });

/** What a test node can be given. */
export interface TestNodeOptions {
  readonly store?: StateStore;
  readonly control?: FakeControl;
  readonly seed?: number;
  /** Of Tailnet Lock; in memory unless given. */
  readonly lockDirectory?: string;
  /** The secret itself is the disablement value unless given. */
  readonly deriveDisablement?: DeriveDisablement;
  /** Web servers; nobody is asked where it is absent. */
  readonly askWeb?: AskWeb;
  readonly keyExpiry?: KeyExpiryOptions;
  /** What of the tailnets' range this machine uses already; nothing unless given. */
  readonly localUse?: LocalUse;
  /** A look at the routing table. */
  readonly addressesInTwoTailnets?: () => readonly string[];
}

/** The node and everything around it. */
export class TestNode implements AsyncDisposable {
  readonly control: FakeControl;
  readonly scheduler = new FakeScheduler();
  readonly routing = new FakeRouting();
  readonly relays = new FakeRelays();
  readonly store: StateStore;
  readonly engine: FakeEngine;
  readonly backend: Backend;
  /** Every line logged, with debug lines. */
  readonly logged: string[] = [];
  /** Every notification since the node was made. */
  readonly notified: Notify[] = [];
  /** The networks this machine is on. */
  networks: LocalNetwork[] = [{ device: "eth0", prefix: "192.0.2.10/24", kind: "lan" }];
  failure: Error | undefined;

  constructor(options: TestNodeOptions = {}) {
    this.control = options.control ?? new FakeControl();
    this.store = options.store ?? new MemoryState();
    const inbox = new EngineInbox();
    this.engine = new FakeEngine(inbox.events);
    this.backend = buildNode({
      version: "1.2.3",
      store: this.store,
      engine: this.engine,
      inbox,
      routing: this.routing,
      connect: (url, profiles) => {
        profiles.machineKey();
        return this.control.connect(url);
      },
      dialDerp: () => Promise.resolve({ duplex: new Duplex({ read() {}, write() {} }), host: "relay" }),
      askWeb: options.askWeb,
      lockDirectory: options.lockDirectory,
      deriveDisablement: options.deriveDisablement ?? ((secret) => Promise.resolve(secret)),
      capabilityVersion: 130,
      ...(options.keyExpiry && { keyExpiry: options.keyExpiry }),
      interfaces: () => [{ device: "eth0", address: "192.0.2.10" }, { device: "fake0", address: "100.64.0.1" }],
      networks: () => this.networks,
      readSysctl: () => undefined,
      addressesInTwoTailnets: options.addressesInTwoTailnets ?? (() => []),
      localUse: () => options.localUse ?? NO_LOCAL_USE,
      markedAnswers: () => {},
      filter: () =>
        Promise.resolve({
          name: "none",
          silent: false,
          look: () => Promise.resolve({ print: "", limit: "" }),
          apply: () => Promise.resolve(),
          remove: () => Promise.resolve(),
        }),
      // No sockets: nobody answers DNS.
      instance: { ...ONE_NODE, serviceAddresses: [] },
      dnsTransport: new FakeServers({}),
      dnsSystem: { open: () => Promise.resolve(noConfigurator({ mode: "none", why: "a test" }, nothingBefore)) },
      icmpEcho: () => Promise.resolve(3.5),
      icmpEchoOutside: () => Promise.resolve(3.5),
      lookUp: (host) => Promise.reject(new Error(`nobody knows ${host}`)),
      portmap: {
        gateway: () => undefined,
        open: () => Promise.reject(new Error("no sockets here")),
        http: () => Promise.resolve(undefined),
      },
      startPeerRelay: this.relays.start,
      host: HOST,
      scheduler: this.scheduler,
      random: new SeededRandom(options.seed ?? 1).bytes,
      log: createLog({ verbose: 1, wall: () => 0, bare: true, write: (line) => this.logged.push(line) }),
      failed: (error) => this.failure = error,
    });
    const watcher = this.backend.bus.watch(1 << 12);
    (async () => {
      for await (const notify of watcher.messages()) this.notified.push(notify);
    })();
  }

  /** Lets everything that is ready happen. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await this.scheduler.settle();
  }

  /** What `up` does on a fresh node: start with preferences, then log in. */
  async up(values: Partial<Prefs> = {}, authKey?: ConstructorParameters<typeof String>[0]): Promise<void> {
    const { Secret } = await import("../../base/secret.ts");
    await this.backend.start({
      updatePrefs: {
        ...this.backend.prefs,
        ControlURL: "https://control.test",
        WantRunning: true,
        LoggedOut: false,
        ...values,
      },
      ...(authKey && { authKey: new Secret(authKey) }),
    });
    this.backend.loginInteractive();
    await this.settle();
  }

  down(): void {
    this.backend.editPrefs(change({ WantRunning: false }));
  }

  /** The engine says that a handshake with some peer succeeded. */
  async goLive(): Promise<void> {
    this.engine.events.pathChanged({
      key: "00".repeat(32),
      currentAddress: "192.0.2.1:1",
      derp: 0,
      rxBytes: 0,
      txBytes: 0,
      lastHandshake: 1,
      lastSend: 1,
      lastReceive: 1,
      active: true,
    });
    await this.settle();
  }

  /** States in the order the bus told them. */
  get states(): number[] {
    return this.notified.flatMap((notify) => notify.State ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backend.close();
  }
}
