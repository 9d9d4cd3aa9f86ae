// A real node to test with: one tsnet server.

import { flagArgs, type GoJson } from "./control.ts";
import { type LabOptions, LabProcess } from "./lab.ts";
import type { FlowState, Listen, PacedFlow, TrafficEnd, Transfer, UdpResult } from "./traffic.ts";

export type { Listen, Transfer } from "./traffic.ts";

export interface PeerFlags {
  /** The coordination server's URL. */
  readonly control: string;
  readonly hostname?: string;
  readonly authkey?: string;
  readonly ephemeral?: boolean;
  /** UDP port of WireGuard and disco; 0 picks one. */
  readonly port?: number;
  /** How long to wait for Running before it is ready, as Go has it ("30s"); "0" does not wait. */
  readonly wait?: string;
  readonly derpOnly?: boolean;
  /** Ask the gateway for port mappings. */
  readonly portmap?: boolean;
  readonly caFile?: string;
  readonly tags?: string;
  /** Serve the node's own LocalAPI on this unix socket too: what ours is compared with. */
  readonly localSocket?: string;
  readonly verbose?: boolean;
  /** State directory; one that ends with the process unless given. */
  readonly dir?: string;
}

export interface PeerReady {
  readonly state: string;
  readonly ips: readonly string[];
  readonly nodeKey: string;
  readonly authURL: string;
}

/** ipnstate.PingResult. */
export interface PingResult {
  readonly IP: string;
  readonly NodeIP: string;
  readonly NodeName: string;
  readonly Err: string;
  readonly LatencySeconds: number;
  /** The direct path's "ip:port", or "" when it went by DERP. */
  readonly Endpoint: string;
  readonly DERPRegionID: number;
  readonly DERPRegionCode: string;
}

/** A running `lab peer`. */
export class LabPeer implements TrafficEnd, AsyncDisposable {
  readonly process: LabProcess<PeerReady>;

  private constructor(process: LabProcess<PeerReady>) {
    this.process = process;
  }

  static async start(options: LabOptions, flags: PeerFlags): Promise<LabPeer> {
    return new LabPeer(
      await LabProcess.start<PeerReady>(options, (dir) => ["peer", ...flagArgs({ dir: `${dir}/state`, ...flags })]),
    );
  }

  /** Its tailnet addresses: IPv4, IPv6. */
  get ips(): readonly string[] {
    return this.process.ready.ips;
  }
  get nodeKey(): string {
    return this.process.ready.nodeKey;
  }

  /** ipnstate.Status. */
  status(): Promise<GoJson> {
    return this.process.send("GET /status");
  }
  /** Waits for a backend state (Running, NeedsLogin, Stopped…). */
  await(state: string, timeoutMs = 30_000): Promise<GoJson> {
    return this.process.send("POST /await", { state, timeoutMs });
  }
  /** Waits until its netmap has a peer with the address, and returns the ipnstate.PeerStatus. */
  awaitPeer(ip: string, timeoutMs = 20_000): Promise<GoJson> {
    return this.process.send("POST /await-peer", { ip, timeoutMs });
  }
  listen(what: Listen): Promise<unknown> {
    return this.process.send("POST /listen", what);
  }
  unlisten(port: number): Promise<unknown> {
    return this.process.send("POST /unlisten", { port });
  }
  /** Waits until so many served or dialed connections have ended, and returns them all. */
  transfers(kind: string, count: number, timeoutMs = 30_000): Promise<Transfer[]> {
    return this.process.send("POST /transfers", { kind, count, timeoutMs });
  }
  /** Dials "ip:port", sends seeded bytes and half-closes, and reads `receive` bytes meanwhile (-1: to the end). */
  dial(
    order: { addr: string; send: number; receive: number; seed: number; timeoutMs?: number },
  ): Promise<Transfer> {
    return this.process.send("POST /dial", order);
  }
  /** Sends numbered datagrams to a UDP echo and counts what comes back. */
  udp(
    order: { addr: string; count: number; size: number; intervalMs?: number; waitMs?: number },
  ): Promise<UdpResult> {
    return this.process.send("POST /udp", order);
  }
  /** Opens a connection to an echo and keeps it busy, `rate` bytes a second each way. */
  async flow(order: { addr: string; seed: number; rate: number }): Promise<PacedFlow> {
    const id = await this.process.send<{ flow: number }>("POST /flow", order);
    return {
      state: () => this.process.send<FlowState>("POST /flow/state", id),
      end: async () => {
        const state = await this.process.send<FlowState>("POST /flow/end", id);
        if (state.error !== undefined) throw new Error(`the flow to ${order.addr} failed: ${state.error}`);
        return state;
      },
    };
  }
  /** A tailnet ping; it fails when no answer came in time. */
  ping(ip: string, type: "disco" | "TSMP" | "ICMP" | "peerapi" = "disco", timeoutMs = 5_000): Promise<PingResult> {
    return this.process.send("POST /ping", { ip, type, timeoutMs });
  }
  fetch(url: string, timeoutMs = 10_000): Promise<{ status: number; body: string }> {
    return this.process.send("POST /fetch", { url, timeoutMs });
  }
  whois(addr: string): Promise<GoJson> {
    return this.process.send("POST /whois", { addr });
  }
  netcheck(): Promise<GoJson> {
    return this.process.send("GET /netcheck");
  }
  /** ipn.MaskedPrefs: { "HostnameSet": true, "Hostname": "x" }. */
  editPrefs(prefs: Record<string, unknown>): Promise<GoJson> {
    return this.process.send("POST /prefs", prefs);
  }
  /** `tailscale down` and `up`. */
  setConnected(connected: boolean): Promise<GoJson> {
    return this.process.send("POST /connected", { connected });
  }
  login(): Promise<unknown> {
    return this.process.send("POST /login");
  }
  logout(): Promise<unknown> {
    return this.process.send("POST /logout");
  }
  /** A LocalAPI debug action: rebind, restun, rotate-disco-key, break-derp-conns, force-prefer-derp… */
  debug(action: string, body?: unknown): Promise<unknown> {
    return this.process.send("POST /debug", { action, body });
  }
  /** Its counters, in Prometheus text: bytes by path and so on. */
  metrics(): Promise<string> {
    return this.process.send("GET /metrics");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.process[Symbol.asyncDispose]();
  }
}
