/**
 * The STUN responder beside a relay: tells nodes the address their requests came from, on both address families.
 *
 * It answers only binding requests that name themselves "tailnode", and an answer is never longer than the request by
 * more than four bytes, so it is no amplifier. Source: tailscale.com/net/stunserver.
 */
import { createSocket } from "node:dgram";
import type { RemoteInfo, Socket } from "node:dgram";
import { parseIp } from "../base/ip.ts";
import { encodeStunResponse, parseStunRequest } from "./stun.ts";

/** Where to listen. */
export interface StunServerOptions {
  /** UDP port; 0 picks one, the same for both families when possible. */
  readonly port: number;
  /** Addresses to bind, one a family; `0.0.0.0` and `::` when absent. */
  readonly addresses?: readonly string[];
}

/** What was answered, and what was not. */
export interface StunServerCounters {
  answeredIpv4: number;
  answeredIpv6: number;
  /** Not a request of a node of ours. */
  malformed: number;
  /** The kernel refused an answer. */
  sendFailed: number;
}

/** A running responder. */
export class StunServer {
  readonly #sockets: Socket[];
  readonly #counters: StunServerCounters = { answeredIpv4: 0, answeredIpv6: 0, malformed: 0, sendFailed: 0 };
  /** UDP port of the first socket. */
  readonly port: number;
  /** Addresses that could not be bound, with the reason; empty when all is well. */
  readonly failures: readonly string[];

  private constructor(sockets: Socket[], failures: string[]) {
    this.#sockets = sockets;
    this.port = sockets[0].address().port;
    this.failures = failures;
    for (const socket of sockets) {
      socket.on("message", (message, from) => this.#answer(socket, message, from));
      // Errors of a bound UDP socket are those of single answers, such as an unreachable port.
      socket.on("error", () => this.#counters.sendFailed++);
    }
  }

  /** Binds. A machine without one of the families serves the other; with neither this rejects. */
  static async listen(options: StunServerOptions): Promise<StunServer> {
    const sockets: Socket[] = [];
    const failures: string[] = [];
    for (const address of options.addresses ?? ["0.0.0.0", "::"]) {
      try {
        sockets.push(await bind(address, options.port || (sockets[0]?.address().port ?? 0)));
      } catch (error) {
        failures.push(`${address}: ${error instanceof Error ? error.message : error}`);
      }
    }
    if (sockets.length > 0) return new StunServer(sockets, failures);
    throw new Error(`Cannot listen for STUN on UDP port ${options.port}: ${failures.join("; ")}`);
  }

  counters(): StunServerCounters {
    return { ...this.#counters };
  }

  async close(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  }

  #answer(socket: Socket, message: Uint8Array, from: RemoteInfo): void {
    const transaction = parseStunRequest(message);
    const ip = parseIp(from.address.split("%", 1)[0]);
    if (transaction === undefined || ip === undefined) {
      this.#counters.malformed++;
      return;
    }
    const response = encodeStunResponse(transaction, { ip, port: from.port });
    socket.send(response, from.port, from.address, (error) => {
      if (error) this.#counters.sendFailed++;
      else if (ip.length === 4) this.#counters.answeredIpv4++;
      else this.#counters.answeredIpv6++;
    });
  }
}

function bind(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const v6 = address.includes(":");
    const socket = createSocket({ type: v6 ? "udp6" : "udp4", ipv6Only: v6 });
    const onError = (error: Error) => {
      socket.close();
      reject(error);
    };
    socket.once("error", onError);
    socket.bind(port, address, () => {
      socket.removeListener("error", onError);
      resolve(socket);
    });
  });
}
