/**
 * The tailnet's lock: what is on, what was on before, and every change of either.
 *
 * ```
 *   off ──enable (genesis, all signatures)──▶ on ──submit (AUMs)──▶ on ──disable (secret)──▶ off
 * ```
 * Nodes verify everything themselves; the coordinator does too, so that it never hands out what nodes would refuse. Each
 * change is verified and written within one transaction of the tailnet, and shown only once that has committed.
 */
import { fromBase64, toBase64, toHex } from "../../../base/bytes.ts";
import { NodePublic } from "../../../base/keys.ts";
import { Aum } from "../../../tka/aum.ts";
import type { AumHash } from "../../../tka/aum_hash.ts";
import { Authority } from "../../../tka/authority.ts";
import { isDisablementValue } from "../../../tka/disablement.ts";
import { TkaError } from "../../../tka/errors.ts";
import { MemChonk } from "../../../tka/mem_chonk.ts";
import { decodeNodeKeySignature, unverifiedAuthorizingKeyId } from "../../../tka/node_key_signature.ts";
import { stateIdText } from "../../../tka/state.ts";
import type { TKAInfo } from "../../wire/tailcfg.ts";
import type { NodeRecord } from "../node_record.ts";
import type { StoreTransaction } from "../store.ts";
import { StoreError } from "../store.ts";
import type { Tailnet } from "../tailnet.ts";
import { LockChain } from "./lock_chain.ts";
import type { LockRecord } from "./lock_record.ts";
import { Refusal } from "./refusal.ts";
import { StagedChonk } from "./staged_chonk.ts";
import { MAX_AUM_BYTES, WARN_AUMS } from "./stock_limits.ts";

/** The lock that is on. */
export interface ActiveLock {
  readonly record: LockRecord;
  readonly chain: LockChain;
}

/** Signatures whose verdict is remembered. */
const MAX_VERDICTS = 50_000;

const rowOf = (aum: Aum) => ({ hash: aum.hash, bytes: aum.bytes });

/** Runs a check of `tka`; what it refuses is the caller's fault. @throws Refusal 400. */
function checked<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof TkaError ? new Refusal(400, error.message) : error;
  }
}

/** An AUM of a request. @throws Refusal 400. */
export function decodeAum(base64: string): Aum {
  const bytes = fromBase64(base64);
  if (bytes === undefined) throw new Refusal(400, "the AUM is not base64");
  if (bytes.length > MAX_AUM_BYTES) {
    throw new Refusal(400, `the AUM has ${bytes.length} bytes, want at most ${MAX_AUM_BYTES}`);
  }
  return checked(() => Aum.decode(bytes));
}

export class TailnetLock {
  readonly #tailnet: Tailnet;
  readonly #log: (line: string) => void;
  readonly #listeners: (() => void)[] = [];
  #active: ActiveLock | undefined;
  /** Oldest first. */
  #past: readonly LockRecord[] = [];
  #warned = false;
  #last: Promise<unknown> = Promise.resolve();
  /** Of the lock as it is now: maps, reports and calls ask for the same signatures again and again. */
  readonly #verdicts = new Map<string, boolean>();

  private constructor(tailnet: Tailnet, log: (line: string) => void) {
    this.#tailnet = tailnet;
    this.#log = log;
  }

  /**
   * Reads what is stored and verifies its form. A lock that cannot be read must stop the server: without it every map
   * would say that there is none.
   * @throws StoreError
   */
  static async load(tailnet: Tailnet, log: (line: string) => void = () => {}): Promise<TailnetLock> {
    const lock = new TailnetLock(tailnet, log);
    await tailnet.change(async (tx) => {
      const records = await tx.locks.all();
      lock.#past = records.filter(({ disabledAt }) => disabledAt !== undefined);
      const record = records.find(({ disabledAt }) => disabledAt === undefined);
      if (record !== undefined) lock.#active = await openLock(tx, record);
    });
    lock.#warn();
    return lock;
  }

  get active(): ActiveLock | undefined {
    return this.#active;
  }

  get past(): readonly LockRecord[] {
    return this.#past;
  }

  /** Told when the head moves and when the lock goes on or off. Must not throw. */
  listen(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** What maps say; undefined while there never was a lock. */
  get info(): TKAInfo | undefined {
    if (this.#active !== undefined) return { Head: this.#active.chain.head };
    return this.#past.length > 0 ? { Disabled: true } : undefined;
  }

  /** Whether the lock is on and the signature authorizes the node key now. @param signature base64. */
  authorizes(nodeKey: string, signature: string): boolean {
    if (this.#active === undefined || signature === "") return false;
    const asked = `${nodeKey} ${signature}`;
    let verdict = this.#verdicts.get(asked);
    if (verdict === undefined) {
      if (this.#verdicts.size >= MAX_VERDICTS) this.#verdicts.clear();
      this.#verdicts.set(asked, verdict = isAuthorized(this.#active.chain.authority, nodeKey, signature));
    }
    return verdict;
  }

  /**
   * Turns the lock on. All nodes need a signature: a tailnet must not lose a node by being locked.
   * @param signatures base64 by node ID. @throws Refusal
   */
  enable(genesis: Aum, signatures: Readonly<Record<string, string>>, now: number): Promise<void> {
    return this.#inOrder(() => this.#enable(genesis, signatures, now));
  }

  async #enable(genesis: Aum, signatures: Readonly<Record<string, string>>, now: number): Promise<void> {
    const chonk = new MemChonk();
    const authority = this.checkGenesis(genesis, chonk, now);
    const stateId = stateIdText(authority.state);
    const record = await this.#tailnet.change(async (tx) => {
      for (const node of await tx.nodes.all()) {
        const given = signatures[String(node.id)];
        const bytes = given === undefined ? undefined : fromBase64(given);
        if (bytes === undefined || !isAuthorized(authority, node.nodeKey, given)) {
          throw new Refusal(
            400,
            `the signature of node ${node.name} is ${bytes ? "not valid" : "missing"}: it joined or got a new key ` +
              "meanwhile; run `lock init` again",
          );
        }
        await tx.nodes.update({ ...node, keySignature: toBase64(bytes) });
      }
      const { hash } = genesis;
      const inserted = await tx.locks.insert({
        stateId,
        genesis: hash,
        createdAt: now,
        floor: hash,
        disabledAt: undefined,
        disablementSecret: undefined,
      });
      await tx.locks.addAums(inserted.id, [rowOf(genesis)], now);
      return inserted;
    });
    this.#active = { record, chain: new LockChain(chonk, authority) };
    this.#log(`coordinator: tailnet lock is on, genesis ${genesis.hash}, ${authority.keys.length} trusted keys`);
    this.#announce();
  }

  /** @returns the authority of a genesis that may become the lock, in the empty store. @throws Refusal */
  checkGenesis(genesis: Aum, chonk: MemChonk, now: number): Authority {
    if (this.#active !== undefined) throw new Refusal(400, "tailnet lock is on already");
    if (genesis.parent !== undefined) throw new Refusal(400, "the genesis follows another AUM");
    const authority = checked(() => Authority.bootstrap(chonk, genesis, now));
    const stateId = stateIdText(authority.state);
    if (this.#past.some((record) => record.stateId === stateId)) {
      throw new Refusal(400, "this lock was disabled before and its secret is known: make a new one");
    }
    return authority;
  }

  /** Verifies and stores AUMs, parents first; those known are passed over. @throws Refusal, and nothing is stored. */
  async submit(aums: readonly Aum[], now: number): Promise<void> {
    if (aums.length > 0) await this.#inOrder(() => this.#submit(aums, now));
  }

  async #submit(aums: readonly Aum[], now: number): Promise<void> {
    const { record, chain } = this.#required();
    const before = chain.head;
    checkForks(chain, record.floor, aums);
    const staged = new StagedChonk(chain.chonk);
    const next = checked(() => chain.authority.inform(staged, aums, now));
    const { added } = staged;
    await this.#tailnet.change((tx) => tx.locks.addAums(record.id, added.map(rowOf), now));
    chain.chonk.commit(added, now);
    chain.advance(next);
    if (chain.head === before) return;
    this.#warn();
    this.#announce();
  }

  /** Stores the signature of a node of the tailnet. @throws Refusal unless it is valid now. */
  async sign(signature: Uint8Array): Promise<NodeRecord> {
    const sig = checked(() => decodeNodeKeySignature(signature));
    if (sig.pubkey?.length !== 34) throw new Refusal(400, "the signature is for no node key");
    const nodeKey = new NodePublic(sig.pubkey.subarray(2)).toString();
    const text = toBase64(signature);
    return await this.#tailnet.change(async (tx) => {
      const { chain } = this.#required();
      const node = await tx.nodes.byNodeKey(nodeKey);
      if (node === undefined) throw new Refusal(404, "no node of this tailnet has the signed key");
      const verdict = chain.authority.nodeKeyAuthorized(NodePublic.parse(nodeKey)!, signature);
      if (!verdict.authorized) throw new Refusal(400, verdict.error.message);
      const signed = { ...node, keySignature: text };
      await tx.nodes.update(signed);
      return signed;
    });
  }

  /** Turns the lock off. @param derived what the secret derives to. @throws Refusal when that is not the lock's. */
  disable(secret: Uint8Array, derived: Uint8Array, now: number): Promise<void> {
    return this.#inOrder(async () => {
      const { record, chain } = this.#required();
      if (!isDisablementValue(chain.authority.state, derived)) throw new Refusal(400, "incorrect disablement secret");
      const past: LockRecord = { ...record, disabledAt: now, disablementSecret: new Uint8Array(secret) };
      await this.#tailnet.change((tx) => tx.locks.update(past));
      this.#active = undefined;
      this.#past = [...this.#past, past];
      this.#log(`coordinator: tailnet lock was disabled, genesis ${record.genesis}`);
      this.#announce();
    });
  }

  /** The disabled lock that has an AUM; undefined for one of the lock that is on, or of none. */
  async pastLockOf(head: AumHash): Promise<LockRecord | undefined> {
    if (this.#past.length === 0 || this.#active?.chain.chonk.aum(head) !== undefined) return undefined;
    const id = await this.#tailnet.change((tx) => tx.locks.lockOf(head));
    return this.#past.find((record) => record.id === id);
  }

  /** Notes that nodes begin at this checkpoint from now on. */
  raiseFloor(checkpoint: AumHash): Promise<void> {
    return this.#inOrder(async () => {
      const { record, chain } = this.#required();
      const place = chain.placeOf(checkpoint);
      if (place === undefined || place <= (chain.placeOf(record.floor) ?? 0)) return;
      const raised = { ...record, floor: checkpoint };
      await this.#tailnet.change((tx) => tx.locks.update(raised));
      this.#active = { record: raised, chain };
    });
  }

  /** Nodes whose signature is valid now and goes back to the trusted key. */
  signedBy(keyId: Uint8Array): NodeRecord[] {
    const wanted = toHex(keyId);
    return [...this.#tailnet.nodes.values()].map(({ record }) => record).filter(({ nodeKey, keySignature }) =>
      this.authorizes(nodeKey, keySignature) &&
      toHex(unverifiedAuthorizingKeyId(decodeNodeKeySignature(fromBase64(keySignature)!))) === wanted
    );
  }

  /** One change at a time, from its checks until memory has it too. */
  #inOrder<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#last.then(step);
    this.#last = result.catch(() => {});
    return result;
  }

  #required(): ActiveLock {
    if (this.#active === undefined) throw new Refusal(400, "tailnet lock is not on");
    return this.#active;
  }

  #announce(): void {
    this.#verdicts.clear();
    for (const listener of this.#listeners) listener();
  }

  #warn(): void {
    const length = this.#active?.chain.length ?? 0;
    if (length >= WARN_AUMS && !this.#warned) {
      this.#log(
        `coordinator: tailnet lock has ${length} AUMs; stock clients hold at most 2,000: new ones begin at a ` +
          "checkpoint, and those that were away longer are named by `nodes list`",
      );
    }
    this.#warned = length >= WARN_AUMS;
  }
}

async function openLock(tx: StoreTransaction, record: LockRecord): Promise<ActiveLock> {
  try {
    const chonk = new MemChonk();
    for (const { hash, bytes } of await tx.locks.aums(record.id)) {
      const aum = Aum.decode(bytes);
      if (aum.hash !== hash) throw new StoreError(`AUM ${hash} has the hash ${aum.hash}`);
      chonk.commit([aum], record.createdAt);
    }
    chonk.setLastActiveAncestor(record.genesis);
    return { record, chain: new LockChain(chonk, Authority.open(chonk)) };
  } catch (cause) {
    throw new StoreError(
      `Cannot read tailnet lock ${record.genesis}: ${(cause as Error).message}; restore the database from a backup`,
      { cause },
    );
  }
}

function isAuthorized(authority: Authority, nodeKey: string, signature: string): boolean {
  const key = NodePublic.parse(nodeKey);
  const bytes = signature === "" ? undefined : fromBase64(signature);
  return key !== undefined && bytes !== undefined && authority.nodeKeyAuthorized(key, bytes).authorized;
}

/** Forks that nodes could not follow are refused: some began behind where they leave the chain. @throws Refusal */
function checkForks(chain: LockChain, floor: AumHash, aums: readonly Aum[]): void {
  const lowest = chain.placeOf(floor) ?? 0;
  for (const { hash, parent } of aums) {
    if (parent === undefined || chain.chonk.aum(hash) !== undefined) continue;
    const joint = chain.jointOf(parent);
    if (joint !== undefined && joint.place < lowest) {
      throw new Refusal(400, `a fork before checkpoint ${floor} cannot be followed by all nodes: fork later`);
    }
  }
}
