/**
 * `POST /machine/register`: who may become, or remain, a node.
 *
 * ```
 *   node key is another machine's ──────────────────────────▶ Error
 *   Expiry in the past, key is current ─────────────────────▶ logged out (ephemeral: removed)
 *   key is current ── expired ──────────────────────────────▶ NodeKeyExpired: come back with a new key
 *                             (under Tailnet Lock, and signed) ▶ NodeKeySignature: … and with this signature wrapped
 *                  └─ valid ────────────────────────────────▶ authorized; an auth key sent along is not looked at
 *   new key ── auth key ── good ────────────────────────────▶ consumed, enrolled
 *           │            └─ bad ────────────────────────────▶ Error
 *           └─ none ── operator approves AuthURL ───────────▶ enrolled; a request with Followup waits for it
 * ```
 * A node that restarts sends its current key and perhaps the long-used auth key again: it must stay in, and its expiry
 * must not move (headscale 2830, 3262). Each decision is one write transaction, so of two registrations with one
 * one-off key exactly one wins (TS-2025-007).
 */
import { LockPublic } from "../../base/lock_key.ts";
import { NodePublic } from "../../base/keys.ts";
import type { RandomBytes } from "../../base/keys.ts";
import type { Scheduler } from "../../base/clock.ts";
import { fromGoTime, ZERO_TIME } from "../wire/tailcfg.ts";
import type { Hostinfo, RegisterRequest, RegisterResponse } from "../wire/tailcfg.ts";
import { checkAuthKey, isTag, splitAuthKey, usedText } from "./auth_keys.ts";
import { describe, enrol } from "./enrolment.ts";
import type { Claim, EnrolmentPolicy } from "./enrolment.ts";
import { acceptedSignature, signatureToRenew } from "./lock/registration_lock.ts";
import type { SignatureCheck } from "./lock/registration_lock.ts";
import { isExpired } from "./node_record.ts";
import type { NodeRecord, PendingLogin } from "./node_record.ts";
import { LoginWaiters, MAX_PENDING_LOGINS, PENDING_LOGIN_LIFE_MS } from "./pending_logins.ts";
import { randomText } from "./random_text.ts";
import type { StoreTransaction } from "./store.ts";
import type { Tailnet } from "./tailnet.ts";
import { ownerOf } from "./users.ts";

/** The oldest client served: the first that sends endpoints apart from its map stream. */
export const MIN_CAPABILITY_VERSION = 68;

/** The answer, or "come back later": HTTP 429. */
export type RegisterOutcome =
  | { readonly kind: "answer"; readonly response: RegisterResponse }
  | { readonly kind: "busy"; readonly retryAfterSeconds: number };

/** What registration needs of its surroundings. */
export interface RegistrationOptions extends EnrolmentPolicy {
  readonly tailnet: Tailnet;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** Without a slash at its end. */
  readonly serverUrl: string;
  /** Absent: nothing is signed, as in a command on the file. */
  readonly lock?: SignatureCheck;
}

/** An operator's approval of a login. */
export interface Approval {
  readonly user: string;
  readonly tags: readonly string[];
}

const refuse = (text: string): RegisterOutcome => ({ kind: "answer", response: { Error: text } });

/** The claim of a request, or why it is none. */
export function readClaim(machineKey: string, request: RegisterRequest, now: number): Claim | string {
  if (!(request.Version >= MIN_CAPABILITY_VERSION)) {
    return `this coordinator wants capability version ${MIN_CAPABILITY_VERSION} or later, not ${request.Version}: upgrade the client`;
  }
  const nodeKey = NodePublic.parse(request.NodeKey ?? "");
  if (nodeKey === undefined || nodeKey.isZero) return "the request has no valid node key";
  const lockKey = LockPublic.parse(request.NLKey ?? "");
  const expiry = fromGoTime(request.Expiry);
  return {
    machineKey,
    nodeKey: nodeKey.toString(),
    lockKey: lockKey === undefined || lockKey.bytes.every((byte) => byte === 0) ? "" : lockKey.toString(),
    keySignature: "",
    hostinfo: request.Hostinfo ?? ({} as Hostinfo),
    capabilityVersion: request.Version,
    ephemeral: request.Ephemeral === true,
    requestedExpiry: expiry !== undefined && expiry > now ? expiry : undefined,
  };
}

/** True for the past expiry that means "log me out"; Go's zero time only means "nothing asked". */
function asksLogout(request: RegisterRequest, now: number): boolean {
  if (request.Expiry === undefined || request.Expiry === ZERO_TIME) return false;
  const expiry = fromGoTime(request.Expiry);
  return expiry !== undefined && expiry <= now;
}

/** Decides registrations; one for the whole server. */
export class Registration {
  readonly #options: RegistrationOptions;
  readonly #waiters = new LoginWaiters();

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /**
   * Answers one request. With a `Followup` that still waits for its operator it resolves only after the approval.
   *
   * @param machineKey proven by the Noise handshake of the connection.
   * @param signal aborted when the connection is gone; then the promise rejects.
   */
  async register(machineKey: string, request: RegisterRequest, signal: AbortSignal): Promise<RegisterOutcome> {
    const { tailnet, scheduler, serverUrl, lock } = this.#options;
    const claim = readClaim(machineKey, request, scheduler.wall());
    if (typeof claim === "string") return refuse(claim);
    if (request.Followup) {
      const id = request.Followup.startsWith(`${serverUrl}/register/`) ? request.Followup.split("/").at(-1)! : "";
      await this.#waiters.settled(id, signal, async () => {
        const login = await tailnet.change((tx) => tx.logins.byId(id));
        return login?.machineKey === machineKey;
      });
    }
    return await tailnet.change((tx) => {
      const keySignature = lock === undefined ? "" : acceptedSignature(lock, claim.nodeKey, request.NodeKeySignature);
      return this.#decide(tx, { ...claim, keySignature }, request, scheduler.wall());
    });
  }

  /** The logins that wait, oldest first. */
  async pending(): Promise<PendingLogin[]> {
    const since = this.#options.scheduler.wall() - PENDING_LOGIN_LIFE_MS;
    const logins = await this.#options.tailnet.change((tx) => tx.logins.all());
    return logins.filter(({ createdAt }) => createdAt > since);
  }

  /** Lets a waiting login in. @throws Error with a text for the operator. */
  async approve(id: string, approval: Approval): Promise<NodeRecord> {
    const now = this.#options.scheduler.wall();
    const node = await this.#options.tailnet.change(async (tx) => {
      const login = await tx.logins.byId(id);
      if (login === undefined || login.createdAt + PENDING_LOGIN_LIFE_MS <= now) {
        throw new Error(
          `Cannot approve ${id}: no login of that name waits; run \`up\` on the node again for a new one`,
        );
      }
      const wanted = requestedTags(login.hostinfo).filter((tag) => !approval.tags.includes(tag));
      if (wanted.length > 0) {
        throw new Error(`Cannot approve ${id}: the node asks for ${wanted.join(", ")}; add --tags ${wanted.join(",")}`);
      }
      const holder = await tx.nodes.byNodeKey(login.nodeKey);
      if (holder !== undefined && holder.machineKey !== login.machineKey) {
        throw new Error(`Cannot approve ${id}: its node key belongs to the node ${holder.name}`);
      }
      const user = await tx.users.ensure(approval.user, now);
      const grant = { userId: user.id, tags: approval.tags, ephemeral: false, authKeyId: undefined };
      const mine = await tx.nodes.byMachineKey(login.machineKey);
      await tx.logins.delete(id);
      return await enrol(tx, mine, login, grant, this.#options, now, this.#options.random);
    });
    this.#waiters.settle(id);
    return node;
  }

  async #decide(tx: StoreTransaction, claim: Claim, request: RegisterRequest, now: number): Promise<RegisterOutcome> {
    const holder = await tx.nodes.byNodeKey(claim.nodeKey);
    if (holder !== undefined && holder.machineKey !== claim.machineKey) {
      return refuse("this node key belongs to another machine; log out and in again to make a new one");
    }
    const mine = await tx.nodes.byMachineKey(claim.machineKey);
    const current = mine?.nodeKey === claim.nodeKey ? mine : undefined;
    if (asksLogout(request, now)) return await this.#logout(tx, current, now);
    if (current === undefined || isExpired(current, now)) {
      const old = this.#options.lock && signatureToRenew(this.#options.lock, mine, request);
      if (old !== undefined) return { kind: "answer", response: { NodeKeySignature: old } };
    }
    if (current !== undefined) {
      if (isExpired(current, now)) return { kind: "answer", response: { NodeKeyExpired: true } };
      return await this.#refresh(tx, current, claim);
    }
    const authKey = request.Auth?.AuthKey;
    if (authKey) return await this.#enrolByKey(tx, mine, claim, authKey, now);
    return await this.#askOperator(tx, claim, now);
  }

  async #refresh(tx: StoreTransaction, current: NodeRecord, claim: Claim): Promise<RegisterOutcome> {
    const told = await describe(tx, { ...current, lockKey: claim.lockKey }, claim.hostinfo, claim.capabilityVersion);
    // A wrapped auth key signs anew at every start: that is worth keeping only by a node nobody has signed (any more).
    const signs = claim.keySignature !== "" &&
      this.#options.lock?.authorizes(current.nodeKey, current.keySignature) === false;
    const node = signs ? { ...(told ?? current), keySignature: claim.keySignature } : told;
    if (node !== undefined) await tx.nodes.update(node);
    return await this.#welcome(tx, node ?? current);
  }

  async #logout(tx: StoreTransaction, node: NodeRecord | undefined, now: number): Promise<RegisterOutcome> {
    if (node?.ephemeral) await tx.nodes.delete(node.id);
    else if (node !== undefined && !isExpired(node, now)) await tx.nodes.update({ ...node, keyExpiry: now });
    return { kind: "answer", response: { NodeKeyExpired: true } };
  }

  async #enrolByKey(
    tx: StoreTransaction,
    mine: NodeRecord | undefined,
    claim: Claim,
    text: string,
    now: number,
  ): Promise<RegisterOutcome> {
    const parts = splitAuthKey(text);
    if (parts === undefined) return refuse("invalid auth key: want the form tskey-auth-<id>-<secret>");
    const key = checkAuthKey(await tx.authKeys.byId(parts.id), parts.secret, now);
    if ("refused" in key) return refuse(key.refused);
    const wanted = requestedTags(claim.hostinfo);
    if (key.tags.length === 0 && wanted.length > 0) {
      return refuse(`requested tags [${wanted.join(" ")}] are invalid or not permitted: this auth key has no tags`);
    }
    if (!await tx.authKeys.consume(key.id, now)) return refuse(usedText(key.id));
    const grant = { userId: key.userId, tags: key.tags, ephemeral: key.ephemeral, authKeyId: key.id };
    const node = await enrol(tx, mine, claim, grant, this.#options, now, this.#options.random);
    const waiting = await tx.logins.byMachineKey(claim.machineKey);
    if (waiting !== undefined) await tx.logins.delete(waiting.id);
    return await this.#welcome(tx, node);
  }

  async #askOperator(tx: StoreTransaction, claim: Claim, now: number): Promise<RegisterOutcome> {
    await tx.logins.deleteBefore(now - PENDING_LOGIN_LIFE_MS);
    const waiting = await tx.logins.byMachineKey(claim.machineKey);
    if (waiting === undefined && await tx.logins.count() >= MAX_PENDING_LOGINS) {
      return { kind: "busy", retryAfterSeconds: 60 };
    }
    const id = waiting?.nodeKey === claim.nodeKey ? waiting.id : randomText(24, this.#options.random);
    await tx.logins.put({ ...claim, id, createdAt: now });
    return { kind: "answer", response: { AuthURL: `${this.#options.serverUrl}/register/${id}` } };
  }

  async #welcome(tx: StoreTransaction, node: NodeRecord): Promise<RegisterOutcome> {
    const user = await tx.users.byId(node.userId);
    if (user === undefined) throw new Error(`Cannot answer node ${node.id}: its user ${node.userId} is missing`);
    return { kind: "answer", response: { ...ownerOf(node, user), MachineAuthorized: true } };
  }
}

function requestedTags(hostinfo: Hostinfo): string[] {
  return (hostinfo.RequestTags ?? []).filter((tag) => typeof tag === "string" && isTag(tag));
}
