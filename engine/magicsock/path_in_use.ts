/**
 * Which path carries a peer's traffic now, and who is told when it is another.
 *
 * ```
 *              pong: bestAddr
 *   ┌───────┐ ─────────────────────────▶ ┌────────┐ ◀─┐ pong from bestAddr: trusted for another 6.5 s;
 *   │ relay │                            │ direct │ ──┘ pong from a better address: that is bestAddr
 *   └───────┘ ◀───────┐                  └────────┘
 *                     │ ping to bestAddr      │ 6.5 s without a pong
 *                     │ lost, or address      ▼
 *                     │ withdrawn        ┌────────┐
 *                     └───────────────── │  both  │ ── pong ─▶ direct
 *                                        └────────┘
 * ```
 * A session at a peer relay stands where bestAddr does when no direct path works: DERP is left for it, and it for any
 * direct path, which goes on being looked for.
 */
import type { AddrId, AddrTable } from "../ports.ts";
import type { BestPath } from "./best_path.ts";
import { relayText } from "./path_text.ts";

/** A view of a peer's best address that remembers what was last said of it. */
export class PathInUse {
  readonly #addrs: AddrTable;
  readonly #best: BestPath;
  #toldAddr: AddrId = 0;
  #toldVni = 0;

  constructor(addrs: AddrTable, best: BestPath) {
    this.#addrs = addrs;
    this.#best = best;
  }

  /** `ip:port` of the peer that alone carries the traffic; "" while a relay does, or helps. */
  address(now: number): string {
    return this.#best.isDirect(now) ? this.#addrs.text(this.#best.addr) : "";
  }

  /** `ip:port:vni:N`, the session at a peer relay that alone carries the traffic; "" for none. */
  relay(now: number): string {
    const addr = this.#best.trusted(now);
    return addr === 0 ? "" : relayText(this.#addrs, addr, this.#best.vni);
  }

  /** Traffic goes to the peer's own address alone. */
  isDirect(now: number): boolean {
    return this.#best.isDirect(now);
  }

  /** One UDP path, direct or by a peer relay, carries the traffic alone. */
  isTrusted(now: number): boolean {
    return this.#best.trusted(now) !== 0;
  }

  /** That path is this session of this relay server (disco key, hex). */
  usesRelay(relay: string, vni: number, now: number): boolean {
    return this.isTrusted(now) && this.#best.relay === relay && this.#best.vni === vni;
  }

  /** What carries the traffic alone, `addr` 0 for DERP, where that is another than when this was last asked. */
  takeNews(now: number): { readonly addr: AddrId; readonly vni: number } | undefined {
    const addr = this.#best.trusted(now);
    const vni = addr === 0 ? 0 : this.#best.vni;
    if (addr === this.#toldAddr && vni === this.#toldVni) return undefined;
    this.#toldAddr = addr;
    this.#toldVni = vni;
    return { addr, vni };
  }

  /** The addresses this holds; perhaps 0. */
  *addresses(): IterableIterator<AddrId> {
    yield this.#best.addr;
    yield this.#toldAddr;
  }
}
