/** The tailnet as this node sees it: what the deltas of a map poll add up to. */
import { fromGoTime } from "../wire/tailcfg.ts";
import type {
  DERPMap,
  DisplayMessage,
  DNSConfig,
  FilterRule,
  Node,
  SSHPolicy,
  TKAInfo,
  UserProfile,
} from "../wire/tailcfg.ts";

/**
 * One immutable snapshot. A later snapshot shares with an earlier all that did not change, so that `===` on a field
 * tells "unchanged", and a delta of a few peers costs a few peers.
 *
 * Nodes are as control sent them, but for what every reader would have to do again: `HomeDERP` is filled in from the
 * old `DERP`, `AllowedIPs` from `Addresses` when absent, `CapMap` from `Capabilities`; and a node of
 * `UnsignedPeerAPIOnly` has no allowed IPs but its own addresses.
 */
export interface Netmap {
  /** Oneself. */
  readonly self: Node;
  readonly peers: PeerTable;
  readonly derpMap: DERPMap | undefined;
  readonly dns: DNSConfig;
  /** Name of the tailnet. */
  readonly domain: string;
  /** All named filters, concatenated in order of their names. Empty blocks everything. */
  readonly packetFilter: readonly FilterRule[];
  readonly users: NumberMap<UserProfile>;
  /** Health messages of control by their ID; those of the old `Health` list too. */
  readonly displayMessages: Readonly<Record<string, DisplayMessage>>;
  readonly sshPolicy: SSHPolicy | undefined;
  readonly collectServices: boolean;
  /** What control said of Tailnet Lock in this poll; undefined when it has said nothing. */
  readonly tkaInfo: TKAInfo | undefined;
  /** Control says the lock is on: `tkaInfo` is there and not `Disabled`. */
  readonly tkaEnabled: boolean;
}

/** A read-only map from integers, iterated in no particular order. */
export interface NumberMap<V> extends Iterable<V> {
  readonly size: number;
  get(key: number): V | undefined;
  keys(): IterableIterator<number>;
}

/** Peers by node ID. */
export type PeerTable = NumberMap<Node>;

/** What a message changed, so that a reader need not look at everything. */
export type NetmapChange =
  | { readonly kind: "full" }
  | {
    readonly kind: "delta";
    /** Node IDs of peers added or altered. */
    readonly upserted: ReadonlySet<number>;
    /** Node IDs of peers gone. */
    readonly removed: ReadonlySet<number>;
    /** The fields of `Netmap` that are not the same object or value as before. */
    readonly fields: ReadonlySet<keyof Netmap>;
  };

/**
 * True when the key of a node is past its expiry, or control says it is.
 * @param nowMs Unix ms by control's clock: ours plus `PollHandlers.clockDelta`.
 */
export function isExpired(node: Node, nowMs: number): boolean {
  const expiry = fromGoTime(node.KeyExpiry);
  return node.Expired === true || (expiry !== undefined && expiry < nowMs);
}
