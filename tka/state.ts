/**
 * The state of the lock at one AUM, and the fold that makes it: `applyVerifiedAum(state, aum)` is the state behind it.
 *
 *   add-key      the key is appended; it must be new
 *   remove-key   the key is taken out; it must be there
 *   update-key   its votes, its metadata or both are replaced; the result must be a valid key
 *   checkpoint   the state is replaced whole; its state ID must be this lock's
 *   no-op, unknown kinds   nothing but the head moves, so that old nodes follow what newer ones write (L11)
 *
 * States are immutable and share what did not change, so a chain of thousands costs little. Source: tka/state.go.
 */
import type { AumHash } from "./aum_hash.ts";
import { aumHashBytes, aumHashOf } from "./aum_hash.ts";
import { AUM_KIND } from "./aum_kind.ts";
import type { Aum } from "./aum.ts";
import type { CborReader } from "./cbor_reader.ts";
import type { CborWriter } from "./cbor.ts";
import { TkaError } from "./errors.ts";
import type { Key } from "./key.ts";
import { keyId, readKey, sameBytes, validateKey, writeKey } from "./key.ts";
import { DISABLEMENT_LENGTH, MAX_DISABLEMENT_VALUES, MAX_KEYS } from "./limits.ts";
import { toHex } from "../base/bytes.ts";

/** Immutable. Null lists are Go's nil, which serializes otherwise than an empty list. */
export interface State {
  /** The AUM this is the state of; null in a checkpoint's own text. */
  readonly lastAumHash: AumHash | null;
  /** What disablement secrets derive to (`disablement.ts`); public. */
  readonly disablementValues: readonly (Uint8Array | null)[] | null;
  /** Keys of signing nodes, and of wrapped auth keys. */
  readonly keys: readonly Key[] | null;
  /** 128 random bits, fixed when the lock was made. */
  readonly stateId1: bigint;
  readonly stateId2: bigint;
}

/** Before any AUM. */
export const EMPTY_STATE: State = {
  lastAumHash: null,
  disablementValues: null,
  keys: null,
  stateId1: 0n,
  stateId2: 0n,
};

function indexOfKey(state: State, id: Uint8Array): number {
  return state.keys === null ? -1 : state.keys.findIndex((key) => sameBytes(keyId(key), id));
}

/** The trusted key with this ID. */
export function findKey(state: State, id: Uint8Array): Key | undefined {
  return state.keys?.[indexOfKey(state, id)];
}

/** The same, or @throws TkaError "unknown-key". */
export function getKey(state: State, id: Uint8Array): Key {
  const key = findKey(state, id);
  if (key === undefined) throw new TkaError("unknown-key", `Cannot find key tlpub:${toHex(id)} among the trusted keys`);
  return key;
}

/** The state behind an AUM whose form and signatures were verified. @throws TkaError when it does not fit. */
export function applyVerifiedAum(state: State, aum: Aum): State {
  if (state.lastAumHash !== null && (aum.prevAumHash?.length !== 32 || aum.parent !== state.lastAumHash)) {
    throw new TkaError("wrong-parent", `Cannot apply ${aum.hash}: its parent is not ${state.lastAumHash}`);
  }
  switch (aum.kind) {
    case AUM_KIND.CHECKPOINT:
      return applyCheckpoint(state, aum);
    case AUM_KIND.ADD_KEY:
      return applyAddKey(state, aum);
    case AUM_KIND.UPDATE_KEY:
      return applyUpdateKey(state, aum);
    case AUM_KIND.REMOVE_KEY: {
      const at = indexOfKey(state, aum.keyId ?? new Uint8Array(0));
      if (at < 0) throw new TkaError("unknown-key", `Cannot remove a key with ${aum.hash}: it is not trusted`);
      return { ...state, keys: (state.keys ?? []).toSpliced(at, 1), lastAumHash: aum.hash };
    }
    default:
      return { ...state, lastAumHash: aum.hash };
  }
}

function applyCheckpoint(state: State, aum: Aum): State {
  if (aum.state === undefined) throw new TkaError("invalid", `Cannot apply checkpoint ${aum.hash}: it holds no state`);
  if (aum.state.stateId1 !== state.stateId1 || aum.state.stateId2 !== state.stateId2) {
    throw new TkaError(
      "wrong-state-id",
      `Cannot apply checkpoint ${aum.hash}: state ID ${stateIdText(aum.state)}, want ${stateIdText(state)}`,
    );
  }
  return { ...aum.state, lastAumHash: aum.hash };
}

function applyAddKey(state: State, aum: Aum): State {
  if (aum.key === undefined) throw new TkaError("invalid", `Cannot apply ${aum.hash}: it holds no key to add`);
  const id = keyId(aum.key);
  if (findKey(state, id) !== undefined) {
    throw new TkaError("key-exists", `Cannot add key tlpub:${toHex(id)}: it is trusted already`);
  }
  return { ...state, keys: [...state.keys ?? [], aum.key], lastAumHash: aum.hash };
}

function applyUpdateKey(state: State, aum: Aum): State {
  const id = aum.keyId ?? new Uint8Array(0);
  const old = getKey(state, id);
  const votes = aum.votes ?? old.votes;
  const meta = aum.meta ?? old.meta;
  const updated: Key = { kind: old.kind, votes, public: old.public, ...(meta === undefined ? {} : { meta }) };
  validateKey(updated);
  const keys = (state.keys ?? []).map((key) => sameBytes(keyId(key), id) ? updated : key);
  return { ...state, keys, lastAumHash: aum.hash };
}

/** "id1:id2" in decimal: how a lock is named in prefs (`DisallowedTKAStateIDs`). */
export function stateIdText(state: State): string {
  return `${state.stateId1}:${state.stateId2}`;
}

/** What a state must be to stand in a checkpoint. @throws TkaError "invalid". */
export function validateCheckpointState(state: State): void {
  const refuse = (what: string): never => {
    throw new TkaError("invalid", `Cannot use a checkpoint's state: ${what}`);
  };
  if (state.lastAumHash !== null) refuse("it names a parent");
  const values = state.disablementValues ?? [];
  if (values.length === 0) refuse("no disablement value, want at least one");
  if (values.length > MAX_DISABLEMENT_VALUES) {
    refuse(`${values.length} disablement values, want at most ${MAX_DISABLEMENT_VALUES}`);
  }
  for (const value of values) {
    if (value?.length !== DISABLEMENT_LENGTH) {
      refuse(`a disablement value of ${value?.length ?? 0} bytes, want ${DISABLEMENT_LENGTH}`);
    }
  }
  if (new Set(values.map((value) => toHex(value as Uint8Array))).size !== values.length) {
    refuse("a disablement value stands there twice");
  }
  const keys = state.keys ?? [];
  if (keys.length === 0) refuse("no key, want at least one");
  if (keys.length > MAX_KEYS) refuse(`${keys.length} keys, want at most ${MAX_KEYS}`);
  for (const key of keys) validateKey(key);
  if (new Set(keys.map((key) => toHex(keyId(key)))).size !== keys.length) refuse("a key stands there twice");
}

/** `{1: last AUM hash or null, 2: disablement values, 3: keys, 4: state ID 1 if not 0, 5: state ID 2 if not 0}`. */
export function writeState(out: CborWriter, state: State): void {
  out.map(3 + (state.stateId1 === 0n ? 0 : 1) + (state.stateId2 === 0n ? 0 : 1));
  out.field(1).bytes(state.lastAumHash === null ? null : aumHashBytes(state.lastAumHash));
  out.field(2);
  if (state.disablementValues === null) out.null();
  else {
    out.array(state.disablementValues.length);
    for (const value of state.disablementValues) out.bytes(value);
  }
  out.field(3);
  if (state.keys === null) out.null();
  else {
    out.array(state.keys.length);
    for (const key of state.keys) writeKey(out, key);
  }
  if (state.stateId1 !== 0n) out.field(4).uint(state.stateId1);
  if (state.stateId2 !== 0n) out.field(5).uint(state.stateId2);
}

const FIELDS = [1, 2, 3, 4, 5];

/** Go's conversions; absent fields are zero. @throws TkaError "malformed". */
export function readState(reader: CborReader): State {
  const state: { -readonly [Name in keyof State]: State[Name] } = { ...EMPTY_STATE };
  reader.struct(FIELDS, (field) => {
    if (field === 1) {
      const digest = reader.array32();
      state.lastAumHash = digest === null ? null : aumHashOf(digest);
    } else if (field === 2) state.disablementValues = reader.slice((element) => element.byteSlice());
    else if (field === 3) state.keys = reader.slice(readKey);
    else if (field === 4) state.stateId1 = reader.uint64() ?? 0n;
    else state.stateId2 = reader.uint64() ?? 0n;
  });
  return state;
}
