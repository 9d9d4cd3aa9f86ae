/**
 * A new node key in the place of the old one, without a moment in between.
 *
 * ```
 *   old key in use ─▶ new key stored as tried ─▶ registered beside it ─┬─ taken ──▶ new key in use
 *      ▲                                        (perhaps a person is   ├─ refused ─▶ forgotten
 *      └──────────────────────────────────────── waited for)           └─ unknown ─▶ stays stored
 * ```
 * Until control has taken the new key the map goes on with the old one, and so does the traffic. Where the end is not
 * known (the daemon was killed, the caller went away) the session tries the stored key if control should refuse the old
 * one. Under Tailnet Lock the new key brings the old one's signature, rotated to it. Source of the registration:
 * controlclient/direct.go doLogin.
 */
import type { NodePrivate, RandomBytes } from "../base/keys.ts";
import { sleep } from "../base/clock.ts";
import type { Scheduler } from "../base/clock.ts";
import type { Secret } from "../base/secret.ts";
import { ControlError } from "../control/client/errors.ts";
import { login } from "../control/client/login.ts";
import type { LoginOutcome } from "../control/client/login.ts";
import type { ControlApi } from "../control/client/types.ts";
import { fromGoTime } from "../control/wire/tailcfg.ts";
import type { Hostinfo, Node } from "../control/wire/tailcfg.ts";
import { BackendError } from "./backend_options.ts";
import { resign, signByAuthKey } from "./lock/key_signature.ts";
import type { Log } from "./log.ts";
import type { Persist } from "./persist.ts";
import type { Prefs } from "./prefs.ts";

/** How a key is renewed. */
export interface RenewalRequest {
  /** A person is asked where there is none. */
  readonly authKey: Secret | undefined;
  /** A person is to open this URL. */
  authUrl(url: string): void;
}

/** What a registration beside the running one is made from. */
export interface NewKeyPorts {
  readonly api: Pick<ControlApi, "register">;
  /** The keys as they are now. */
  persist(): Persist;
  /** Keeps them; false when they could not be stored. */
  keep(persist: Persist): boolean;
  readonly hostinfo: Hostinfo;
  readonly ephemeral: boolean;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
}

type Taken = Extract<LoginOutcome, { kind: "registered" }>;

/** Has control take a new key. @throws BackendError or ControlError when it would not, the signal's reason when aborted. */
export async function registerNewKey(
  ports: NewKeyPorts,
  { authKey, authUrl }: RenewalRequest,
  signal: AbortSignal,
): Promise<Taken> {
  const { nodeKey, lockKey } = ports.persist();
  if (nodeKey === undefined || lockKey === undefined) throw new BackendError("this node is logged out");
  const { hostinfo, ephemeral } = ports;
  const asked = { nodeKey, renew: true, lockKey: lockKey.public, hostinfo, ephemeral, ...(authKey && { authKey }) };
  const outcome = await login(asked, {
    ...ports,
    control: ports.api,
    authUrl,
    retrying: (error) => ports.log.warn(`renewal: ${error.message}`),
    trying: (key) => store(ports, key),
    signNew: (key) => signByAuthKey(authKey, key),
    resign: (key, old) => resign(lockKey, key, old),
  }, signal);
  if (outcome.kind === "registered") return outcome;
  // Refused in words, and so not taken; after any other end that is not known.
  const { tryingKey: _, ...persist } = ports.persist();
  ports.keep(persist);
  throw new BackendError(outcome.reason);
}

function store(ports: NewKeyPorts, tryingKey: NodePrivate): void {
  if (ports.keep({ ...ports.persist(), tryingKey })) return;
  throw new BackendError("the new key could not be saved, and a restart would lose it; `status` says why");
}

/** A key that control took. */
export interface RenewedKey {
  /** `nodekey:…` */
  readonly nodeKey: string;
  /** Unix ms, undefined when it does not expire, or control has not told yet. */
  readonly expiry: number | undefined;
}

/** What a renewal needs of the node. */
export interface RenewalPorts {
  prefs(): Prefs;
  /** Registers; see `ControlSession.renew`. Undefined while no control server is spoken to. */
  session(): { renew(request: RenewalRequest, signal: AbortSignal): Promise<void> } | undefined;
  /** This node in the newest netmap. */
  self(): Node | undefined;
  /** A person waits at a login URL. */
  loginWaits(): boolean;
  authUrl(url: string): void;
  readonly scheduler: Scheduler;
  readonly log: Log;
}

/** How long the netmap of a new key is waited for, and how often it is looked for. */
const NETMAP_MS = 15_000;
const LOOK_MS = 50;

/** Renewals of a node's key, one at a time. */
export class KeyRenewal {
  readonly #ports: RenewalPorts;
  #running = false;

  constructor(ports: RenewalPorts) {
    this.#ports = ports;
  }

  /** @throws BackendError when nothing was renewed; the node is as it was. */
  async run(authKey: Secret | undefined, signal: AbortSignal): Promise<RenewedKey> {
    const { prefs, session: current, log, authUrl } = this.#ports;
    const session = current();
    const refuse = (why: string) => new BackendError(`Cannot renew the node key: ${why}`);
    const { persist, LoggedOut, WantRunning } = prefs();
    if (session === undefined || LoggedOut || persist?.nodeKey === undefined) {
      throw refuse("this node is logged out; 'agent up' logs in");
    }
    if (!WantRunning) throw refuse("this node is stopped; run 'agent up' first");
    if (this.#running) throw refuse("a renewal is under way already");
    if (this.#ports.loginWaits()) throw refuse("a login waits for a person; 'agent up' shows its URL");
    this.#running = true;
    try {
      await session.renew({ authKey, authUrl }, signal);
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
      const known = cause instanceof BackendError || cause instanceof ControlError;
      const text = known ? cause.message : signal.aborted ? "it was given up" : "the node was logged in anew meanwhile";
      log.warn(`the node key was not renewed: ${text}`);
      const stays = prefs().LoggedOut ? "" : ". The old key stays in use";
      throw new BackendError(`Cannot renew the node key: ${text}${stays}`, { cause });
    } finally {
      this.#running = false;
    }
    const nodeKey = prefs().persist?.nodeKey?.public.toString() ?? "";
    log.info(`the node key was renewed: ${nodeKey}`);
    return { nodeKey, expiry: await this.#expiry(nodeKey, signal) };
  }

  async #expiry(nodeKey: string, signal: AbortSignal): Promise<number | undefined> {
    const { scheduler, self } = this.#ports;
    const until = scheduler.monotonic() + NETMAP_MS;
    while (self()?.Key !== nodeKey && scheduler.monotonic() < until && !signal.aborted) {
      await sleep(scheduler, LOOK_MS, signal).catch(() => {});
    }
    return self()?.Key === nodeKey ? fromGoTime(self()?.KeyExpiry) : undefined;
  }
}
