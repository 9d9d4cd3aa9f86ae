// TCP and UDP from a node with a TUN device, by a program that runs in the node's namespace (traffic_program.ts).
// The orders are those a tsnet peer takes (peer.ts), so a test can treat both ends alike.

import type { LabNamespace } from "../../netlab/lab.ts";

/** What went both ways on one TCP connection. Hashes are hex; compare with seededSha256(). */
export interface Transfer {
  readonly id: number;
  readonly kind: string;
  readonly local: string;
  readonly remote: string;
  readonly sent: number;
  readonly sentSha256: string;
  readonly received: number;
  readonly receivedSha256: string;
  readonly ms: number;
  readonly error?: string;
}

/** What an end serves on a tailnet port; see listenOrder in traffic.go. `http` is served by tsnet peers only. */
export type Listen =
  | { readonly kind: "echo" | "sink" | "udpecho"; readonly port: number }
  | { readonly kind: "source" | "duplex"; readonly port: number; readonly seed: number; readonly bytes: number }
  | { readonly kind: "http"; readonly port: number; readonly body: string };

/** Datagrams that came back from an echo. */
export interface UdpResult {
  readonly sent: number;
  /** Distinct and intact. */
  readonly received: number;
  readonly repeated: number;
  readonly damaged: number;
  /** 0 to 1. */
  readonly loss: number;
}

/** One end of traffic on the tailnet: a tsnet peer, or the kernel of a node with a TUN device. */
export interface TrafficEnd {
  listen(what: Listen): Promise<unknown>;
  /** Waits until so many served or dialed connections have ended, and returns them all. */
  transfers(kind: string, count: number, timeoutMs?: number): Promise<Transfer[]>;
  /** Dials "ip:port", sends seeded bytes and half-closes, and reads `receive` bytes meanwhile (-1: to the end). */
  dial(
    order: { addr: string; send: number; receive: number; seed: number; timeoutMs?: number },
  ): Promise<Transfer>;
  /** Sends numbered datagrams to a UDP echo and counts what comes back. */
  udp(
    order: { addr: string; count: number; size: number; intervalMs?: number; waitMs?: number },
  ): Promise<UdpResult>;
}

/** A paced connection to an echo, as it is now. */
export interface FlowState {
  readonly sent: number;
  /** Came back, each byte compared with what was sent. */
  readonly received: number;
  readonly ms: number;
  /** The longest time without a byte since this was last asked. */
  readonly longestStallMs: number;
  /** Why the connection was lost, or what came back changed. */
  readonly error?: string;
}

/** One long-lived TCP connection to an echo. */
export interface PacedFlow {
  state(): Promise<FlowState>;
  /** Half-closes, waits for the last byte, and returns how it went. @throws Error when the connection was lost. */
  end(): Promise<FlowState>;
}

const PROGRAM = new URL("./traffic_program.ts", import.meta.url).pathname;

/** Kernel sockets in a namespace. */
export class KernelTraffic implements TrafficEnd, AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #reading: Promise<void>;
  #orders = 0;

  private constructor(child: Deno.ChildProcess, ready: () => void) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#reading = this.#read(ready);
  }

  static async start(namespace: LabNamespace): Promise<KernelTraffic> {
    const child = namespace.spawn([Deno.execPath(), "run", "-A", "--no-lock", PROGRAM], {
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const traffic = new KernelTraffic(child, resolve);
    traffic.#reading.then(() => reject(new Error("the traffic program ended before it was ready")));
    await promise;
    return traffic;
  }

  async #read(ready: () => void): Promise<void> {
    let rest = "";
    for await (const part of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + part).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const answer = JSON.parse(line);
        if (answer.ready) ready();
        const waiting = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        if (answer.error === undefined) waiting?.resolve(answer.result);
        else waiting?.reject(new Error(answer.error));
      }
    }
    for (const { reject } of this.#waiting.values()) reject(new Error("the traffic program has ended"));
  }

  async #order<T>(order: string, what: object): Promise<T> {
    const id = this.#orders++;
    const answer = new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify({ id, order, ...what })}\n`));
    return await answer;
  }

  listen(what: Listen): Promise<unknown> {
    return this.#order("listen", what);
  }
  transfers(kind: string, count: number, timeoutMs = 30_000): Promise<Transfer[]> {
    return this.#order("transfers", { kind, count, timeoutMs });
  }
  dial(
    order: { addr: string; send: number; receive: number; seed: number; timeoutMs?: number },
  ): Promise<Transfer> {
    return this.#order("dial", order);
  }
  udp(
    order: { addr: string; count: number; size: number; intervalMs?: number; waitMs?: number },
  ): Promise<UdpResult> {
    return this.#order("udp", order);
  }

  /** Opens a connection to an echo and keeps it busy, `rate` bytes a second each way. */
  async flow(order: { addr: string; seed: number; rate: number }): Promise<PacedFlow> {
    const flow = await this.#order<number>("flow", order);
    const checked = (state: FlowState): FlowState => {
      if (state.error !== undefined) throw new Error(`the flow to ${order.addr} failed: ${state.error}`);
      return state;
    };
    return {
      state: () => this.#order<FlowState>("flow-state", { flow }),
      end: async () => checked(await this.#order<FlowState>("flow-end", { flow })),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
  }
}
