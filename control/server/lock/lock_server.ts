/**
 * The lock towards nodes: the eight calls and one of ours, and what maps say of it.
 *
 * ```
 *   init/begin    genesis              ▶ nodes to sign          nothing is kept but the genesis, for ten minutes
 *   init/finish   all signatures       ▶                        the lock is on
 *   bootstrap     head or ""           ▶ where to begin, or the secret that ended the asker's lock
 *   sync/offer    head, ancestors      ▶ ours, a page of AUMs   `answer_offer.ts`
 *   sync/send     AUMs                 ▶ our head               a node still behind is told again, and asks again
 *   sign          signature            ▶
 *   disable       secret               ▶                        tried in a worker (`kdf.ts`)
 *   affected-sigs key                  ▶ signatures that hang on it
 *   agent/auth-keys IDs                ▶ which are used or expired, so that their signers can be retired; ours
 * ```
 * A node whose lock was disabled while it was away, and another made, believes its own lock and is never told otherwise by
 * the maps of the new one. It is shown "disabled" alone until it has asked for the secret, then the new lock.
 */
import { equalBytes, fromBase64, toBase64 } from "../../../base/bytes.ts";
import type { Scheduler } from "../../../base/clock.ts";
import { LockPublic } from "../../../base/lock_key.ts";
import type { Aum } from "../../../tka/aum.ts";
import type { AumHash } from "../../../tka/aum_hash.ts";
import { parseAumHash } from "../../../tka/aum_hash.ts";
import type { DeriveDisablement } from "../../../tka/kdf.ts";
import { MemChonk } from "../../../tka/mem_chonk.ts";
import type { TkaCall, TkaRequest, TkaResponse } from "../../wire/decode.ts";
import type { TKAInfo } from "../../wire/tailcfg.ts";
import { MAX_KEYS } from "../../../tka/limits.ts";
import { authKeyState } from "../auth_keys.ts";
import { isExpired } from "../node_record.ts";
import type { NodeRecord } from "../node_record.ts";
import type { Tailnet } from "../tailnet.ts";
import { answerOffer } from "./answer_offer.ts";
import { bootstrapCheckpoint } from "./bootstrap_checkpoint.ts";
import { initRefusal } from "./init_policy.ts";
import type { InitPolicy } from "./init_policy.ts";
import { DisablementKdf } from "./kdf_limit.ts";
import { NodeReports } from "./node_reports.ts";
import { Refusal } from "./refusal.ts";
import { storeLimit } from "./stock_limits.ts";
import { decodeAum } from "./tailnet_lock.ts";
import type { ActiveLock, TailnetLock } from "./tailnet_lock.ts";

export interface LockServerOptions {
  readonly tailnet: Tailnet;
  readonly lock: TailnetLock;
  readonly scheduler: Scheduler;
  /** Never on the thread that serves: `deriveInWorker`. */
  readonly derive: DeriveDisablement;
  readonly log: (line: string) => void;
  /** Who may make a lock; every node unless told. */
  readonly init?: InitPolicy;
  /** Bytes of AUMs in one answer; as much as a stock node reads unless told. */
  readonly page?: number;
}

/** How long a begun init waits for its end. */
const INIT_LIFE_MS = 10 * 60_000;
const MAX_ANCESTORS = 5000;

interface BegunInit {
  readonly genesis: Aum;
  readonly at: number;
}

/** Tells map polls: of one node, or of all when undefined. */
export type LockPush = (nodeId: number | undefined) => void;

export class LockServer {
  readonly reports: NodeReports;
  readonly #options: LockServerOptions;
  readonly #kdf: DisablementKdf;
  readonly #begun = new Map<number, BegunInit>();
  /** Nodes whose wish for a lock was refused, so that the log says it once. */
  readonly #refused = new Set<number>();
  /** Nodes that are shown "disabled" until they have asked for their old lock's secret. */
  readonly #retiring = new Set<number>();
  /** The head each node had when it was last told to ask again. */
  readonly #pushed = new Map<number, AumHash>();
  #push: LockPush = () => {};

  constructor(options: LockServerOptions) {
    this.#options = options;
    this.reports = new NodeReports(options.lock);
    this.#kdf = new DisablementKdf(options.scheduler, options.derive);
    options.lock.listen(() => {
      if (options.lock.active === undefined) this.#retiring.clear();
      this.#push(undefined);
    });
    options.tailnet.listen((changes) => {
      for (const { before, after } of changes) if (after === undefined && before) this.#forget(before.record.id);
    });
  }

  get lock(): TailnetLock {
    return this.#options.lock;
  }

  /** Where pushes go; once. */
  onPush(push: LockPush): void {
    this.#push = push;
  }

  /** `MapResponse.TKAInfo` for a node; undefined while there never was a lock. */
  info(nodeId: number): TKAInfo | undefined {
    return this.#retiring.has(nodeId) ? { Disabled: true } : this.lock.info;
  }

  /** Notes the head a node told in a map request. */
  async told(nodeId: number, text: string): Promise<void> {
    const head = parseAumHash(text);
    if (head === undefined || this.lock.active === undefined) return;
    if (!await this.#retire(nodeId, head)) this.reports.tellHead(nodeId, head);
  }

  /** Answers one call of the machine. @throws Refusal */
  async call<C extends TkaCall>(call: C, machineKey: string, request: TkaRequest<C>): Promise<TkaResponse<C>> {
    const node = this.#caller(machineKey, request.NodeKey);
    const answers: { [Name in TkaCall]: (request: TkaRequest<Name>) => Promise<TkaResponse<Name>> } = {
      "init/begin": (asked) => this.#initBegin(node, asked),
      "init/finish": (asked) => this.#initFinish(node, asked),
      "bootstrap": (asked) => this.#bootstrap(node, asked),
      "sync/offer": (asked) => this.#offer(node, asked),
      "sync/send": (asked) => this.#send(node, asked),
      "sign": (asked) => this.#sign(node, asked),
      "disable": (asked) => this.#disable(node, asked),
      "affected-sigs": (asked) => this.#affectedSigs(asked),
      "agent/auth-keys": (asked) => this.#authKeys(asked),
    };
    return await answers[call](request);
  }

  #caller(machineKey: string, nodeKey: string): NodeRecord {
    const record = this.#options.tailnet.byNodeKey(nodeKey)?.record;
    if (record === undefined || record.machineKey !== machineKey) {
      throw new Refusal(404, "node not found: it was removed, or its key replaced; register again");
    }
    if (isExpired(record, this.#now())) throw new Refusal(403, "the node's key has expired: log in again");
    return record;
  }

  #initBegin(node: NodeRecord, { GenesisAUM }: TkaRequest<"init/begin">): Promise<TkaResponse<"init/begin">> {
    const now = this.#now();
    this.#checkMayInit(node);
    const genesis = decodeAum(GenesisAUM);
    this.lock.checkGenesis(genesis, new MemChonk(), now);
    for (const [id, { at }] of this.#begun) if (now - at > INIT_LIFE_MS) this.#begun.delete(id);
    this.#begun.set(node.id, { genesis, at: now });
    const nodes = [...this.#options.tailnet.nodes.values()].map(({ record }) => record).sort((a, b) => a.id - b.id);
    return Promise.resolve({
      NeedSignatures: nodes.map(({ id, nodeKey, lockKey }) => ({
        NodeID: id,
        NodePublic: nodeKey,
        RotationPubkey: toBase64(LockPublic.parse(lockKey)?.bytes ?? new Uint8Array(0)),
      })),
    });
  }

  /** @throws Refusal */
  #checkMayInit(node: NodeRecord): void {
    const { init = "any", tailnet, log } = this.#options;
    const refusal = initRefusal(init, node, tailnet.users.get(node.userId)?.name ?? "");
    if (refusal === undefined) return;
    if (!this.#refused.has(node.id)) log(`coordinator: ${refusal}`);
    this.#refused.add(node.id);
    throw new Refusal(403, refusal);
  }

  /**
   * `SupportDisablement` is not kept: it is a secret for a vendor's support to end the lock with, and here whoever reads
   * the database could.
   */
  async #initFinish(node: NodeRecord, { Signatures }: TkaRequest<"init/finish">): Promise<Record<never, never>> {
    const now = this.#now();
    this.#checkMayInit(node);
    const begun = this.#begun.get(node.id);
    if (begun === undefined || now - begun.at > INIT_LIFE_MS) {
      throw new Refusal(400, "no init was begun by this node: run `lock init` again");
    }
    await this.lock.enable(begun.genesis, Signatures ?? {}, now);
    this.#begun.clear();
    this.#options.log(`coordinator: tailnet lock was enabled by ${node.name}`);
    return {};
  }

  async #bootstrap(node: NodeRecord, { Head }: TkaRequest<"bootstrap">): Promise<TkaResponse<"bootstrap">> {
    const head = Head === "" ? undefined : this.#hash(Head);
    const { active } = this.lock;
    const answer: { GenesisAUM?: string; DisablementSecret?: string } = {};
    if (head !== undefined && active?.chain.chonk.aum(head) === undefined) {
      // Of a head that is not known - a branch of the node's own - the newest past lock is the best guess; a wrong secret
      // does nothing.
      const past = await this.lock.pastLockOf(head) ?? this.lock.past.at(-1);
      if (past !== undefined) answer.DisablementSecret = toBase64(past.disablementSecret!);
    }
    if (active !== undefined) {
      const checkpoint = bootstrapCheckpoint(active.chain, storeLimit(node.hostinfo));
      if (checkpoint.hash !== active.record.genesis) await this.lock.raiseFloor(checkpoint.hash);
      answer.GenesisAUM = toBase64(checkpoint.bytes);
    }
    if (this.#retiring.delete(node.id)) this.#push(node.id);
    return answer;
  }

  async #offer(node: NodeRecord, request: TkaRequest<"sync/offer">): Promise<TkaResponse<"sync/offer">> {
    const { chain } = this.#active();
    const asked = request.Ancestors ?? [];
    if (asked.length > MAX_ANCESTORS) {
      throw new Refusal(400, `${asked.length} ancestors, want at most ${MAX_ANCESTORS}`);
    }
    const asker = { head: this.#hash(request.Head), ancestors: asked.map((text) => this.#hash(text)) };
    const limits = { store: storeLimit(node.hostinfo), page: this.#options.page };
    const { offer, missing, sync } = answerOffer(chain, asker, limits);
    if (sync.kind !== "no-common-history" || !await this.#retire(node.id, asker.head)) {
      this.reports.tell(node.id, asker.head, sync);
    }
    return { Head: offer.head, Ancestors: offer.ancestors, MissingAUMs: missing.map(({ bytes }) => toBase64(bytes)) };
  }

  async #send(node: NodeRecord, request: TkaRequest<"sync/send">): Promise<TkaResponse<"sync/send">> {
    const head = this.#hash(request.Head);
    this.#active();
    await this.lock.submit((request.MissingAUMs ?? []).map(decodeAum), this.#now());
    const { chain } = this.#active();
    // An interactive sender has not applied what it sent: its head is a wish.
    if (!request.Interactive) {
      const sync = this.reports.tellHead(node.id, head);
      if (sync?.kind === "behind" && this.#pushed.get(node.id) !== head) {
        this.#pushed.set(node.id, head);
        this.#push(node.id);
      }
    }
    return { Head: chain.head };
  }

  async #sign(node: NodeRecord, { Signature }: TkaRequest<"sign">): Promise<Record<never, never>> {
    const signed = await this.lock.sign(this.#bytes(Signature));
    this.#options.log(`coordinator: ${signed.name} was signed by way of ${node.name}`);
    return {};
  }

  async #disable(node: NodeRecord, { DisablementSecret }: TkaRequest<"disable">): Promise<Record<never, never>> {
    const secret = this.#bytes(DisablementSecret);
    if (this.lock.active === undefined) {
      const used = this.lock.past.at(-1)?.disablementSecret;
      if (used !== undefined && equalBytes(used, secret)) return {};
    }
    const { record } = this.#active();
    const derived = await this.#kdf.derive(node.id, secret);
    if (this.#active().record.id !== record.id) throw new Refusal(400, "the lock was replaced meanwhile: try again");
    await this.lock.disable(secret, derived, this.#now());
    this.#options.log(`coordinator: tailnet lock was disabled by ${node.name}`);
    return {};
  }

  #affectedSigs({ KeyID }: TkaRequest<"affected-sigs">): Promise<TkaResponse<"affected-sigs">> {
    this.#active();
    const affected = this.lock.signedBy(this.#bytes(KeyID));
    return Promise.resolve({ Signatures: affected.map(({ keySignature }) => keySignature) });
  }

  async #authKeys({ IDs }: TkaRequest<"agent/auth-keys">): Promise<TkaResponse<"agent/auth-keys">> {
    const ids = IDs ?? [];
    if (ids.length > MAX_KEYS) throw new Refusal(400, `${ids.length} auth keys, want at most ${MAX_KEYS}`);
    const now = this.#now();
    const States = await this.#options.tailnet.change((tx) =>
      Promise.all(ids.map(async (ID) => {
        const record = await tx.authKeys.byId(ID);
        return { ID, State: record === undefined ? "unknown" : authKeyState(record, now) };
      }))
    );
    return { States };
  }

  /** True when the head is of a past lock; the node is then shown that its lock is disabled. */
  async #retire(nodeId: number, head: AumHash): Promise<boolean> {
    if (await this.lock.pastLockOf(head) === undefined) return false;
    this.reports.tell(nodeId, head, { kind: "old-lock" });
    if (!this.#retiring.has(nodeId)) {
      this.#retiring.add(nodeId);
      this.#push(nodeId);
    }
    return true;
  }

  #forget(nodeId: number): void {
    this.reports.forget(nodeId);
    this.#begun.delete(nodeId);
    this.#refused.delete(nodeId);
    this.#retiring.delete(nodeId);
    this.#pushed.delete(nodeId);
  }

  #active(): ActiveLock {
    const { active } = this.lock;
    if (active === undefined) throw new Refusal(400, "tailnet lock is not on");
    return active;
  }

  #hash(text: string): AumHash {
    const hash = parseAumHash(text);
    if (hash === undefined) throw new Refusal(400, "a hash is not 52 characters of base32");
    return hash;
  }

  #bytes(base64: string): Uint8Array {
    const bytes = fromBase64(base64);
    if (bytes === undefined) throw new Refusal(400, "not base64");
    return bytes;
  }

  #now(): number {
    return this.#options.scheduler.wall();
  }
}
