/**
 * The control server's Noise key: fetched once, kept, and never changed behind the operator's back.
 *
 * ```
 *   kept key? ──yes──▶ use it ──handshake refused──▶ fetch /key ──▶ same: some other failure
 *       │ no                                             └────────▶ other: refused, or with acceptNew: kept and used
 *       └──▶ GET /key?v=<version> ──▶ keep it (first contact) and use it
 * ```
 * `/key` over plain http proves nothing, so whoever sits between could hand out a key of his own; the one of first
 * contact is what protects a node afterwards. Source: tailcfg.OverTLSPublicKeyResponse, direct.go loadServerPubKeys.
 */
import { MachinePublic } from "../../base/keys.ts";
import { decodeServerKeys, isMalformed } from "../wire/decode.ts";
import { ControlError } from "./errors.ts";
import type { FetchAnswer, HttpFetch } from "./http_fetch.ts";
import type { ServerKeyStore } from "./types.ts";

/** Redirects followed, as Go's client does. */
const MAX_REDIRECTS = 10;
const MAX_BODY = 64 << 10;

export interface ServerKeyOptions {
  /** Without a trailing slash. */
  readonly serverUrl: string;
  readonly ca: readonly string[];
  readonly capabilityVersion: number;
  readonly store: ServerKeyStore;
  readonly acceptNew: boolean;
  readonly fetch: HttpFetch;
  readonly log: (level: "info" | "warn", text: string) => void;
}

async function fetchFollowing(options: ServerKeyOptions, signal: AbortSignal): Promise<FetchAnswer> {
  let url = new URL(`${options.serverUrl}/key?v=${options.capabilityVersion}`);
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const answer = await options.fetch("GET", url, { ca: options.ca, signal, limit: MAX_BODY });
    const location = answer.headers.location;
    if (answer.status < 300 || answer.status > 399 || location === undefined) return answer;
    const next = URL.parse(location, url);
    if (next === null || (next.protocol !== "https:" && next.protocol !== url.protocol) || !isHttp(next)) {
      throw new ControlError(
        "not-control",
        `Cannot fetch the key of ${options.serverUrl}: redirected to ${location.slice(0, 200)}, want https`,
      );
    }
    url = next;
  }
  throw new ControlError("not-control", `Cannot fetch the key of ${options.serverUrl}: more than 10 redirects`);
}

function isHttp(url: URL): boolean {
  return url.protocol === "http:" || url.protocol === "https:";
}

/** Asks the server for its key. @throws ControlError. */
export async function fetchServerKey(options: ServerKeyOptions, signal: AbortSignal): Promise<MachinePublic> {
  const answer = await fetchFollowing(options, signal);
  if (answer.status !== 200) {
    throw new ControlError(
      "not-control",
      `Cannot fetch the key of ${options.serverUrl}: answered ${answer.status}: is this a Tailscale control server?`,
      { status: answer.status },
    );
  }
  const decoded = decodeServerKeys(answer.body);
  const key = isMalformed(decoded) ? undefined : MachinePublic.parse(decoded.value.publicKey.toLowerCase());
  if (key === undefined || key.isZero) {
    const seen = isMalformed(decoded) ? decoded.malformed : "publicKey is zero, the server is too old";
    throw new ControlError(
      "not-control",
      `Cannot fetch the key of ${options.serverUrl}: ${seen}: is this a Tailscale control server?`,
    );
  }
  return key;
}

/** The key to do the handshake with. @throws ControlError. */
export async function serverKey(options: ServerKeyOptions, signal: AbortSignal): Promise<MachinePublic> {
  const kept = options.store.load(options.serverUrl);
  if (kept !== undefined) return kept;
  const key = await fetchServerKey(options, signal);
  options.store.save(options.serverUrl, key);
  options.log("info", `first contact with control server ${options.serverUrl}: its key is ${key}`);
  return key;
}

/**
 * Called when a handshake with `used` failed: the server may have another key now.
 * @returns the new key when it may be used, undefined when the key is the same.
 * @throws ControlError `server-key-changed` when it may not.
 */
export async function recheckServerKey(
  options: ServerKeyOptions,
  used: MachinePublic,
  signal: AbortSignal,
): Promise<MachinePublic | undefined> {
  const key = await fetchServerKey(options, signal);
  if (key.equals(used)) return undefined;
  if (!options.acceptNew) {
    throw new ControlError(
      "server-key-changed",
      `Cannot trust control server ${options.serverUrl}: its key is ${key}, want ${used} as at first contact; ` +
        "if its operator confirms the change, run once with --accept-new-server-key",
    );
  }
  options.store.save(options.serverUrl, key);
  options.log(
    "warn",
    `control server ${options.serverUrl} has a new key ${key}, taken as --accept-new-server-key says`,
  );
  return key;
}
