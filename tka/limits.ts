/**
 * Every limit of Tailnet Lock, with the reason for it. Source: tka/limits.go, tka/builder.go, tka/tka.go, tka/key.go.
 *
 * Those that decide whether an AUM is valid are part of the protocol: a node with another number splits the lock.
 */

/** Values a checkpoint may hold. Caps the size of an AUM; part of the protocol. */
export const MAX_DISABLEMENT_VALUES = 32;

/** Trusted keys a checkpoint may hold. Caps the size of an AUM and the quadratic duplicate check; part of the protocol. */
export const MAX_KEYS = 512;

/** Bytes of a key's metadata, names and values together, so that nobody uses keys as a database; part of the protocol. */
export const MAX_META_BYTES = 512;

/** Votes of one key, at least 1. 512 keys of 4096 votes still sum far below any integer's limit; part of the protocol. */
export const MAX_VOTES = 4096n;

/** Bytes of a disablement value: the output of the KDF; part of the protocol. */
export const DISABLEMENT_LENGTH = 32;

/** Arrays and maps inside one another; reached first by nested rotation signatures. A decoder option upstream. */
export const MAX_CBOR_NESTING = 16;

/** Elements of a CBOR array. A decoder option upstream; bounds what one byte of input can make us allocate. */
export const MAX_CBOR_ARRAY = 4096;

/** Pairs of a CBOR map. A decoder option upstream. */
export const MAX_CBOR_PAIRS = 1024;

/** AUMs between checkpoints, so that a state is computed, and a chain compacted, from near by. */
export const CHECKPOINT_EVERY = 50;

/** How far back an offer lists checkpoints: about 21 hashes at one checkpoint in 50. */
export const OFFER_WALK = 1000;

/** Bounds on walks over the AUM tree. None decides validity: two nodes with different bounds still agree. */
export interface WalkLimits {
  /** Opening a store, computing a state, recomputing the active chain. */
  readonly scan: number;
  /** Computing a state and following the chain while synchronizing. */
  readonly sync: number;
  /** Looking for the other side's head among our ancestors. */
  readonly headIntersection: number;
}

/** Upstream's bounds, for the differential oracle and to know what a stock node can still do. */
export const UPSTREAM_WALK_LIMITS: WalkLimits = { scan: 2000, sync: 2000, headIntersection: 1000 };

/**
 * Our bounds. Upstream's 2,000 makes a store of more AUMs unreadable, which fails open there; a walk is linear and
 * cheap, so ours only has to end on a store whose parents form a cycle.
 */
export const WALK_LIMITS: WalkLimits = { scan: 1 << 20, sync: 1 << 20, headIntersection: 1 << 20 };

/** What compaction keeps. */
export interface CompactionOptions {
  /** AUMs kept behind the head at least; more, back to the next checkpoint. */
  readonly minChain: number;
  /** Milliseconds since the local commit for which an AUM is kept. */
  readonly minAgeMs: number;
}

/** 24 AUMs, and two weeks: a fork made by a node that was away that long still finds its parent here. */
export const COMPACTION_DEFAULTS: CompactionOptions = { minChain: 24, minAgeMs: 14 * 24 * 3600 * 1000 };

/** Trusted keys from which to warn: room is left for the keys that a clean-up itself needs. */
export const WARN_KEYS = 400;
