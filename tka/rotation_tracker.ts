/**
 * Which node keys of a netmap were replaced by others in it (L2).
 *
 *   - a key that a valid rotation names as an earlier one is obsolete
 *   - of several rotations that go back to direct signatures with one wrapping key - a node that was cloned - only the one
 *     with the most earlier keys stays; if two have as many, nobody can say which is the node, and none stays
 *   - rotations of credentials are exempt from the second rule: one auth key may let many nodes in
 *
 * Ask it about a whole netmap at a time: the answer for a part of one says nothing. Source: ipnlocal.rotationTracker.
 */
import { toHex } from "../base/bytes.ts";
import type { NodePublic } from "../base/keys.ts";
import type { RotationDetails } from "./node_key_signature.ts";
import { SIG_KIND } from "./node_key_signature.ts";

interface Rotation {
  readonly nodeKey: string;
  readonly previousKeys: number;
}

export class RotationTracker {
  readonly #replaced = new Set<string>();
  readonly #byWrappingKey = new Map<string, Rotation[]>();

  /** Notes what `nodeKeyAuthorized` said of a peer whose signature is valid. */
  add(nodeKey: NodePublic, details: RotationDetails): void {
    for (const key of details.previousNodeKeys) this.#replaced.add(key.hex);
    if (details.initial.kind !== SIG_KIND.DIRECT) return;
    const wrapping = toHex(details.initial.wrappingPubkey ?? new Uint8Array(0));
    const rotation = { nodeKey: nodeKey.hex, previousKeys: details.previousNodeKeys.length };
    const group = this.#byWrappingKey.get(wrapping);
    if (group === undefined) this.#byWrappingKey.set(wrapping, [rotation]);
    else group.push(rotation);
  }

  /** Hex of the node keys to drop, whatever the order they were added in. */
  obsolete(): ReadonlySet<string> {
    const obsolete = new Set(this.#replaced);
    for (const group of this.#byWrappingKey.values()) {
      const current = group.filter(({ nodeKey }) => !this.#replaced.has(nodeKey));
      const most = Math.max(...current.map(({ previousKeys }) => previousKeys));
      const newest = current.filter(({ previousKeys }) => previousKeys === most);
      for (const rotation of current) {
        if (newest.length > 1 || rotation !== newest[0]) obsolete.add(rotation.nodeKey);
      }
    }
    return obsolete;
  }
}
