/** An engine in memory: remembers what it was told, and says what the test wants. */
import type {
  EngineConfig,
  EngineStatus,
  LocalEndpoint,
  PathReport,
  PeerStatus,
  PingOutcome,
  RelayRequest,
  RelaySessionConfig,
} from "../../engine/config.ts";
import type { DerpPacket, Engine, EngineEvents, RefusedProvider } from "../../engine/engine.ts";

/** What an engine that has seen nothing says. */
const IDLE: EngineStatus = {
  cryptoProvider: "noble",
  offloads: { csum: false, tso: false, uso: false },
  drops: {},
  paths: { direct_ipv4: { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 } },
  turns: { turns: 0, longByCpu: 0, longByWall: 0, longestCpuMs: 0, longestWallMs: 0 },
  peers: [],
};

/** Implements `Engine` without packets. */
export class FakeEngine implements Engine {
  readonly discoKey = "d1".repeat(32);
  readonly localPorts = { udp4: 41641, udp6: 0 };
  readonly tunName = "fake0";
  readonly refusedProviders: RefusedProvider[] = [];
  readonly configs: EngineConfig[] = [];
  readonly stunSent: { to: string; payload: Uint8Array }[] = [];
  readonly derpPackets: DerpPacket[] = [];
  readonly relaySessions: { request: RelayRequest; session: RelaySessionConfig }[] = [];
  endpoints: readonly LocalEndpoint[] = [];
  rebinds = 0;
  closed = false;
  /** Answer of disco and TSMP pings. */
  pong: PingOutcome | undefined = { latencyMs: 12.5, endpoint: "192.0.2.1:41641", derp: 0 };
  /** What is known of the way to any peer. */
  report: PathReport | undefined;
  /** Peers as `status` shows them, in place of those configured. */
  peerStatus: readonly PeerStatus[] | undefined;
  readonly #events: EngineEvents;

  constructor(events: EngineEvents) {
    this.#events = events;
  }

  /** For the test to raise events with. */
  get events(): EngineEvents {
    return this.#events;
  }

  /** The configuration in force. */
  get config(): EngineConfig | undefined {
    return this.configs.at(-1);
  }

  configure(config: EngineConfig): void {
    this.configs.push(config);
  }
  setLocalEndpoints(endpoints: readonly LocalEndpoint[], _fresh: boolean): void {
    this.endpoints = endpoints;
  }
  derpReceived(packet: DerpPacket): void {
    this.derpPackets.push(packet);
  }
  derpPeerGone(): void {}
  sendStun(to: string, payload: Uint8Array): void {
    this.stunSent.push({ to, payload });
  }
  relaySession(request: RelayRequest, session: RelaySessionConfig): void {
    this.relaySessions.push({ request, session });
  }
  ping(): Promise<PingOutcome | undefined> {
    return Promise.resolve(this.pong);
  }
  tsmpPing(): Promise<PingOutcome | undefined> {
    return Promise.resolve(this.pong);
  }
  pathReport(): Promise<PathReport | undefined> {
    return Promise.resolve(this.report);
  }
  status(): Promise<EngineStatus> {
    const peers = this.peerStatus ?? (this.config?.peers ?? []).map((peer) => ({
      key: peer.key,
      currentAddress: "",
      derp: peer.derp,
      rxBytes: 0,
      txBytes: 0,
      lastHandshake: 0,
      lastSend: 0,
      lastReceive: 0,
      active: false,
    }));
    return Promise.resolve({ ...IDLE, peers });
  }
  heartbeat(): Promise<void> {
    return Promise.resolve();
  }
  rebind(): void {
    this.rebinds++;
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}
