/**
 * The way through somebody in between, a web proxy or an ACE: its failures are told by its name, and whatever was opened
 * on a way that failed is closed.
 *
 * ```
 *   TCP ──▶ perhaps TLS, its certificate ──▶ a request for the target ──▶ the stream is the target's
 *    └────────────┴── a step fails ────────────┴─▶ all sockets closed, "NAME does not answer: …", or the signal's reason
 * ```
 */
import type { Socket } from "node:net";
import { discard } from "./discard.ts";
import { openTls } from "./tls_client.ts";
import type { TlsTrust } from "./tls_client.ts";

/** The steps of one way. */
export class GoBetween {
  readonly #name: string;
  readonly #signal: AbortSignal;
  readonly #opened: Socket[] = [];

  private constructor(name: string, signal: AbortSignal) {
    this.#name = name;
    this.#signal = signal;
  }

  /**
   * Goes the way that `go` describes.
   * @param name as in "the proxy 192.0.2.1:3128"
   * @throws Error whose message begins with the name; the signal's reason
   */
  static async through(name: string, signal: AbortSignal, go: (way: GoBetween) => Promise<Socket>): Promise<Socket> {
    const way = new GoBetween(name, signal);
    try {
      return await go(way);
    } catch (error) {
      way.#opened.forEach(discard);
      throw error;
    }
  }

  /** Its connection. */
  async tcp(connecting: Promise<Socket>): Promise<Socket> {
    return this.#keep(await this.step("does not answer: ", connecting));
  }

  /** TLS to itself, verified. */
  async tls(plain: Socket, host: string, trust: TlsTrust): Promise<Socket> {
    const { socket, flaw } = await this.step("cannot do TLS: ", openTls(plain, host, trust, this.#signal));
    this.#keep(socket);
    if (flaw !== undefined) throw this.fault(`cannot be trusted: ${flaw}`);
    return socket;
  }

  /** Waits for a step. @param what stands between the name and what went wrong */
  async step<T>(what: string, doing: Promise<T>): Promise<T> {
    try {
      return await doing;
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason;
      throw this.fault(`${what}${(error as Error).message}`, error);
    }
  }

  /** An error of its own. */
  fault(what: string, cause?: unknown): Error {
    return new Error(`${this.#name} ${what}`, { cause });
  }

  #keep(socket: Socket): Socket {
    this.#opened.push(socket);
    return socket;
  }
}
