/**
 * The engine as the daemon sees it: one interface, so that the daemon's tests run with an engine in memory.
 * `engine/dataplane/` implements it over a worker.
 */
import type {
  EngineConfig,
  EngineStatus,
  LocalEndpoint,
  PathReport,
  PeerStatus,
  PingOutcome,
  RelayRequest,
  RelaySessionConfig,
} from "./config.ts";

/** A datagram for a DERP relay, or one from it. */
export interface DerpPacket {
  readonly region: number;
  /** 64 hex digits of the peer's node key. */
  readonly peer: string;
  readonly payload: Uint8Array;
}

/** What the engine tells the daemon. All calls come on the main thread. */
export interface EngineEvents {
  /** Send this by DERP. The payload is the receiver's to keep. */
  derpSend(packet: DerpPacket): void;
  /** A STUN answer arrived on one of the engine's sockets; `from` is `ip:port`. */
  stunReceived(payload: Uint8Array, from: string): void;
  /** The engine is active and wants fresh endpoints (`magicsock.ReSTUN`). */
  endpointsWanted(reason: string): void;
  /** Somebody who may wants a session of the relay server here; to be answered by `relaySession`, or not. */
  relayRequested(request: RelayRequest): void;
  /** A peer's path changed; for logs and the bus. */
  pathChanged(status: PeerStatus): void;
  /** The worker died; the daemon must say so and exit. */
  failed(error: Error): void;
}

/** A crypto provider that was passed over, and why. */
export interface RefusedProvider {
  readonly name: string;
  readonly failure: string;
}

/** The running engine. */
export interface Engine {
  /** Own node's disco public key, 64 hex digits. */
  readonly discoKey: string;
  /** UDP ports bound, 0 where a family is absent. */
  readonly localPorts: { readonly udp4: number; readonly udp6: number };
  readonly tunName: string;
  /** Faster crypto providers than the one in use that could not be used; none where the operator chose one. */
  readonly refusedProviders: readonly RefusedProvider[];
  /** Replaces the configuration; only differences reach the worker. */
  configure(config: EngineConfig): void;
  /** Own endpoints, for CallMeMaybe. @param fresh a netcheck has just found them: what waits for that is sent */
  setLocalEndpoints(endpoints: readonly LocalEndpoint[], fresh: boolean): void;
  /** A packet that a DERP relay delivered. */
  derpReceived(packet: DerpPacket): void;
  /** The relay says a peer is not there. */
  derpPeerGone(region: number, peer: string): void;
  /** Sends a STUN request from the engine's own socket of the address's family. */
  sendStun(to: string, payload: Uint8Array): void;
  /** The relay server here gave a session to whoever asked for it. */
  relaySession(request: RelayRequest, session: RelaySessionConfig): void;
  /** Disco ping; undefined when no pong came in time. `size` pads it. */
  ping(peer: string, size: number, timeoutMs: number): Promise<PingOutcome | undefined>;
  /** All that is known of the way to a peer (64 hex digits of its node key); undefined when there is none such. */
  pathReport(peer: string): Promise<PathReport | undefined>;
  /** TSMP ping of a peer's Tailscale address, through WireGuard and answered by the peer's engine. */
  tsmpPing(address: string, timeoutMs: number): Promise<PingOutcome | undefined>;
  status(): Promise<EngineStatus>;
  /** Resolves once the worker has answered, which it does between packets; never, while it hangs. */
  heartbeat(): Promise<void>;
  /** Sockets are rebound and paths forgotten after links or addresses changed. */
  rebind(): void;
  close(): Promise<void>;
}
