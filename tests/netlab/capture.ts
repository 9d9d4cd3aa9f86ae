/**
 * Every packet that leaves a machine by one device, as tcpdump saw it on the device: what was marked is not to be seen
 * there any more, so what a packet is decides.
 */
import { until } from "../interop/support/agent.ts";
import type { LabNamespace } from "./lab.ts";

/** One packet: tcpdump's line without time, as "IP 10.90.1.2.41641 > 10.90.0.1.9478: UDP, length 40". */
export type Captured = string;

/** A running tcpdump. */
export class Capture implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: string[] = [];
  readonly #read: Promise<void>;
  readonly #complaints: Promise<void>;
  #said = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#read = this.#collect(child.stdout, (line) => this.#lines.push(line));
    this.#complaints = this.#collect(child.stderr, (line) => this.#said += `${line}\n`);
  }

  /** Begins one; resolves when nothing is missed any more. */
  static async start(machine: LabNamespace, device: string): Promise<Capture> {
    const argv = ["tcpdump", "-i", device, "-Q", "out", "-nn", "-t", "-q", "-l", "--immediate-mode", "-B", "8192"];
    const capture = new Capture(machine.spawn(argv, { stdin: "null", stdout: "piped", stderr: "piped" }));
    await until("tcpdump listens", 20_000, () => Promise.resolve(capture.#said.includes("listening on")));
    return capture;
  }

  /** Packets so far. */
  get packets(): readonly Captured[] {
    return this.#lines;
  }

  /** Ends it. @returns all packets. @throws Error when the kernel had to leave some out */
  async stop(): Promise<readonly Captured[]> {
    this.#child.kill("SIGINT");
    await Promise.all([this.#child.status, this.#read, this.#complaints]);
    if (!/^0 packets dropped by kernel/m.test(this.#said)) throw new Error(`The capture has gaps: ${this.#said}`);
    return this.#lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await Promise.all([this.#child.status, this.#read, this.#complaints]);
  }

  async #collect(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      lines.filter((line) => line !== "").forEach(take);
    }
  }
}

/** What an agent itself sends, and links need to work: all else has leaked. */
export interface OwnTraffic {
  /** Its UDP port. */
  readonly port: number;
  /** Servers' "address.port", to which it connects by TCP, and whom it asks by ICMP. */
  readonly servers: readonly string[];
  /** Its router, which it asks for port mappings. */
  readonly router: string;
}

/** Where port mappings are asked for: NAT-PMP and PCP, SSDP of UPnP to the router and to all. */
function isRouterQuestion(destination: string, router: string): boolean {
  return [`${router}.5351`, `${router}.1900`, "239.255.255.250.1900"].includes(destination);
}

/** Packets that are neither the agent's nor the link's own (ARP, neighbour discovery, multicast listeners). */
export function leaked(packets: readonly Captured[], { port, servers, router }: OwnTraffic): Captured[] {
  return packets.filter((line) => {
    if (/^ARP, /.test(line)) return false;
    if (/^IP6 .*: (HBH )?ICMP6, (neighbor|router|multicast listener|redirect)/.test(line)) return false;
    const [, source, destination, what] = /^IP6? (\S+) > (\S+): (?:HBH )?(\w+)/.exec(line) ?? [];
    if (what === "UDP" && (source.endsWith(`.${port}`) || isRouterQuestion(destination, router))) return false;
    // Where no STUN answer comes, netcheck asks relays by ICMP.
    if (what === "ICMP" && servers.some((server) => server.startsWith(`${destination}.`))) return false;
    return !(what === "tcp" && servers.includes(destination));
  });
}
