/** A coordinator's tailnet in memory with its lock, and nodes that call it as their clients would. */
import { fromBase64, toBase64 } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import type { InitPolicy } from "../../control/server/lock/init_policy.ts";
import { LockServer } from "../../control/server/lock/lock_server.ts";
import { TailnetLock } from "../../control/server/lock/tailnet_lock.ts";
import { openSqliteStore } from "../../control/server/sqlite_store.ts";
import type { Store } from "../../control/server/store.ts";
import type { TkaCall, TkaRequest, TkaResponse } from "../../control/wire/decode.ts";
import type { RegisterRequest, RegisterResponse } from "../../control/wire/tailcfg.ts";
import { Aum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { Authority } from "../../tka/authority.ts";
import type { WalkLimits } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { encodeNodeKeySignature, signNodeKey } from "../../tka/node_key_signature.ts";
import { EMPTY_STATE } from "../../tka/state.ts";
import type { State } from "../../tka/state.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";
import type { TestKey } from "./lock_keys.ts";
import { testKey } from "./lock_keys.ts";
import type { Machine } from "./tailnet_world.ts";
import { TailnetWorld } from "./tailnet_world.ts";

/** Stands in for Argon2i: as one-way as a test needs, and free. */
export const fakeKdf = (secret: Uint8Array): Uint8Array => secret.map((byte) => byte ^ 0xff).slice(0, 32);

export const SECRET = new Uint8Array(32).fill(0x5e);

export interface LockWorldOptions {
  readonly store?: Store;
  readonly page?: number;
  readonly init?: InitPolicy;
  readonly derive?: (secret: Uint8Array) => Promise<Uint8Array>;
}

export interface LockedMachine extends Machine {
  readonly id: number;
  readonly lockKey: TestKey;
}

export class LockWorld {
  readonly world: TailnetWorld;
  readonly lock: TailnetLock;
  readonly server: LockServer;
  readonly log: string[];
  /** IDs that were told, undefined for all. */
  readonly pushes: (number | undefined)[] = [];
  #made = 0;

  private constructor(world: TailnetWorld, lock: TailnetLock, server: LockServer, log: string[]) {
    this.world = world;
    this.lock = lock;
    this.server = server;
    this.log = log;
    server.onPush((nodeId) => this.pushes.push(nodeId));
  }

  static async make(
    { store = openSqliteStore(":memory:"), page, init, derive }: LockWorldOptions = {},
  ): Promise<LockWorld> {
    const log: string[] = [];
    const later: { lock?: TailnetLock } = {};
    const check = { authorizes: (key: string, signature: string) => later.lock!.authorizes(key, signature) };
    const world = await TailnetWorld.make({ store, lock: check });
    const { tailnet, scheduler } = world;
    const lock = later.lock = await TailnetLock.load(tailnet, (line) => log.push(line));
    derive ??= (secret) => Promise.resolve(fakeKdf(secret));
    const server = new LockServer({ tailnet, lock, scheduler, derive, log: (line) => log.push(line), page, init });
    return new LockWorld(world, lock, server, log);
  }

  /** A node with the lock key of that number. */
  async join(hostname: string, lockKey = testKey(1), more: Partial<RegisterRequest> = {}): Promise<LockedMachine> {
    const machine = this.world.machine();
    await this.register(machine, lockKey, { ...more, host: { Hostname: hostname } });
    return { ...machine, id: this.world.tailnet.byNodeKey(machine.nodeKey)!.record.id, lockKey };
  }

  async register(
    machine: Machine,
    lockKey: TestKey,
    more: Parameters<TailnetWorld["register"]>[2] = {},
  ): Promise<RegisterResponse> {
    const NLKey = lockKey.lock.public.toString();
    return await this.world.register(machine, await this.world.authKey(), { NLKey, ...more });
  }

  call<C extends TkaCall>(
    machine: Machine,
    call: C,
    request: Omit<TkaRequest<C>, "Version" | "NodeKey">,
  ): Promise<TkaResponse<C>> {
    const whole = { Version: 113, NodeKey: machine.nodeKey, ...request } as unknown as TkaRequest<C>;
    return this.server.call(call, machine.machineKey, whole);
  }

  /** A genesis that trusts the keys and is signed by the first. */
  genesis(keys: readonly TestKey[], secret = SECRET): Aum {
    const state: State = {
      ...EMPTY_STATE,
      disablementValues: [fakeKdf(secret)],
      keys: keys.map((key) => key.key()),
      stateId1: BigInt(++this.#made),
      stateId2: 7n,
    };
    return Authority.create(new MemChonk(), state, keys[0], 0).genesis;
  }

  /** `lock init` by a machine: begin, a signature of everyone, finish. */
  async init(machine: LockedMachine, keys: readonly TestKey[], secret = SECRET): Promise<Aum> {
    const genesis = this.genesis(keys, secret);
    const { NeedSignatures } = await this.call(machine, "init/begin", { GenesisAUM: toBase64(genesis.bytes) });
    const Signatures = Object.fromEntries((NeedSignatures ?? []).map(({ NodeID, NodePublic: key, RotationPubkey }) => [
      String(NodeID),
      signature(keys[0], key, fromBase64(RotationPubkey)),
    ]));
    await this.call(machine, "init/finish", { Signatures });
    return genesis;
  }

  /** AUMs straight into the lock. */
  async submit(...aums: readonly Aum[]): Promise<void> {
    await this.lock.submit(aums, this.world.scheduler.wall());
  }

  record(machine: { readonly id: number }) {
    return this.world.tailnet.nodes.get(machine.id)!.record;
  }
}

/** A direct signature, base64. */
export function signature(signer: TestKey, nodeKey: string, rotation?: Uint8Array): string {
  const key = NodePublic.parse(nodeKey)!;
  return toBase64(encodeNodeKeySignature(signNodeKey(signer.lock, key, rotation)));
}

/** A node's lock that does exactly what a stock client of Tailscale does. */
export class StockNode {
  readonly chonk = new MemChonk();
  authority: Authority | undefined;
  readonly #world: LockWorld;
  readonly #machine: Machine;
  readonly #limits: WalkLimits;

  constructor(world: LockWorld, machine: Machine, limits: WalkLimits) {
    this.#world = world;
    this.#machine = machine;
    this.#limits = limits;
  }

  get head(): AumHash | undefined {
    return this.authority?.head;
  }

  /** What a full netmap with this TKAInfo makes it do. @throws what its own code refuses. */
  async netmap(disabled = false): Promise<void> {
    let justEnabled = false;
    if ((this.authority !== undefined) === disabled) {
      const bootstrap = await this.#world.call(this.#machine, "bootstrap", { Head: this.head ?? "" });
      if (disabled) {
        const secret = fromBase64(bootstrap.DisablementSecret ?? "") ?? new Uint8Array(0);
        const values = this.authority!.state.disablementValues ?? [];
        if (!values.some((value) => toBase64(value!) === toBase64(fakeKdf(secret)))) return;
        this.chonk.removeAll();
        this.authority = undefined;
        return;
      }
      const genesis = Aum.decode(fromBase64(bootstrap.GenesisAUM!)!);
      this.authority = Authority.bootstrap(this.chonk, genesis, 0, this.#limits);
      justEnabled = true;
    }
    if (this.authority !== undefined && (justEnabled || this.head !== this.#world.lock.active?.chain.head)) {
      await this.#sync(this.authority);
    }
  }

  async #sync(authority: Authority): Promise<void> {
    const offer = syncOffer(authority, this.chonk);
    const answer = await this.#world.call(this.#machine, "sync/offer", {
      Head: offer.head,
      Ancestors: offer.ancestors,
    });
    if (answer.Head === offer.head) return;
    const remote = { head: answer.Head as AumHash, ancestors: (answer.Ancestors ?? []) as AumHash[] };
    const send = missingAums(authority, this.chonk, remote);
    const received = (answer.MissingAUMs ?? []).map((aum) => Aum.decode(fromBase64(aum)!));
    if (received.length > 0) this.authority = authority.inform(this.chonk, received, 0);
    await this.#world.call(this.#machine, "sync/send", {
      Head: this.head!,
      MissingAUMs: send.map(({ bytes }) => toBase64(bytes)),
      Interactive: false,
    });
  }
}
