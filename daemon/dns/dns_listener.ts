/**
 * DNS at our service addresses, UDP and TCP port 53.
 *
 * ```
 *   addresses on the TUN device ─▶ bind, again every second until it works ─▶ serve ─▶ close
 * ```
 * The addresses are this machine's own, so the kernel hands us what the machine itself sends there, and nothing of it
 * ever enters the tunnel. A machine on the local network can send there too; it is not answered: who may ask is this
 * machine, its containers and its virtual machines.
 */
import { createSocket } from "node:dgram";
import type { Socket as UdpSocket } from "node:dgram";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { concat } from "../../base/bytes.ts";
import type { Scheduler, Timer } from "../../base/clock.ts";
import { frame } from "./dns_transport.ts";

/** What a listener needs. */
export interface DnsListenerOptions {
  readonly addresses: readonly string[];
  /** The answer to a message; undefined for none. Never rejects. */
  readonly answer: (query: Uint8Array, transport: "udp" | "tcp") => Promise<Uint8Array | undefined>;
  /** Whether the sender at this address is on this machine. */
  readonly mayAsk: (address: string) => boolean;
  readonly scheduler: Scheduler;
  /** Why no answers are given at these addresses, "" when all is well again. */
  readonly problem: (text: string) => void;
  /** 53; another in tests. */
  readonly port?: number;
}

const DNS_PORT = 53;
const RETRY_MS = 1_000;
/** Failures before somebody is told: the addresses come a moment after us. */
const QUIET_FAILURES = 3;
/** Source: net/dns/manager.go (dnsTCPIdleTimeout), tsdns.go (maxReqSizeTCP). */
const TCP_IDLE_MS = 45_000;
const MAX_TCP_QUERY = 4_096;
const MAX_CONNECTIONS = 256;

/** The sockets. */
export class DnsListener {
  readonly #options: DnsListenerOptions;
  readonly #connections = new Set<Socket>();
  #udp: UdpSocket[] = [];
  #tcp: Server[] = [];
  #retry: Timer | undefined;
  #wanted = false;
  #failures = 0;

  constructor(options: DnsListenerOptions) {
    this.#options = options;
  }

  /** Binds, and tries again until it works. Nothing happens when it serves already. */
  open(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#failures = 0;
    void this.#bind();
  }

  /** Closes all sockets. */
  close(): void {
    this.#wanted = false;
    this.#retry?.cancel();
    this.#unbind();
    this.#options.problem("");
  }

  async #bind(): Promise<void> {
    const { addresses, scheduler, problem } = this.#options;
    try {
      for (const address of addresses) {
        await this.#bindUdp(address);
        await this.#bindTcp(address);
      }
      if (!this.#wanted) return this.#unbind();
      problem("");
    } catch (cause) {
      this.#unbind();
      if (!this.#wanted) return;
      if (++this.#failures > QUIET_FAILURES) problem(cause instanceof Error ? cause.message : String(cause));
      this.#retry = scheduler.after(RETRY_MS, () => void this.#bind());
    }
  }

  #unbind(): void {
    for (const socket of this.#udp) socket.close();
    for (const server of this.#tcp) server.close();
    for (const connection of this.#connections) connection.destroy();
    this.#udp = [];
    this.#tcp = [];
  }

  #bindUdp(address: string): Promise<void> {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.on("message", async (bytes, from) => {
      if (!this.#options.mayAsk(from.address)) return;
      const answer = await this.#options.answer(new Uint8Array(bytes), "udp");
      if (answer === undefined || !this.#udp.includes(socket)) return;
      // The asker may be gone; who asks again gets another answer.
      socket.send(answer, from.port, from.address, () => {});
    });
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(this.#options.port ?? DNS_PORT, address, () => {
        socket.removeListener("error", reject);
        socket.on("error", () => {});
        this.#udp.push(socket);
        resolve();
      });
    });
  }

  #bindTcp(address: string): Promise<void> {
    const server = createServer((connection) => this.#serve(connection));
    server.maxConnections = MAX_CONNECTIONS;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port: this.#options.port ?? DNS_PORT }, () => {
        server.removeListener("error", reject);
        server.on("error", () => {});
        this.#tcp.push(server);
        resolve();
      });
    });
  }

  /** One connection: questions one after another, answered in their order. */
  async #serve(connection: Socket): Promise<void> {
    connection.on("error", () => {});
    if (!this.#options.mayAsk(connection.remoteAddress ?? "") || this.#connections.size >= MAX_CONNECTIONS) {
      connection.destroy();
      return;
    }
    this.#connections.add(connection);
    connection.on("close", () => this.#connections.delete(connection));
    connection.setTimeout(TCP_IDLE_MS, () => connection.destroy());
    try {
      let bytes = new Uint8Array(0);
      for await (const chunk of connection) {
        bytes = concat(bytes, chunk);
        for (;;) {
          const length = bytes.length < 2 ? undefined : bytes[0] << 8 | bytes[1];
          if (length === undefined) break;
          if (length > MAX_TCP_QUERY) return;
          if (bytes.length < 2 + length) break;
          const answer = await this.#options.answer(bytes.slice(2, 2 + length), "tcp");
          bytes = bytes.slice(2 + length);
          if (answer === undefined) return;
          connection.write(frame(answer));
        }
      }
    } catch {
      // The asker hung up.
    } finally {
      connection.end();
    }
  }
}
