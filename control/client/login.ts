/**
 * A whole login, from a node key to a registered node. Source: controlclient/direct.go doLoginOrRegen, auto.go.
 *
 * ```
 *   register ──registered──▶ done
 *      │ ▲
 *      │ ├── auth-url: tell the person, register again with followup (the server waits) ──┐
 *      │ ├── key-expired: a new node key, once; a second time is refused                   │
 *      │ ├── needs-signature: a new node key with the old signature wrapped for it, once   │
 *      │ └── transport error: wait (Retry-After, or back-off), try the same again          │
 *      └── rejected ──▶ refused with the server's words                                  ◀─┘
 * ```
 * A new private key is not the node's until the server has taken it: it is handed out with the outcome and kept nowhere
 * else. Source of the name: "tryingNewKey".
 */
import { type Scheduler, sleep } from "../../base/clock.ts";
import { NodePrivate, type NodePublic, type RandomBytes } from "../../base/keys.ts";
import { Backoff } from "./backoff.ts";
import { ControlError } from "./errors.ts";
import type { ControlApi, RegisterInput, RegisterOutcome } from "./types.ts";

export interface LoginInput extends Omit<RegisterInput, "nodeKey" | "oldNodeKey" | "followup" | "nodeKeySignature"> {
  /** The key so far, if any. */
  readonly nodeKey: NodePrivate | undefined;
  /** Make a new key even so: the person asked to log in again, or the key has expired. */
  readonly renew: boolean;
}

export interface LoginPorts {
  readonly control: Pick<ControlApi, "register">;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** Shows the URL to the person. */
  authUrl(url: string): void;
  /** A try failed and the next comes at `atMs` of wall time. */
  retrying(error: ControlError, atMs: number): void;
  /** A new key is about to be registered; what it throws ends the login. */
  trying?(nodeKey: NodePrivate): void;
  /** Tailnet Lock: a signature of a new key by the credential in the auth key, if it has one. */
  signNew?(nodeKey: NodePublic): Uint8Array | undefined;
  /** Tailnet Lock: the old key's signature wrapped for a new key, or undefined when it cannot be. */
  resign?(nodeKey: NodePublic, oldSignature: Uint8Array): Uint8Array | undefined;
}

export type LoginOutcome =
  | { readonly kind: "registered"; readonly nodeKey: NodePrivate; readonly registration: Registered }
  | { readonly kind: "rejected"; readonly reason: string };

type Registered = Extract<RegisterOutcome, { kind: "registered" }>;

/** What the next register call asks with. */
interface Attempt {
  readonly nodeKey: NodePrivate;
  readonly oldNodeKey: NodePublic | undefined;
  readonly followup: string | undefined;
  readonly nodeKeySignature: Uint8Array | undefined;
  /** The key was renewed because the server said so. */
  readonly renewed: boolean;
}

/** Logs in. Rejects with the signal's reason when aborted, with a ControlError when trying again cannot help. */
export async function login(input: LoginInput, ports: LoginPorts, signal: AbortSignal): Promise<LoginOutcome> {
  const { nodeKey, renew, ...rest } = input;
  const backoff = new Backoff(ports.random, 1000);
  let attempt = renew || nodeKey === undefined ? renewed(nodeKey, ports, false) : sameKey(nodeKey);
  for (;;) {
    const { renewed: _, nodeKey: trying, ...asked } = attempt;
    let outcome: RegisterOutcome;
    if (trying !== nodeKey) ports.trying?.(trying);
    try {
      outcome = await ports.control.register({ ...rest, ...asked, nodeKey: trying.public }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ControlError) || !error.retryable) throw error;
      const delay = error.retryAfterMs ?? backoff.next();
      ports.retrying(error, ports.scheduler.wall() + delay);
      await sleep(ports.scheduler, delay, signal);
      continue;
    }
    signal.throwIfAborted();
    // A server that answers a followup at once, with a URL again, is asked less and less often.
    if (outcome.kind !== "auth-url" || attempt.followup === undefined) backoff.reset();
    else await sleep(ports.scheduler, backoff.next(), signal);
    const next = step(attempt, outcome, ports);
    if ("kind" in next) return next;
    attempt = next;
  }
}

function sameKey(nodeKey: NodePrivate): Attempt {
  return { nodeKey, oldNodeKey: undefined, followup: undefined, nodeKeySignature: undefined, renewed: false };
}

function renewed(old: NodePrivate | undefined, ports: LoginPorts, byServer: boolean): Attempt {
  const nodeKey = NodePrivate.generate(ports.random);
  return {
    nodeKey,
    oldNodeKey: old?.public,
    followup: undefined,
    nodeKeySignature: ports.signNew?.(nodeKey.public),
    renewed: byServer,
  };
}

/** The state machine drawn above, without its waits. */
function step(attempt: Attempt, outcome: RegisterOutcome, ports: LoginPorts): Attempt | LoginOutcome {
  switch (outcome.kind) {
    case "registered":
      return { kind: "registered", nodeKey: attempt.nodeKey, registration: outcome };
    case "rejected":
      return outcome;
    case "auth-url":
      if (outcome.url !== attempt.followup) ports.authUrl(outcome.url);
      return { ...attempt, followup: outcome.url };
    case "key-expired":
      if (attempt.renewed) return { kind: "rejected", reason: "the server says that a new node key has expired" };
      return renewed(attempt.nodeKey, ports, true);
    case "needs-signature": {
      if (attempt.renewed) {
        return { kind: "rejected", reason: "the server asks for another signature of a new node key" };
      }
      // A key that is new already is signed as it is; it names the one that control has the signature of.
      const next = attempt.oldNodeKey === undefined
        ? renewed(attempt.nodeKey, ports, true)
        : { ...attempt, followup: undefined, renewed: true };
      const signature = ports.resign?.(next.nodeKey.public, outcome.oldSignature);
      return { ...next, nodeKeySignature: signature ?? next.nodeKeySignature };
    }
  }
}
