/**
 * One registration: what is asked, what the answer means. Pure. Source: control/controlclient/direct.go doLogin.
 *
 * ```
 *   answer has   Error ─▶ rejected        NodeKeySignature ─▶ needs-signature     NodeKeyExpired ─▶ key-expired
 *                AuthURL ─▶ auth-url      none of them ─▶ registered              (looked at in this order)
 * ```
 */
import { fromBase64, toBase64 } from "../../base/bytes.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { decodeRegisterResponse, isMalformed } from "../wire/decode.ts";
import { goTime, type RegisterRequest, type RegisterResponse, ZERO_NODE_KEY, ZERO_TIME } from "../wire/tailcfg.ts";
import { retryAfter } from "./backoff.ts";
import type { Answer, Request } from "./connection.ts";
import { ControlError } from "./errors.ts";
import { parseAuthKey } from "./auth_key.ts";
import type { RegisterInput, RegisterOutcome } from "./types.ts";

/** The expiry that logs a node out: Go's `time.Unix(123, 0)`. */
export const LOGOUT_EXPIRY = 123_000;
/** A followup waits for a person; the server answers when there is something to say. */
const FOLLOWUP_TIMEOUT = 0;

/** The request as it is sent. @param now Unix ms. @throws ControlError `bad-auth-key`, TypeError without BackendLogID. */
export function registerRequest(input: RegisterInput, capabilityVersion: number, now: number): RegisterRequest {
  if (!input.hostinfo.BackendLogID) throw new TypeError("Cannot register: Hostinfo has no BackendLogID, want one");
  const authKey = input.authKey === undefined ? undefined : parseAuthKey(input.authKey);
  if (typeof authKey === "string") throw new ControlError("bad-auth-key", authKey);
  return {
    Version: capabilityVersion,
    NodeKey: input.nodeKey.toString(),
    OldNodeKey: input.oldNodeKey?.toString() ?? ZERO_NODE_KEY,
    NLKey: input.lockKey.toString(),
    ...(authKey !== undefined && { Auth: { AuthKey: authKey.authKey.reveal() } }),
    Expiry: input.expiry === undefined ? ZERO_TIME : goTime(input.expiry),
    Followup: input.followup ?? "",
    Hostinfo: input.hostinfo,
    ...(input.ephemeral && { Ephemeral: true }),
    NodeKeySignature: input.nodeKeySignature === undefined ? null : toBase64(input.nodeKeySignature),
    Timestamp: goTime(Math.round(now / 1000) * 1000),
  };
}

/** The HTTP request that carries it. Its body holds the auth key: it is not to be logged. */
export function registerCall(input: RegisterInput, capabilityVersion: number, now: number): Request {
  return {
    method: "POST",
    path: "/machine/register",
    body: registerRequest(input, capabilityVersion, now),
    nodeKeys: input.oldNodeKey === undefined ? [input.nodeKey] : [input.oldNodeKey, input.nodeKey],
    ...(input.followup !== undefined && { timeoutMs: FOLLOWUP_TIMEOUT }),
  };
}

/** What the answer means. @throws ControlError `rate-limited`, `http` or `malformed`. */
export function registerOutcome(answer: Answer, now: number, random: RandomBytes): RegisterOutcome {
  if (answer.status !== 200) throw statusError("register", answer, now, random);
  const decoded = decodeRegisterResponse(answer.body);
  if (isMalformed(decoded)) throw new ControlError("malformed", `Cannot register: the answer is ${decoded.malformed}`);
  return outcomeOf(decoded.value);
}

function outcomeOf(response: RegisterResponse): RegisterOutcome {
  if (response.Error) return { kind: "rejected", reason: response.Error };
  if (response.NodeKeySignature) {
    return { kind: "needs-signature", oldSignature: fromBase64(response.NodeKeySignature)! };
  }
  if (response.NodeKeyExpired === true) return { kind: "key-expired" };
  if (response.AuthURL) {
    const url = httpUrl(response.AuthURL);
    if (url === undefined) {
      throw new ControlError(
        "malformed",
        `Cannot log in: the server's login URL ${JSON.stringify(response.AuthURL.slice(0, 80))} is not http(s)`,
      );
    }
    return { kind: "auth-url", url };
  }
  return {
    kind: "registered",
    user: response.User,
    login: response.Login,
    machineAuthorized: response.MachineAuthorized === true,
  };
}

/** The text itself when it is an http(s) URL: others could start programs when a person opens them. */
export function httpUrl(text: string): string | undefined {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "https:" || url.protocol === "http:") ? text : undefined;
}

/** A status other than 200 as an error, with the server's words. */
export function statusError(verb: string, answer: Answer, now: number, random: RandomBytes): ControlError {
  const said = new TextDecoder().decode(answer.body.subarray(0, 800)).trim().slice(0, 200);
  const { status } = answer;
  if (status !== 429) return new ControlError("http", `Cannot ${verb}: HTTP ${status}: ${said}`, { status });
  const header = answer.headers["retry-after"];
  const retryAfterMs = retryAfter(Array.isArray(header) ? header[0] : header, now, random);
  const seconds = Math.ceil(retryAfterMs / 1000);
  const text = `Cannot ${verb}: the server limits the rate, trying again in ${seconds} s: ${said}`;
  return new ControlError("rate-limited", text, { status, retryAfterMs });
}
