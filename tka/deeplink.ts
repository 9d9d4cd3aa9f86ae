/**
 * Links that ask a phone to sign a device:
 *
 *   tailscale://sign-device/v1/?dn=<device>&em=<login>&hm=<HMAC>&nk=<node key>&os=<OS>&tp=<lock key>
 *   HMAC = hex HMAC-SHA256(key = state ID 1, little-endian; nk || tp || dn || os || em)
 *
 * The HMAC shows that the link is about this lock, not that it is authentic: members know the state ID.
 * Source: tka/deeplink.go.
 */
import { createHmac } from "node:crypto";
import { ByteWriter, equalBytes, fromHex, toHex } from "../base/bytes.ts";
import { TkaError } from "./errors.ts";
import type { State } from "./state.ts";

export interface DeeplinkParams {
  /** `nodekey:…`. */
  readonly nodeKey: string;
  /** `tlpub:…`. */
  readonly lockKey: string;
  readonly deviceName: string;
  readonly osName: string;
  readonly loginName: string;
}

export type DeeplinkVerdict =
  | { readonly valid: true; readonly params: DeeplinkParams }
  | { readonly valid: false; readonly problem: string };

function hmac(state: State, params: DeeplinkParams): Uint8Array {
  const key = new ByteWriter(8).u64le(state.stateId1).finish();
  const mac = createHmac("sha256", key);
  const { nodeKey, lockKey, deviceName, osName, loginName } = params;
  for (const part of [nodeKey, lockKey, deviceName, osName, loginName]) mac.update(part, "utf8");
  return new Uint8Array(mac.digest());
}

/** Go's url.QueryEscape. */
function escape(text: string): string {
  const hex = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text).replace(/[!'()*]/g, hex).replaceAll("%20", "+");
}

/** A link for this lock. @throws TkaError "invalid" when a part is missing. */
export function newDeeplink(state: State, params: DeeplinkParams): string {
  if (!params.nodeKey.startsWith("nodekey:")) throw new TkaError("invalid", `Cannot link node key "${params.nodeKey}"`);
  if (!params.lockKey.startsWith("tlpub:")) throw new TkaError("invalid", `Cannot link lock key "${params.lockKey}"`);
  for (const [name, value] of Object.entries(params)) {
    if (value === "") throw new TkaError("invalid", `Cannot make a deep link: ${name} is empty`);
  }
  const pairs: [string, string][] = [
    ["dn", params.deviceName],
    ["em", params.loginName],
    ["hm", toHex(hmac(state, params))],
    ["nk", params.nodeKey],
    ["os", params.osName],
    ["tp", params.lockKey],
  ];
  return `tailscale://sign-device/v1/?${pairs.map(([name, value]) => `${name}=${escape(value)}`).join("&")}`;
}

/** Checks a link against this lock. */
export function checkDeeplink(state: State, link: string): DeeplinkVerdict {
  const refuse = (problem: string): DeeplinkVerdict => ({ valid: false, problem });
  if (!URL.canParse(link)) return refuse("not a URL");
  const url = new URL(link);
  if (url.protocol !== "tailscale:") return refuse(`scheme ${url.protocol} is not tailscale:`);
  if (url.hostname !== "sign-device") return refuse(`${url.hostname} is not sign-device`);
  if (url.pathname !== "/v1/") return refuse(`path ${url.pathname} is not /v1/`);
  const get = (name: string) => url.searchParams.get(name) ?? "";
  // Upstream takes an empty operating system, so links of its own may have one.
  for (const name of ["nk", "tp", "dn", "em", "hm"]) {
    if (get(name) === "") return refuse(`parameter ${name} is missing`);
  }
  const params: DeeplinkParams = {
    nodeKey: get("nk"),
    lockKey: get("tp"),
    deviceName: get("dn"),
    osName: get("os"),
    loginName: get("em"),
  };
  const mac = fromHex(get("hm"));
  if (mac === undefined) return refuse("the HMAC is not hex");
  if (!equalBytes(mac, hmac(state, params))) return refuse("the HMAC is of another lock, or the link was changed");
  return { valid: true, params };
}
