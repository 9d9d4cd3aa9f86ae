/** Tailnet Lock: Tailscale's `tka/…`, and ours below `agent/lock/`. Source: ipn/localapi/tailnetlock.go. */
import { fromBase64, toBase64 } from "../../../base/bytes.ts";
import { NodePublic } from "../../../base/keys.ts";
import { LockPrivate } from "../../../base/lock_key.ts";
import { Aum } from "../../../tka/aum.ts";
import { parseAumHash } from "../../../tka/aum_hash.ts";
import { checkDeeplink } from "../../../tka/deeplink.ts";
import type { Key } from "../../../tka/key.ts";
import type { Backend } from "../../backend.ts";
import { CONFIG_LOCKED } from "../../backend_options.ts";
import { LockActions } from "../../lock/actions.ts";
import { readPolicy } from "../../lock/policy.ts";
import { lockNodesJson } from "../../lock/nodes_json.ts";
import { chainLinkJson, lockStatusJson, updateJson } from "../../lock/status_json.ts";
import { BadRequest, errorText, json, messageOf, noContent, requireMethod, requireWrite } from "../reply.ts";
import type { ApiRequest, Handler, Reply } from "../reply.ts";

const CAPABILITY = "https://tailscale.com/cap/tailnet-lock";
const NOT_ALLOWED = "Tailnet Lock is not supported on your pricing plan";
/** Go's text of an AUM hash that was never set. */
const ZERO_HASH = "A".repeat(52);
const DENIED = "tailnet-lock modify access denied";

type Fields = Record<string, unknown>;

const BAD_JSON = new BadRequest(400, "invalid JSON body");

async function fieldsOf(request: ApiRequest): Promise<Fields> {
  let value: unknown;
  try {
    value = await request.json();
  } catch (cause) {
    throw cause instanceof BadRequest && cause.status !== 400 ? cause : BAD_JSON;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw BAD_JSON;
  return value as Fields;
}

/** A field of bytes; null and absent are empty. */
function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  if (value === undefined || value === null) return new Uint8Array(0);
  const read = typeof value === "string" ? fromBase64(value) : undefined;
  if (read === undefined) throw BAD_JSON;
  return read;
}

function listOf<T>(value: unknown, read: (item: unknown) => T): T[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw BAD_JSON;
  return value.map(read);
}

/** Go's `tka.Key`. */
function keyOf(value: unknown): Key {
  if (typeof value !== "object" || value === null) throw BAD_JSON;
  const { Kind, Votes, Public, Meta } = value as Fields;
  const votes = Votes ?? 0;
  if (typeof Kind !== "number" || typeof votes !== "number" || !Number.isSafeInteger(votes) || votes < 0) {
    throw BAD_JSON;
  }
  const meta = Meta === undefined || Meta === null ? undefined : Object.entries(Meta as Fields);
  if (meta?.some(([, text]) => typeof text !== "string")) throw BAD_JSON;
  const key = { kind: Kind, votes: BigInt(votes), public: bytesOf(Public) };
  return meta === undefined ? key : { ...key, meta: new Map(meta as [string, string][]) };
}

async function aumOf(request: ApiRequest): Promise<Aum> {
  try {
    return Aum.decode(await request.bytes());
  } catch (cause) {
    throw cause instanceof BadRequest ? cause : new BadRequest(400, "decoding AUM");
  }
}

function requirePost(request: ApiRequest, denied: string): void {
  requireWrite(request, denied);
  requireMethod(request, "POST", 405, "use POST");
}

/** Runs what may fail with a text for the operator. */
async function attempt(status: number, prefix: string, run: () => Promise<Reply> | Reply): Promise<Reply> {
  try {
    return await run();
  } catch (cause) {
    if (cause instanceof BadRequest) throw cause;
    return errorText(status, `${prefix}${messageOf(cause)}`);
  }
}

/** @throws BadRequest */
function limitOf(request: ApiRequest): number {
  const limit = request.query.get("limit") || "50";
  if (!/^[0-9]{1,9}$/.test(limit)) throw new BadRequest(400, `parsing 'limit' parameter: ${limit} is not a number`);
  return Number(limit);
}

const OK: Reply = { kind: "empty", status: 200 };

/** `tka/…`, `agent/lock/…`. */
export function lockRoutes(backend: Backend): Record<string, Handler> {
  const { lock } = backend;
  const persist = () => backend.prefs.persist;
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const disallow = (disallowedTkaStateIds: readonly string[]) => backend.setPersist({ disallowedTkaStateIds });
  const actions = new LockActions({ lock, persist, disallow, random });
  const status = () => json(lockStatusJson(lock, persist(), backend.view?.netmap, backend.view?.peers ?? []));

  const wrapped = (authKey: string, signer: LockPrivate | undefined): Reply => ({
    kind: "body",
    status: 200,
    type: "text/plain; charset=utf-8",
    text: actions.wrapAuthKey(authKey, signer).reveal(),
  });

  return {
    "tka/status": (request) => {
      requireMethod(request, "GET", 405, "use GET");
      return status();
    },

    "tka/init": async (request) => {
      requirePost(request, "lock init access denied");
      const { Keys, DisablementValues, SupportDisablement } = await fieldsOf(request);
      const support = bytesOf(SupportDisablement);
      const capabilities = backend.view?.netmap.self.CapMap ?? {};
      if (!Object.hasOwn(capabilities, CAPABILITY)) return errorText(403, NOT_ALLOWED);
      return await attempt(500, "initialization failed: ", async () => {
        const secret = support.length === 0 ? undefined : support;
        await actions.init(listOf(Keys, keyOf), listOf(DisablementValues, bytesOf), secret);
        return status();
      });
    },

    "tka/sign": async (request) => {
      requirePost(request, "lock sign access denied");
      const { NodeKey, RotationPublic } = await fieldsOf(request);
      const nodeKey = typeof NodeKey === "string" ? NodePublic.parse(NodeKey) : undefined;
      if (nodeKey === undefined) throw BAD_JSON;
      return await attempt(500, "signing failed: ", async () => {
        await actions.sign(nodeKey, bytesOf(RotationPublic));
        return OK;
      });
    },

    "tka/modify": async (request) => {
      requirePost(request, DENIED);
      const { AddKeys, RemoveKeys } = await fieldsOf(request);
      return await attempt(500, "tailnet-lock modify failed: modify tailnet-lock keys: ", async () => {
        await actions.modify(listOf(AddKeys, keyOf), listOf(RemoveKeys, keyOf));
        return noContent();
      });
    },

    "tka/wrap-preauth-key": async (request) => {
      requirePost(request, DENIED);
      const { TSKey, TKAKey } = await fieldsOf(request);
      const signer = typeof TKAKey === "string" ? LockPrivate.parse(TKAKey) : undefined;
      if (typeof TSKey !== "string" || signer === undefined) throw BAD_JSON;
      return await attempt(500, "", () => wrapped(TSKey, signer));
    },

    "tka/disable": async (request) => {
      requirePost(request, DENIED);
      const secret = await request.bytes();
      return await attempt(400, "tailnet-lock disable failed: ", async () => {
        await actions.disable(secret);
        return OK;
      });
    },

    "tka/force-local-disable": async (request) => {
      requirePost(request, DENIED);
      await fieldsOf(request);
      return await attempt(400, "tailnet-lock local disable failed: ", () => {
        actions.localDisable();
        return OK;
      });
    },

    "tka/log": async (request) => {
      requireMethod(request, "GET", 405, "use GET");
      const limit = limitOf(request);
      return await attempt(500, "reading log failed: ", () => json(actions.log(limit).map(updateJson)));
    },

    "tka/affected-sigs": async (request) => {
      requireMethod(request, "POST", 405, "use POST");
      const keyId = await request.bytes();
      return await attempt(500, "", async () => {
        const signatures = await actions.affectedSignatures(keyId);
        return json(signatures.length === 0 ? null : signatures.map((bytes) => toBase64(bytes)));
      });
    },

    "tka/generate-recovery-aum": async (request) => {
      requirePost(request, "access denied");
      // `Keep` is ours.
      const { Keys, ForkFrom, Keep } = await fieldsOf(request);
      // Tailscale's client sends the zero hash when nothing was named.
      const named = ForkFrom !== undefined && ForkFrom !== "" && ForkFrom !== ZERO_HASH;
      const forkFrom = named && typeof ForkFrom === "string" ? parseAumHash(ForkFrom) : undefined;
      if (named && forkFrom === undefined) return errorText(400, "decoding fork-from: not a hash");
      const options = { keep: listOf(Keep, bytesOf), ...(forkFrom !== undefined && { forkFrom }) };
      const octets = (aum: Aum): Reply => ({ kind: "octets", bytes: aum.bytes });
      return await attempt(500, "", () => octets(actions.generateRecovery(listOf(Keys, bytesOf), options)));
    },

    "tka/cosign-recovery-aum": async (request) => {
      requirePost(request, "access denied");
      const aum = await aumOf(request);
      return await attempt(500, "", () => ({ kind: "octets", bytes: actions.cosignRecovery(aum).bytes }));
    },

    "tka/submit-recovery-aum": async (request) => {
      requirePost(request, "access denied");
      const aum = await aumOf(request);
      return await attempt(500, "", async () => {
        await actions.submitRecovery(aum);
        return OK;
      });
    },

    "tka/verify-deeplink": async (request) => {
      requireMethod(request, "POST", 405, "use POST");
      const { URL } = await fieldsOf(request);
      if (typeof URL !== "string") return errorText(400, "invalid JSON for verifyRequest body");
      const { authority } = lock;
      if (authority === undefined) return json({ IsValid: false, Error: "tailnet-lock is not active" });
      const verdict = checkDeeplink(authority.state, URL);
      if (!verdict.valid) return json({ IsValid: false, Error: verdict.problem });
      const { nodeKey, lockKey, deviceName, osName, loginName } = verdict.params;
      return json({
        IsValid: true,
        NodeKey: nodeKey,
        TLPub: lockKey,
        DeviceName: deviceName,
        OSName: osName,
        EmailAddress: loginName,
      });
    },

    // What the operator demands of the lock; not among the preferences, where other programs could take it away.
    "agent/lock/policy": async (request) => {
      if (request.method === "GET") return json(lock.policy);
      requirePost(request, DENIED);
      if (backend.configLocked) return errorText(400, CONFIG_LOCKED);
      const policy = readPolicy({ ...lock.policy, ...await fieldsOf(request) });
      if (typeof policy === "string") return errorText(400, policy);
      return await attempt(500, "", () => {
        lock.setPolicy(policy);
        return json(lock.policy);
      });
    },

    "agent/lock/nodes": (request) => {
      requireMethod(request, "GET", 405, "use GET");
      return json(lockNodesJson(lock, backend.view?.netmap, backend.view?.peers ?? []));
    },

    "agent/lock/chain": async (request) => {
      requireMethod(request, "GET", 405, "use GET");
      const limit = limitOf(request);
      return await attempt(500, "reading log failed: ", () => json(actions.chain(limit).map(chainLinkJson)));
    },

    "agent/lock/submit": async (request) => {
      requirePost(request, "lock sign access denied");
      const signature = await request.bytes();
      return await attempt(500, "submitting failed: ", async () => {
        await actions.submitSignature(signature);
        return OK;
      });
    },

    // As `tka/wrap-preauth-key`, by this node's own key.
    "agent/lock/wrap": async (request) => {
      requirePost(request, DENIED);
      const { TSKey } = await fieldsOf(request);
      if (typeof TSKey !== "string") throw BAD_JSON;
      return await attempt(500, "", () => wrapped(TSKey, undefined));
    },

    "agent/lock/auth-keys": async (request) => {
      requirePost(request, DENIED);
      const { IDs } = await fieldsOf(request);
      const ids = listOf(IDs, (id) => {
        if (typeof id !== "string") throw BAD_JSON;
        return id;
      });
      return await attempt(500, "", async () => json(await actions.authKeyStates(ids)));
    },

    "agent/lock/retry": (request) => {
      requirePost(request, DENIED);
      lock.tryAgain();
      return noContent();
    },

    "agent/lock/refetch": (request) => {
      requirePost(request, DENIED);
      return attempt(500, "fetching the lock again failed: ", () => {
        lock.refetch();
        return noContent();
      });
    },
  };
}
