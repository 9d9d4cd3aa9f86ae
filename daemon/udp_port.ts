/** Which UDP port to ask for: the one had before, so that a rebind keeps what peers and NATs know of this node. */
export class UdpPortChoice {
  #named: number;
  #any = 0;

  /** @param named by the operator, 0 for any */
  constructor(named: number) {
    this.#named = named;
  }

  /** What to ask for, 0 for any. @param anyPort control wants it not to be the one named (`randomize-client-port`) */
  wanted(anyPort: boolean): number {
    return anyPort ? this.#any : this.#named;
  }

  /** This port was got. */
  bound(anyPort: boolean, port: number): void {
    if (anyPort) this.#any = port;
    else this.#named = port;
  }
}
