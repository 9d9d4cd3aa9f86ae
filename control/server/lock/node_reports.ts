/**
 * How far every node's lock is, as the nodes themselves tell: by `TKAHead` of their map requests and in every sync. Kept
 * in memory, since nodes tell it again at each connection.
 */
import type { AumHash } from "../../../tka/aum_hash.ts";
import type { NodeRecord } from "../node_record.ts";
import type { NodeSync } from "./answer_offer.ts";
import { syncOfHead } from "./answer_offer.ts";
import type { TailnetLock } from "./tailnet_lock.ts";

/** A node's lock as the operator sees it. */
export interface NodeLockReport {
  /** Its node key is signed by a trusted key. */
  readonly signed: boolean;
  /** "synced", "behind", "ahead", "full", "no-common-history", "old-lock", or "unknown" until it has told. */
  readonly sync: string;
  readonly head?: string;
  /** AUMs it lacks. */
  readonly behind?: number;
  /** What to do; absent when nothing is. */
  readonly remedy?: string;
}

interface Told {
  readonly head: AumHash;
  readonly sync: NodeSync | { readonly kind: "old-lock" };
}

/** It then begins at a checkpoint of ours. Not `lock local-disable`, which refuses this lock for ever. */
const BEGIN_ANEW = "stop it, remove the directory tka-profiles from its state directory, and start it again";

const REMEDIES: Readonly<Record<string, string>> = {
  full: `its client may not store more AUMs: ${BEGIN_ANEW}`,
  "no-common-history": `it has no AUM that this lock follows from: ${BEGIN_ANEW}`,
};

export class NodeReports {
  readonly #lock: TailnetLock;
  readonly #told = new Map<number, Told>();

  constructor(lock: TailnetLock) {
    this.#lock = lock;
  }

  tell(nodeId: number, head: AumHash, sync: Told["sync"]): void {
    this.#told.set(nodeId, { head, sync });
  }

  /** Notes a head alone. A node whose store was full stays so while it is behind: only an offer of its can show room. */
  tellHead(nodeId: number, head: AumHash): NodeSync | undefined {
    const { active } = this.#lock;
    if (active === undefined) return undefined;
    const now = syncOfHead(active.chain, head);
    const full = now.kind === "behind" && this.#told.get(nodeId)?.sync.kind === "full";
    const sync: NodeSync = full ? { ...now, kind: "full" } : now;
    this.tell(nodeId, head, sync);
    return sync;
  }

  forget(nodeId: number): void {
    this.#told.delete(nodeId);
  }

  /** Undefined while the lock is off. */
  of(node: NodeRecord): NodeLockReport | undefined {
    const { active } = this.#lock;
    if (active === undefined) return undefined;
    const signed = this.#lock.authorizes(node.nodeKey, node.keySignature);
    const told = this.#told.get(node.id);
    const sign = signed ? undefined : "unsigned: run `lock sign` for it on a node with a trusted key";
    if (told === undefined) return { signed, sync: "unknown", ...(sign && { remedy: sign }) };
    // The chain may have grown since; what the node cannot do stays true.
    const stuck = told.sync.kind in REMEDIES || told.sync.kind === "old-lock";
    const sync = stuck ? told.sync : syncOfHead(active.chain, told.head);
    const remedy = REMEDIES[sync.kind] ?? sign;
    return {
      signed,
      sync: sync.kind,
      head: told.head,
      ...("aums" in sync && { behind: sync.aums }),
      ...(remedy !== undefined && { remedy }),
    };
  }
}
