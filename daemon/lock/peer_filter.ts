/**
 * What the lock says of the peers of a netmap: nobody passes, each is judged, or there is no lock (`closed.ts`); and what
 * the signatures of those kept out tell of a chain that others were shown (`unknown_signers.ts`).
 */
import type { Netmap } from "../../control/client/netmap.ts";
import type { LockVerdict } from "../lock_filter.ts";
import { closedBecause, closedText } from "./closed.ts";
import { conditionText, keysText } from "./condition.ts";
import type { Condition } from "./condition.ts";
import type { RejectedPeer } from "./judge.ts";
import type { LocalLock } from "./local_lock.ts";
import { everTrusted, unknownSigners, unknownSignersText } from "./unknown_signers.ts";
import type { UnknownSigner } from "./unknown_signers.ts";

export class PeerFilter {
  readonly #lock: LocalLock;
  readonly #now: () => number;
  #rejected: readonly RejectedPeer[] = [];
  #unknownSigners: readonly UnknownSigner[] = [];
  /** What the chain with this head ever trusted. */
  #trusted: { readonly head: string; readonly ids: ReadonlySet<string> } = { head: "", ids: new Set() };

  /** @param now Unix milliseconds. */
  constructor(lock: LocalLock, now: () => number) {
    this.#lock = lock;
    this.#now = now;
  }

  /** Peers the last netmap had that the lock keeps out. */
  get rejected(): readonly RejectedPeer[] {
    return this.#rejected;
  }
  /** Keys that signed peers of the last netmap, and that our chain never trusted (L7). */
  get unknownSigners(): readonly UnknownSigner[] {
    return this.#unknownSigners;
  }

  filter(netmap: Netmap): LockVerdict {
    const closed = this.#closedBecause(netmap);
    this.#unknownSigners = [];
    if (closed !== undefined) {
      const why = `nobody passes: ${closed.name}`;
      this.#rejected = [...netmap.peers].map((node) => ({ node, rejection: "closed", why }));
      return { accepted: [], rejected: [...netmap.peers], problem: closedText(closed) };
    }
    const { judge } = this.#lock;
    if (judge === undefined) {
      this.#rejected = [];
      return { accepted: netmap.peers, rejected: [] };
    }
    const { accepted, rejected } = judge.judge(netmap.peers);
    this.#rejected = rejected;
    if (rejected.length > 0) this.#unknownSigners = unknownSigners(rejected, this.#everTrusted());
    return { accepted, rejected: rejected.map(({ node }) => node) };
  }

  /** What an operator should know; "" when all is well. Judges nobody, so it costs nothing. */
  problem(netmap: Netmap | undefined): string {
    const closed = netmap === undefined ? undefined : this.#closedBecause(netmap);
    if (closed !== undefined) return closedText(closed);
    const { authority, condition, record } = this.#lock;
    return conditionText(condition) ||
      unknownSignersText(this.#unknownSigners, authority?.head ?? "", record?.headSince ?? 0) ||
      keysText(authority?.keys.length ?? 0);
  }

  #everTrusted(): ReadonlySet<string> {
    const { authority, chonk } = this.#lock;
    const head = authority?.head ?? "";
    if (this.#trusted.head !== head) this.#trusted = { head, ids: everTrusted(chonk) };
    return this.#trusted.ids;
  }

  /** Why nobody may pass; undefined when peers are judged, or there is no lock. */
  #closedBecause(netmap: Netmap): Condition | undefined {
    const { authority, condition, damaged, disabledHere, policy, record } = this.#lock;
    return closedBecause({
      condition,
      damaged,
      policy,
      record,
      judged: authority !== undefined,
      disabledHere: disabledHere !== undefined,
      controlSaysOn: netmap.tkaEnabled,
    }, this.#now());
  }
}
