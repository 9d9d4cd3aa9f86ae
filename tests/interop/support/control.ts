// A control server to test against: Tailscale's testcontrol, with its DERP relay and a STUN responder.

import { type LabOptions, LabProcess } from "./lab.ts";

/** A tailcfg value as Go's JSON has it. The tests read the few fields they are about. */
// deno-lint-ignore no-explicit-any
export type GoJson = any;

export interface ControlFlags {
  /** "ip:port" to serve on; port 0 picks one. Default 127.0.0.1:0. */
  readonly listen?: string;
  readonly listen6?: string;
  readonly derp?: string;
  readonly derp6?: string;
  readonly stun?: string;
  readonly stun6?: string;
  readonly publicUrl?: string;
  readonly authkey?: string;
  readonly magicDnsDomain?: string;
  readonly requireAuth?: boolean;
  readonly requireMachineAuth?: boolean;
  readonly allOnline?: boolean;
  readonly sameUser?: boolean;
  readonly peerRelay?: boolean;
  readonly derpPin?: boolean;
  readonly derpMetaCert?: boolean;
  readonly defaultCaps?: string;
  readonly tagOwners?: string;
  readonly region?: number;
  readonly verbose?: boolean;
}

export interface GateState {
  readonly addrs: readonly string[];
  readonly open: boolean;
  readonly conns: number;
}

export interface RelayState extends GateState {
  readonly publicKey: string;
  readonly certSha256: string;
  readonly stun: readonly { addr: string; enabled: boolean; requests: number; others: number }[];
  /** derpserver's expvars. */
  readonly counters: Record<string, number> & { counter_packets_received_kind: { disco: number; other: number } };
}

export interface ControlReady {
  readonly url: string;
  readonly control: GateState;
  readonly derp: RelayState;
  readonly derpMap: GoJson;
}

/** What a test may do to a gate: stop it (listener and connections), start it again, or cut its connections. */
export type GateOrder = "stop" | "start" | "cut";

/** Flags as command-line arguments: camelCase to kebab-case, booleans as --flag=true. */
export function flagArgs(flags: Readonly<Record<string, string | number | boolean | undefined>>): string[] {
  return Object.entries(flags).filter(([, v]) => v !== undefined).map(([name, value]) =>
    `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}=${value}`
  );
}

/** A running `lab control`. A node is named by its node key or by the host name it registered with. */
export class LabControl implements AsyncDisposable {
  readonly process: LabProcess<ControlReady>;

  private constructor(process: LabProcess<ControlReady>) {
    this.process = process;
  }

  static async start(options: LabOptions, flags: ControlFlags = {}): Promise<LabControl> {
    return new LabControl(await LabProcess.start<ControlReady>(options, ["control", ...flagArgs({ ...flags })]));
  }

  /** The base URL nodes are given. */
  get url(): string {
    return this.process.ready.url;
  }

  nodes(): Promise<GoJson[]> {
    return this.process.send("GET /nodes");
  }
  node(node: string): Promise<GoJson> {
    return this.process.send("POST /node", { node });
  }
  /** Waits until the node has a streaming map poll open, and returns the node. */
  awaitPolling(node: string, timeoutMs = 20_000): Promise<GoJson> {
    return this.process.send("POST /node/await", { node, timeoutMs });
  }
  /** Overwrites the given fields of a tailcfg.Node and tells every node. */
  updateNode(node: string, fields: Record<string, unknown>): Promise<GoJson> {
    return this.process.send("POST /node/update", { node, fields });
  }
  addFakeNode(fields?: Record<string, unknown>): Promise<GoJson> {
    return this.process.send("POST /node/fake", { fields });
  }
  expire(node: string): Promise<GoJson> {
    return this.process.send("POST /node/expire", { node });
  }
  expireAll(expired: boolean): Promise<unknown> {
    return this.process.send("POST /expire-all", { expired });
  }
  completeAuth(url: string): Promise<unknown> {
    return this.process.send("POST /auth/complete", { url });
  }
  approveDevice(node: string): Promise<unknown> {
    return this.process.send("POST /device/approve", { node });
  }
  /** Rejects the next `count` register requests with 429. */
  rateLimitRegister(count: number, retryAfter = "", message = "slow down"): Promise<unknown> {
    return this.process.send("POST /rate-limit", { count, retryAfter, message });
  }
  /** Sends a MapResponse as it is. From then on the node gets no automatic ones. */
  rawMapResponse(node: string, response: Record<string, unknown>): Promise<unknown> {
    return this.process.send("POST /map/raw", { node, response });
  }
  /** Makes every new map request wait until let go. */
  holdMaps(hold: boolean): Promise<unknown> {
    return this.process.send("POST /map/hold", { hold });
  }
  /** The register requests seen so far, oldest first; those answered 429 are not among them. */
  registerRequests(): Promise<{ at: string; request: GoJson }[]> {
    return this.process.send("GET /register/requests");
  }
  /** The map requests seen so far, oldest first. */
  mapRequests(): Promise<{ at: string; request: GoJson }[]> {
    return this.process.send("GET /map/requests");
  }
  /** Sends a PingRequest. A URL of `pingUrl(id)` makes the node's call visible in pings(). */
  ping(node: string, request: Record<string, unknown>): Promise<unknown> {
    return this.process.send("POST /ping", { node, request });
  }
  pingUrl(id: string): string {
    return `${this.url}/lab/ping/${id}`;
  }
  pings(): Promise<{ at: string; method: string; path: string; body: string }[]> {
    return this.process.send("GET /pings");
  }
  c2n(
    node: string,
    request: { method?: string; path: string; body?: string; timeoutMs?: number },
  ): Promise<{ status: number; header: Record<string, string[]>; body: string }> {
    return this.process.send("POST /c2n", { node, ...request });
  }
  /** Sets fields: allOnline, requireAuth, requireAuthKey, requireMachineAuth, dnsConfig, derpMap, tagOwners… */
  knobs(fields: Record<string, unknown>): Promise<unknown> {
    return this.process.send("POST /knobs", fields);
  }
  setJailed(node: string, peer: string, jailed: boolean): Promise<unknown> {
    return this.process.send("POST /jailed", { node, peer, jailed });
  }
  setMasquerade(pairs: { node: string; peer: string; as: string }[]): Promise<unknown> {
    return this.process.send("POST /masquerade", { pairs });
  }
  setSubnetRoutes(node: string, routes: string[]): Promise<unknown> {
    return this.process.send("POST /subnet-routes", { node, routes });
  }
  setNodeCaps(node: string, caps: Record<string, unknown[]>): Promise<unknown> {
    return this.process.send("POST /node-caps", { node, caps });
  }
  addDnsRecords(records: { Name: string; Type?: string; Value: string }[]): Promise<unknown> {
    return this.process.send("POST /dns-records", { records });
  }

  /** Stops, starts or cuts the control server; its keys and nodes stay. */
  control(order: GateOrder): Promise<GateState> {
    return this.process.send("POST /control", { do: order });
  }
  state(): Promise<{ control: GateState; nodes: number; inMapPoll: number; held: boolean }> {
    return this.process.send("GET /state");
  }
  /** Stops, starts or cuts the DERP relay. */
  derp(order: GateOrder): Promise<RelayState> {
    return this.process.send("POST /derp", { do: order });
  }
  derpState(): Promise<RelayState> {
    return this.process.send("GET /derp");
  }
  setStun(enabled: boolean): Promise<RelayState> {
    return this.process.send("POST /stun", { enabled });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.process[Symbol.asyncDispose]();
  }
}
