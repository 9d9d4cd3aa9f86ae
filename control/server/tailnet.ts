/**
 * The tailnet in memory: every node and user, who is online, and the one way to change any of it.
 *
 * ```
 *   change(work) ─▶ transaction in the store ─▶ commit ─▶ memory ─▶ listeners (fan-out)
 * ```
 * Changes run one after another, and memory and listeners see them in the order of their commits; one that fails
 * changes nothing. Maps are built from memory, so a poll costs no database work.
 */
import { APPROVE_NOTHING, assignPrimaries, carriedRoutes, enabledRoutes } from "./routes.ts";
import type { ApprovalPolicy, Primaries } from "./routes.ts";
import type { NodeRecord, NodeView, UserRecord } from "./node_record.ts";
import type { Durability, NodeTable, Store, StoreTransaction, UserTable } from "./store.ts";

/** One node before and after a change; undefined before it exists or after it is gone. */
export interface NodeChange {
  readonly before: NodeView | undefined;
  readonly after: NodeView | undefined;
}

/** What maps are built from. Live: read it and let go within one turn. */
export interface TailnetSnapshot {
  readonly nodes: ReadonlyMap<number, NodeView>;
  readonly users: ReadonlyMap<number, UserRecord>;
}

/** Told of changed nodes, after the commit, in order. Must not throw. */
export type ChangeListener = (changes: readonly NodeChange[]) => void;

interface Recorded {
  readonly nodes: Map<number, NodeRecord | undefined>;
  readonly users: Map<number, UserRecord>;
}

/** The transaction, noting what it writes. */
function recording(tx: StoreTransaction, recorded: Recorded): StoreTransaction {
  const nodes: NodeTable = {
    ...tx.nodes,
    insert: async (node) => {
      const inserted = await tx.nodes.insert(node);
      recorded.nodes.set(inserted.id, inserted);
      return inserted;
    },
    update: async (node) => {
      await tx.nodes.update(node);
      recorded.nodes.set(node.id, node);
    },
    delete: async (id) => {
      await tx.nodes.delete(id);
      recorded.nodes.set(id, undefined);
    },
  };
  const users: UserTable = {
    ...tx.users,
    ensure: async (name, now) => {
      const user = await tx.users.ensure(name, now);
      recorded.users.set(user.id, user);
      return user;
    },
  };
  return { ...tx, nodes, users };
}

/** The state of one running coordinator. */
export class Tailnet implements TailnetSnapshot {
  readonly #store: Store;
  readonly #nodes = new Map<number, NodeView>();
  readonly #users = new Map<number, UserRecord>();
  readonly #idByNodeKey = new Map<string, number>();
  readonly #listeners: ChangeListener[] = [];
  readonly #policy: ApprovalPolicy;
  /** IDs of nodes that offer routes. */
  readonly #routers = new Set<number>();
  #primaries: Primaries = new Map();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(store: Store, policy: ApprovalPolicy) {
    this.#store = store;
    this.#policy = policy;
  }

  /** Reads everything; all nodes begin offline. The store belongs to the tailnet from here on. */
  static async load(store: Store, policy: ApprovalPolicy = APPROVE_NOTHING): Promise<Tailnet> {
    const tailnet = new Tailnet(store, policy);
    await store.transact(async (tx) => {
      for (const user of await tx.users.all()) tailnet.#users.set(user.id, user);
      for (const record of await tx.nodes.all()) tailnet.#apply(record.id, { record, online: false });
      tailnet.#reroute([]);
    });
    return tailnet;
  }

  get nodes(): ReadonlyMap<number, NodeView> {
    return this.#nodes;
  }

  get users(): ReadonlyMap<number, UserRecord> {
    return this.#users;
  }

  byNodeKey(nodeKey: string): NodeView | undefined {
    const id = this.#idByNodeKey.get(nodeKey);
    return id === undefined ? undefined : this.#nodes.get(id);
  }

  /** The routes of a node that are approved, by the operator or beforehand. */
  enabledRoutes(record: NodeRecord): string[] {
    return enabledRoutes(record, this.#policy);
  }

  listen(listener: ChangeListener): void {
    this.#listeners.push(listener);
  }

  /** Runs `work` in a write transaction and, once it is committed, shows the result to readers and listeners. */
  change<T>(work: (tx: StoreTransaction) => Promise<T>, durability?: Durability): Promise<T> {
    return this.#inOrder(async () => {
      const recorded: Recorded = { nodes: new Map(), users: new Map() };
      const result = await this.#store.transact((tx) => work(recording(tx, recorded)), durability);
      for (const [id, user] of recorded.users) this.#users.set(id, user);
      this.#publish(this.#reroute(Array.from(recorded.nodes, ([id, record]) => this.#replace(id, record))));
      return result;
    });
  }

  /**
   * Notes that a node came online or went offline; going offline also stores `now` as its last seen. Nothing happens
   * for a node that is gone or already so.
   */
  setOnline(id: number, online: boolean, now: number): Promise<void> {
    return this.#inOrder(async () => {
      const before = this.#nodes.get(id);
      if (before === undefined || before.online === online) return;
      const record = { ...before.record, lastSeen: now };
      if (!online) await this.#store.transact((tx) => tx.nodes.update(record), "relaxed");
      const after: NodeView = { ...before, record: online ? before.record : record, online };
      this.#apply(id, after);
      this.#publish(this.#reroute([{ before, after }]));
    });
  }

  /** Waits for what was begun, then closes the store. */
  async close(): Promise<void> {
    await this.#last;
    await this.#store.close();
  }

  #inOrder<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#last.then(step);
    this.#last = result.catch(() => {});
    return result;
  }

  #replace(id: number, record: NodeRecord | undefined): NodeChange {
    const before = this.#nodes.get(id);
    const after = record &&
      { record, online: before?.online ?? false, ...(before?.carries && { carries: before.carries }) };
    this.#apply(id, after);
    return { before, after };
  }

  #apply(id: number, view: NodeView | undefined): void {
    const before = this.#nodes.get(id);
    if (before !== undefined) this.#idByNodeKey.delete(before.record.nodeKey);
    if (view === undefined) {
      this.#nodes.delete(id);
      this.#routers.delete(id);
    } else {
      if (view.record.hostinfo.RoutableIPs?.length || view.carries?.length) this.#routers.add(id);
      else this.#routers.delete(id);
      this.#nodes.set(id, view);
      this.#idByNodeKey.set(view.record.nodeKey, id);
    }
  }

  /** Assigns routes anew where a change can touch them, and adds the nodes that carry others now. */
  #reroute(changes: readonly NodeChange[]): readonly NodeChange[] {
    const touched = changes.length === 0 ||
      changes.some(({ before, after }) =>
        [before, after].some((view) => view?.carries?.length || view?.record.hostinfo.RoutableIPs?.length)
      );
    if (!touched) return changes;
    const routers = [...this.#routers].flatMap((id) => this.#nodes.get(id) ?? []);
    this.#primaries = assignPrimaries(routers, this.#primaries, this.#policy);
    const all = new Map(changes.map((change) => [(change.after ?? change.before)!.record.id, change]));
    for (const view of routers) {
      const { id } = view.record;
      const carries = carriedRoutes(view.record, this.#primaries, this.#policy);
      if (carries.join() === (view.carries ?? []).join()) continue;
      const after = { ...view, carries };
      this.#apply(id, after);
      all.set(id, { before: all.has(id) ? all.get(id)!.before : view, after });
    }
    return [...all.values()];
  }

  #publish(changes: readonly NodeChange[]): void {
    if (changes.length === 0) return;
    for (const listener of this.#listeners) listener(changes);
  }
}
