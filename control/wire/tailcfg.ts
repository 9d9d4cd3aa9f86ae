/**
 * The JSON of the control protocol, Go's field names as they are. They live in this folder and nowhere else: other
 * rooms get them from here.
 *
 * An absent field is Go's zero value. Go writes null for empty lists and pointers; `decode.ts` removes such fields, so
 * that readers see one spelling of "nothing". Keys are text with their prefix, times RFC 3339, `[]byte` is base64.
 */
export type { Hostinfo, Location, NetInfo, Service } from "./hostinfo.ts";
export type { CapMap, Login, Node, PeerChange, User, UserProfile } from "./node.ts";
export type { DNSConfig, DNSRecord, Resolver } from "./dns_config.ts";
export type { DERPHomeParams, DERPMap, DERPNode, DERPRegion } from "../../derp/derp_map.ts";
export type { CapGrant, FilterRule, NetPortRange, PortRange } from "./packet_filter.ts";
export type { SSHAction, SSHPolicy, SSHPrincipal, SSHRecorderFailureAction, SSHRule } from "./ssh_policy.ts";
export type {
  EarlyNoise,
  OverTLSPublicKeyResponse,
  RegisterAuth,
  RegisterRequest,
  RegisterResponse,
} from "./register.ts";
export { ENDPOINT_TYPE } from "./map_request.ts";
export type { MapRequest } from "./map_request.ts";
export type {
  ClientVersion,
  ControlDialPlan,
  ControlIPCandidate,
  Debug,
  DisplayMessage,
  MapResponse,
  TKAInfo,
} from "./map_response.ts";
export type { PingRequest, PingResponse } from "./ping.ts";
export type {
  TKABootstrapRequest,
  TKABootstrapResponse,
  TKADisableRequest,
  TKAInitBeginRequest,
  TKAInitBeginResponse,
  TKAInitFinishRequest,
  TKASignaturesUsingKeyRequest,
  TKASignaturesUsingKeyResponse,
  TKASignInfo,
  TKASubmitSignatureRequest,
  TKASyncOfferRequest,
  TKASyncOfferResponse,
  TKASyncSendRequest,
  TKASyncSendResponse,
} from "./tka_rpc.ts";

/**
 * The capability version we announce: the highest whose every promise we keep. 113 is the least headscale takes.
 * Source: tailcfg.CapabilityVersion.
 */
export const CAPABILITY_VERSION = 121;

/** Go's zero `time.Time`. */
export const ZERO_TIME = "0001-01-01T00:00:00Z";
/** A node key field with nothing in it. */
export const ZERO_NODE_KEY = "nodekey:" + "0".repeat(64);
/** A disco key field with nothing in it. */
export const ZERO_DISCO_KEY = "discokey:" + "0".repeat(64);
/** A machine key field with nothing in it. */
export const ZERO_MACHINE_KEY = "mkey:" + "0".repeat(64);

/** `tailcfg` time of Unix milliseconds. */
export function goTime(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

/** Unix milliseconds of a `tailcfg` time; undefined for absent, zero or malformed. */
export function fromGoTime(text: string | undefined): number | undefined {
  if (text === undefined || text === ZERO_TIME) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
