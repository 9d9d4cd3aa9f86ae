/**
 * What an operator may do to a tailnet, whether a server runs or not: the same operations behind the server's socket and
 * on the file itself.
 *
 * Errors are for the operator: one line, with what to do. All times are RFC 3339 text or absent, so that results go out
 * as JSON as they are.
 */
import type { Scheduler } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { goTime } from "../wire/tailcfg.ts";
import type { NodeLockReport } from "./lock/node_reports.ts";
import type { LockServer } from "./lock/lock_server.ts";
import { authKeyState, isTag, mintAuthKey } from "./auth_keys.ts";
import { formatPrefix, isMasked, parsePrefix } from "../../base/ip.ts";
import { EXIT_ROUTES, isExitRoute, offeredRoutes } from "./routes.ts";
import { isExpired } from "./node_record.ts";
import type { AuthKeyRecord, NodeRecord, NodeView } from "./node_record.ts";
import type { Registration } from "./registration.ts";
import type { StoreTransaction } from "./store.ts";
import type { Tailnet } from "./tailnet.ts";
import { DEFAULT_USER, isUserName, TAGGED_DEVICES } from "./users.ts";

/** A request for a new auth key. */
export interface KeyRequest {
  readonly user?: string;
  readonly reusable?: boolean;
  readonly ephemeral?: boolean;
  /** Life in ms; 0: no end. Ninety days when absent, as with Tailscale. */
  readonly expiryMs?: number;
  readonly tags?: readonly string[];
}

/** An auth key without its secret. */
export interface KeySummary {
  readonly id: string;
  readonly user: string;
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly tags: readonly string[];
  readonly created: string;
  readonly expires?: string;
  readonly used?: string;
  /** "valid", "used" or "expired". */
  readonly state: string;
}

/** A new auth key; the only time its text is seen. */
export interface CreatedKey extends KeySummary {
  readonly key: string;
}

/** A node as the operator sees it. */
export interface NodeSummary {
  readonly id: number;
  readonly stableId: string;
  readonly name: string;
  readonly hostname: string;
  readonly user: string;
  readonly tags: readonly string[];
  readonly addresses: readonly string[];
  readonly nodeKey: string;
  readonly machineKey: string;
  readonly online: boolean;
  readonly ephemeral: boolean;
  readonly expired: boolean;
  readonly os?: string;
  readonly version?: string;
  readonly created: string;
  readonly lastSeen?: string;
  readonly keyExpiry?: string;
  /** Routes it offers; of them those that are approved; and those that lead to it now. Absent when it offers none. */
  readonly routes?: NodeRoutes;
  /** While Tailnet Lock is on, and only of a running server. */
  readonly lock?: NodeLockReport;
}

/** Routes of a node. */
export interface NodeRoutes {
  readonly offered: readonly string[];
  readonly approved: readonly string[];
  readonly carried: readonly string[];
}

/** A change of what is approved of a node's routes. */
export interface RouteRequest {
  readonly node: string;
  /** Prefixes; "exit" for both default routes, "all" for all that the node offers. */
  readonly routes: readonly string[];
  readonly approve: boolean;
}

/** A login that waits for approval. */
export interface LoginSummary {
  readonly id: string;
  readonly hostname: string;
  readonly os?: string;
  readonly requestedTags: readonly string[];
  readonly machineKey: string;
  readonly created: string;
}

/** An approval of a login. */
export interface ApproveRequest {
  readonly id: string;
  readonly user?: string;
  readonly tags?: readonly string[];
}

/** Everything the socket and the command line offer. */
export interface AdminOperations {
  createKey(request: KeyRequest): Promise<CreatedKey>;
  listKeys(): Promise<KeySummary[]>;
  /** Ends a key's life now. */
  expireKey(id: string): Promise<KeySummary>;
  listNodes(): Promise<NodeSummary[]>;
  /** Ends a node key's life now. @param node its ID, name or address. */
  expireNode(node: string): Promise<NodeSummary>;
  /** Removes a node for ever; its addresses are free again. @param node its ID, name or address. */
  deleteNode(node: string): Promise<NodeSummary>;
  /** Approves routes of a node, offered or not yet, or takes the approval back. */
  setRoutes(request: RouteRequest): Promise<NodeSummary>;
  listLogins(): Promise<LoginSummary[]>;
  approveLogin(request: ApproveRequest): Promise<NodeSummary>;
}

/** Life of an auth key when nothing is said. */
export const DEFAULT_AUTH_KEY_LIFE_MS = 90 * 24 * 3600_000;

export interface AdminOptions {
  readonly tailnet: Tailnet;
  readonly registration: Registration;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly lock?: LockServer;
}

function checkTags(tags: readonly string[]): readonly string[] {
  for (const tag of tags) {
    if (!isTag(tag)) throw new Error(`Cannot use the tag ${tag}: want tag: and letters, digits or hyphens, as tag:web`);
  }
  return [...new Set(tags)].sort();
}

function checkUser(name: string): string {
  if (!isUserName(name)) throw new Error(`Cannot use the user name ${JSON.stringify(name)}: want printable text`);
  return name;
}

/** The routes a word means. @throws Error for a word that means none. */
function namedRoutes(word: string, record: NodeRecord, approve: boolean): readonly string[] {
  if (word === "exit") return EXIT_ROUTES;
  if (word === "all") return approve ? offeredRoutes(record) : record.approvedRoutes;
  const prefix = word.includes("/") ? parsePrefix(word) : undefined;
  if (prefix === undefined || !isMasked(prefix)) {
    throw new Error(`Cannot use the route ${JSON.stringify(word)}: want a prefix as 10.1.0.0/16, exit, or all`);
  }
  const route = formatPrefix(prefix);
  return isExitRoute(route) ? EXIT_ROUTES : [route];
}

/** The operations on a loaded tailnet. */
export class Admin implements AdminOperations {
  readonly #options: AdminOptions;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  async createKey(request: KeyRequest): Promise<CreatedKey> {
    const { tailnet, random } = this.#options;
    const now = this.#now();
    const life = request.expiryMs ?? DEFAULT_AUTH_KEY_LIFE_MS;
    if (!(life >= 0 && Number.isSafeInteger(now + life))) throw new Error("Cannot use that expiry: want a time ahead");
    const name = checkUser(request.user ?? DEFAULT_USER);
    const tags = checkTags(request.tags ?? []);
    const { record, text } = await tailnet.change(async (tx) => {
      const user = await tx.users.ensure(name, now);
      const grant = {
        userId: user.id,
        reusable: request.reusable === true,
        ephemeral: request.ephemeral === true,
        tags,
        expiresAt: life === 0 ? undefined : now + life,
      };
      const minted = mintAuthKey(grant, now, random);
      await tx.authKeys.insert(minted.record);
      return minted;
    });
    return { ...this.#key(record), key: text.reveal() };
  }

  async listKeys(): Promise<KeySummary[]> {
    const records = await this.#options.tailnet.change((tx) => tx.authKeys.all());
    return records.map((record) => this.#key(record));
  }

  async expireKey(id: string): Promise<KeySummary> {
    // The whole text is what people have at hand; the ID is the part that may be written down.
    const wanted = /^tskey-auth-([0-9A-Za-z]+)/.exec(id)?.[1] ?? id;
    const record = await this.#options.tailnet.change(async (tx) => {
      await tx.authKeys.expire(wanted, this.#now());
      return await tx.authKeys.byId(wanted);
    });
    if (record === undefined) throw new Error("Cannot expire that auth key: there is none of that ID; see `keys list`");
    return this.#key(record);
  }

  listNodes(): Promise<NodeSummary[]> {
    const views = [...this.#options.tailnet.nodes.values()];
    return Promise.resolve(views.sort((a, b) => a.record.id - b.record.id).map((view) => this.#node(view)));
  }

  async expireNode(node: string): Promise<NodeSummary> {
    const now = this.#now();
    const record = await this.#options.tailnet.change(async (tx) => {
      const found = await this.#find(tx, node);
      if (isExpired(found, now)) return found;
      const expired = { ...found, keyExpiry: now };
      await tx.nodes.update(expired);
      return expired;
    });
    return this.#node({ record, online: this.#options.tailnet.nodes.get(record.id)?.online ?? false });
  }

  async deleteNode(node: string): Promise<NodeSummary> {
    const record = await this.#options.tailnet.change(async (tx) => {
      const found = await this.#find(tx, node);
      await tx.nodes.delete(found.id);
      return found;
    });
    return this.#node({ record, online: false });
  }

  async setRoutes({ node, routes, approve }: RouteRequest): Promise<NodeSummary> {
    const { id } = await this.#options.tailnet.change(async (tx) => {
      const found = await this.#find(tx, node);
      const named = new Set(routes.flatMap((word) => namedRoutes(word, found, approve)));
      const kept = found.approvedRoutes.filter((route) => !named.has(route));
      const changed = { ...found, approvedRoutes: approve ? [...new Set([...kept, ...named])].sort() : kept };
      await tx.nodes.update(changed);
      return changed;
    });
    return this.#node(this.#options.tailnet.nodes.get(id)!);
  }

  async listLogins(): Promise<LoginSummary[]> {
    const logins = await this.#options.registration.pending();
    return logins.map(({ id, hostinfo, machineKey, createdAt }) => ({
      id,
      hostname: hostinfo.Hostname ?? "",
      ...(hostinfo.OS !== undefined && { os: hostinfo.OS }),
      requestedTags: hostinfo.RequestTags ?? [],
      machineKey,
      created: goTime(createdAt),
    }));
  }

  async approveLogin(request: ApproveRequest): Promise<NodeSummary> {
    const user = checkUser(request.user ?? DEFAULT_USER);
    // People paste what they were shown, which is the whole URL.
    const id = String(request.id).split("/").at(-1)!;
    const record = await this.#options.registration.approve(id, { user, tags: checkTags(request.tags ?? []) });
    return this.#node({ record, online: false });
  }

  #now(): number {
    return this.#options.scheduler.wall();
  }

  async #find(tx: StoreTransaction, wanted: string): Promise<NodeRecord> {
    const label = wanted.split(".")[0].toLowerCase();
    for (const node of await tx.nodes.all()) {
      const names = [String(node.id), node.stableId, node.ipv4, node.ipv6, node.nodeKey];
      if (names.includes(wanted)) return node;
      if (!/^[0-9.]+$/.test(wanted) && node.name === label) return node;
    }
    throw new Error(`Cannot find the node ${wanted}: want an ID, name or address from \`nodes list\``);
  }

  #userName(id: number): string {
    return this.#options.tailnet.users.get(id)?.name ?? "";
  }

  #key(record: AuthKeyRecord): KeySummary {
    const { id, reusable, ephemeral, tags } = record;
    return {
      id,
      user: this.#userName(record.userId),
      reusable,
      ephemeral,
      tags,
      created: goTime(record.createdAt),
      ...(record.expiresAt !== undefined && { expires: goTime(record.expiresAt) }),
      ...(record.usedAt !== undefined && { used: goTime(record.usedAt) }),
      state: authKeyState(record, this.#now()),
    };
  }

  #routes({ record, carries = [] }: NodeView): Pick<NodeSummary, "routes"> {
    const offered = offeredRoutes(record);
    const approved = [...new Set([...record.approvedRoutes, ...this.#options.tailnet.enabledRoutes(record)])].sort();
    return offered.length + approved.length === 0 ? {} : { routes: { offered, approved, carried: carries } };
  }

  #node(view: NodeView): NodeSummary {
    const { record, online } = view;
    const lock = this.#options.lock?.reports.of(record);
    const { id, stableId, name, hostname, tags, nodeKey, machineKey, ephemeral, hostinfo } = record;
    return {
      id,
      stableId,
      name,
      hostname,
      user: tags.length > 0 ? TAGGED_DEVICES.LoginName : this.#userName(record.userId),
      tags,
      addresses: [record.ipv4, record.ipv6],
      nodeKey,
      machineKey,
      online,
      ephemeral,
      expired: isExpired(record, this.#now()),
      ...(hostinfo.OS !== undefined && { os: hostinfo.OS }),
      ...(hostinfo.IPNVersion !== undefined && { version: hostinfo.IPNVersion }),
      created: goTime(record.createdAt),
      ...(record.lastSeen !== undefined && { lastSeen: goTime(record.lastSeen) }),
      ...(record.keyExpiry !== undefined && { keyExpiry: goTime(record.keyExpiry) }),
      ...this.#routes(view),
      ...(lock !== undefined && { lock }),
    };
  }
}
