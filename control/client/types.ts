/**
 * The control client as the daemon sees it.
 *
 * ```
 *   register ──▶ auth-url ──(register again with followup = url, waits for the person)──▶ registered
 *       │                                                                                     │
 *       ├──▶ key-expired ──(make a new node key, register again with oldNodeKey)              ▼
 *       └──▶ rejected (text of the server)                                    poll ──▶ netmap, netmap, …
 *                                                                              │  ◀── update (lite, coalesced)
 *                                                                              └──▶ PollEnd
 * ```
 */
import type { RandomBytes } from "../../base/keys.ts";
import type { DiscoPublic, MachinePrivate, MachinePublic, NodePublic } from "../../base/keys.ts";
import type { LockPublic } from "../../base/lock_key.ts";
import type { Scheduler } from "../../base/clock.ts";
import type { ProxyChoice } from "../../base/web_proxy.ts";
import type { Secret } from "../../base/secret.ts";
import type { ControlDialPlan, Hostinfo, Login, PingRequest, User } from "../wire/tailcfg.ts";
import type { Connect, TcpConnect } from "./connect.ts";
import type { ControlError } from "./errors.ts";
import type { HttpFetch } from "./http_fetch.ts";
import type { Netmap, NetmapChange } from "./netmap.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Where the Noise keys of control servers are kept, by URL. */
export interface ServerKeyStore {
  load(url: string): MachinePublic | undefined;
  save(url: string, key: MachinePublic): void;
}

/** What the client is built from. */
export interface ControlOptions {
  /** `https://host[:port]`, or `http://` for a private server. */
  readonly serverUrl: string;
  readonly machineKey: MachinePrivate;
  /** Trusted roots, PEM. */
  readonly ca: readonly string[];
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: (level: LogLevel, text: string) => void;
  readonly serverKeys: ServerKeyStore;
  /** Take a changed server key instead of refusing it. */
  readonly acceptNewServerKey: boolean;
  /** `CAPABILITY_VERSION`, unless a test says otherwise. */
  readonly capabilityVersion: number;
  /** The operator's web proxy; none when absent. */
  readonly proxyFor?: ProxyChoice;
  /** The network; the real one unless a test says otherwise. */
  readonly network?: { readonly fetch?: HttpFetch; readonly connect?: Connect; readonly tcp?: TcpConnect };
}

/** A registration. The private node key stays with the daemon: its public half is all control needs. */
export interface RegisterInput {
  readonly nodeKey: NodePublic;
  /** The key `nodeKey` replaces. */
  readonly oldNodeKey?: NodePublic;
  readonly lockKey: LockPublic;
  /** As the operator gave it, a `--TL` suffix included; only the part before it is sent. */
  readonly authKey?: Secret;
  /** The URL of an `auth-url` outcome: the answer waits until the person has been there. */
  readonly followup?: string;
  readonly hostinfo: Hostinfo;
  readonly ephemeral: boolean;
  /** Unix ms. An earlier expiry of the key than control would choose. */
  readonly expiry?: number;
  /** Tailnet Lock: signature of `nodeKey`, CBOR of a NodeKeySignature. */
  readonly nodeKeySignature?: Uint8Array;
}

export type RegisterOutcome =
  | {
    readonly kind: "registered";
    readonly user: User | undefined;
    readonly login: Login | undefined;
    /** False while an admin has to approve the machine; the map then has no peers. */
    readonly machineAuthorized: boolean;
  }
  /** A person is to open `url`, an http(s) URL. */
  | { readonly kind: "auth-url"; readonly url: string }
  /** Make a new node key and register it with `oldNodeKey`. */
  | { readonly kind: "key-expired" }
  /** Wrap this signature of the old node key for the new one and register again (`tka` resign). */
  | { readonly kind: "needs-signature"; readonly oldSignature: Uint8Array }
  /** The server's own words. */
  | { readonly kind: "rejected"; readonly reason: string };

/** An own endpoint. `type` is `ENDPOINT_TYPE`. */
export interface EndpointInput {
  /** `ip:port`. */
  readonly addr: string;
  readonly type: number;
}

/** What the server is told of this node. */
export interface NodeState {
  readonly hostinfo: Hostinfo;
  readonly endpoints: readonly EndpointInput[];
  readonly discoKey: DiscoPublic;
  /** Base32 hash of the newest AUM applied here, "" when there is none. */
  readonly tkaHead: string;
}

export interface PollInput extends NodeState {
  readonly nodeKey: NodePublic;
}

export type PollState =
  | { readonly kind: "connecting" }
  | { readonly kind: "connected" }
  /** `atMs` is wall time of the next try. */
  | { readonly kind: "retrying"; readonly error: ControlError; readonly atMs: number };

/** Called in the order of the messages, never two at once. What they throw ends the poll with that error. */
export interface PollHandlers {
  netmap(netmap: Netmap, change: NetmapChange): void;
  status?(state: PollState): void;
  /** Control's clock less ours, ms; called when it differs by more than a minute from what was told before. */
  clockDelta?(deltaMs: number): void;
  /** A URL control wants opened; http(s) only, each once. */
  openUrl?(url: string): void;
  dialPlan?(plan: ControlDialPlan): void;
  /**
   * Answers an HTTP request of control to this node ("c2n"), other than `/echo`, which the client answers.
   * Undefined is 400, as Tailscale answers an unknown path.
   */
  c2n?(request: C2nRequest): Promise<C2nResponse | undefined>;
  /** TSMP, disco, ICMP and peerapi pings; the answer is what is POSTed to the request's URL as JSON. */
  ping?(request: PingRequest, type: string): Promise<unknown>;
}

export interface C2nRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface C2nResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/**
 * Why a poll ended. An expired node key does not end it: the netmap says so (`isExpired`), and an admin may extend the
 * key while we listen.
 */
export type PollEnd =
  | { readonly kind: "aborted" }
  /** The server does not know this node key (any more), or refuses it. Register again. */
  | { readonly kind: "node-unknown"; readonly reason: string }
  /** An error that trying again cannot mend. */
  | { readonly kind: "failed"; readonly error: ControlError };

/** Counters of a client's life, for metrics. */
export interface ControlStats {
  /** Noise connections made. */
  connections: number;
  /** Polls begun, first and repeated. */
  polls: number;
  mapResponses: number;
  keepAlives: number;
  /** Messages of the server that broke the protocol. */
  malformed: number;
  pings: number;
  liteUpdates: number;
  liteUpdateErrors: number;
}

/** A raw request on the Noise channel, as the lock's RPCs make them. */
export interface ControlRequest {
  readonly method: "GET" | "POST";
  /** `/machine/…`. */
  readonly path: string;
  readonly body: unknown;
  /** Load balancer hints, `Ts-Lb`. */
  readonly nodeKeys?: readonly NodePublic[];
  readonly timeoutMs?: number;
  /** Largest answer taken, bytes; 1 MiB unless told. */
  readonly limit?: number;
}

/** One control server, for one machine key. Implemented by `ControlClient` in client.ts. */
export interface ControlApi {
  /** @throws ControlError for transport errors. The signal's reason when aborted. */
  register(input: RegisterInput, signal: AbortSignal): Promise<RegisterOutcome>;
  /** Polls until aborted or told to stop, connecting again with back-off. One at a time. */
  poll(input: PollInput, handlers: PollHandlers, signal: AbortSignal): Promise<PollEnd>;
  /** Tells the server of a change; coalesced, and tried again until it got through. Nothing while no poll runs. */
  update(change: Partial<NodeState>): void;
  /** Expires the node key at once. */
  logout(input: Omit<RegisterInput, "followup" | "expiry" | "authKey">, signal: AbortSignal): Promise<void>;
  /** JSON in, JSON out. @throws ControlError, `http` for a status other than 200 with the body's text. */
  request(request: ControlRequest, signal?: AbortSignal): Promise<unknown>;
  /** Drops the connection; what runs connects again. For a change of the network. */
  reconnect(): void;
  readonly stats: Readonly<ControlStats>;
  close(): void;
}
