/**
 * Cryptokey routing (whitepaper 2): which peer owns an inner address, longest prefix first.
 *
 * Owners are whole numbers from 1, and 0 is nobody: a peer that has never been spoken to is not an object yet
 * (dataplane/peers.ts). Addresses come as 32-bit words in network order - one for IPv4, four for IPv6 - because that is
 * how the data plane reads them from a packet.
 */
import type { Prefix } from "../../base/ip.ts";
import { masked } from "../../base/ip.ts";
import { PrefixTrie } from "./prefix_trie.ts";

/** Prefixes of both families and their owners. Inserting a prefix again gives it to the new owner. */
export class AllowedIps {
  readonly #four = new PrefixTrie(1);
  readonly #six = new PrefixTrie(4);

  /** Bits of the address beyond the prefix's length are ignored. @param owner from 1; best without large gaps */
  insert(prefix: Prefix, owner: number): void {
    const { ip } = masked(prefix);
    const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
    const key = Int32Array.from({ length: ip.length / 4 }, (_, i) => view.getInt32(i * 4));
    (ip.length === 4 ? this.#four : this.#six).insert(key, prefix.bits, owner);
  }

  /** Takes every prefix from `owner`. */
  removeOwner(owner: number): void {
    this.#four.removeOwner(owner);
    this.#six.removeOwner(owner);
  }

  /** Who owns an IPv4 address, 0 for nobody. @param ip The four bytes as one big-endian word. */
  lookup4(ip: number): number {
    return this.#four.lookup4(ip);
  }

  /** Who owns an IPv6 address, 0 for nobody. @param a to d: the sixteen bytes as four big-endian words. */
  lookup6(a: number, b: number, c: number, d: number): number {
    return this.#six.lookup6(a, b, c, d);
  }
}
