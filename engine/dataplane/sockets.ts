/**
 * The plane's UDP sockets, one a family, opened again at each rebind; and the order in which everything is polled:
 *
 *   bit of `PollPort.wait`   1 wake-up   2 TUN   4, 8 the sockets that could be opened
 */
import type { EngineStatus } from "../config.ts";
import type { PollPort, TunPort, UdpPort, WakePort } from "../ports.ts";

/** Opens the sockets, again at each rebind; `anyPort` is not at the port named. A family that is not there is undefined. */
export type OpenSockets = (anyPort: boolean) => { udp4: UdpPort | undefined; udp6: UdpPort | undefined };

/** What is polled beside them, and who opens them. */
export interface SocketsOptions {
  readonly openSockets: OpenSockets;
  readonly tun: TunPort;
  readonly wake: WakePort;
  readonly poll: PollPort;
}

export const READY_WAKE = 1;
export const READY_TUN = 2;
const READY_FIRST_SOCKET = 4;

/** None are open before `bind`. */
export class Sockets {
  readonly #options: SocketsOptions;
  #open: readonly UdpPort[] = [];
  #udp4: UdpPort | undefined;
  #udp6: UdpPort | undefined;

  constructor(options: SocketsOptions) {
    this.#options = options;
  }

  get udp4(): UdpPort | undefined {
    return this.#udp4;
  }

  get udp6(): UdpPort | undefined {
    return this.#udp6;
  }

  /** Ports bound, 0 for a family that is absent. */
  get ports(): { udp4: number; udp6: number } {
    return { udp4: this.#udp4?.port ?? 0, udp6: this.#udp6?.port ?? 0 };
  }

  /** What all of them do: one may lose its own while it lives. */
  get offloads(): Pick<EngineStatus["offloads"], "gso" | "gro"> {
    return {
      gso: this.#open.every(({ offloads }) => offloads.gso),
      gro: this.#open.every(({ offloads }) => offloads.gro),
    };
  }

  /** Closes those that are open and opens new ones. */
  bind(anyPort: boolean): void {
    this.close();
    const { openSockets, tun, wake, poll } = this.#options;
    const { udp4, udp6 } = openSockets(anyPort);
    this.#udp4 = udp4;
    this.#udp6 = udp6;
    this.#open = [udp4, udp6].filter((socket) => socket !== undefined);
    poll.watch([wake.fd, tun.fd, ...this.#open.map((socket) => socket.fd)]);
  }

  close(): void {
    for (const socket of this.#open) socket.close();
    this.#open = [];
  }

  /** Calls `drain` for each that has something. @param ready what `PollPort.wait` gave */
  drain(ready: number, drain: (socket: UdpPort) => void): void {
    let bit = READY_FIRST_SOCKET;
    for (const socket of this.#open) {
      if ((ready & bit) !== 0) drain(socket);
      bit <<= 1;
    }
  }
}
