/**
 * Which UDP ports to ask for, one after another, when sockets are opened or opened anew. Source: magicsock.Conn.bindSocket.
 *
 * | wish                              | asked for                                              |
 * |-----------------------------------|--------------------------------------------------------|
 * | the operator's port               | that one, the one in use, any                          |
 * | any other (randomize-client-port) | the one in use since control wished so, any            |
 *
 * The one in use goes before any, so that a rebind keeps what peers and NATs know of this node; the operator's goes before
 * it, so that a node that once found its port taken comes back to it.
 */
export class UdpPortChoice {
  readonly #named: number;
  /** In use, by the wish it was got under: `true` for any. */
  readonly #used = new Map<boolean, number>();

  /** @param named by the operator, 0 for any */
  constructor(named: number) {
    this.#named = named;
  }

  /** What to ask for, best first; the last is 0, any. @param anyPort control wants it not to be the one named */
  candidates(anyPort: boolean): number[] {
    return [...new Set([anyPort ? 0 : this.#named, this.#used.get(anyPort) ?? 0].filter((port) => port !== 0)), 0];
  }

  /** This port was got. */
  bound(anyPort: boolean, port: number): void {
    this.#used.set(anyPort, port);
  }
}
