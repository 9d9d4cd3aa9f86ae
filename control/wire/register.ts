/** Joining and leaving. Source: tailcfg.RegisterRequest, tailcfg.RegisterResponse, tailcfg.OverTLSPublicKeyResponse. */
import type { Hostinfo } from "./hostinfo.ts";
import type { Login, User } from "./node.ts";

/** Answer of `GET /key?v=<capability version>`. */
export interface OverTLSPublicKeyResponse {
  /** `mkey:` and zeros for clients that speak Noise. */
  readonly legacyPublicKey: string;
  /** `mkey:<hex>`, the server's static Noise key. */
  readonly publicKey: string;
}

/** First thing a server may say inside Noise, before HTTP/2. */
export interface EarlyNoise {
  /** `chalpub:<hex>`. */
  readonly nodeKeyChallenge: string;
}

/** `POST /machine/register`. */
export interface RegisterRequest {
  /** Capability version of the client. */
  readonly Version: number;
  readonly NodeKey: string;
  /** `nodekey:` and zeros when there is none. */
  readonly OldNodeKey: string;
  /** `nlpub:<hex>`. */
  readonly NLKey: string;
  readonly Auth?: RegisterAuth;
  /** Wanted key expiry; Go's zero time for none, a past time logs out. */
  readonly Expiry: string;
  /** The `AuthURL` of the answer before; the server then waits for the user. */
  readonly Followup: string;
  readonly Hostinfo?: Hostinfo;
  readonly Ephemeral?: boolean;
  /** Base64; null for none. */
  readonly NodeKeySignature: string | null;
  readonly SignatureType?: string;
  readonly Timestamp?: string;
  readonly DeviceCert?: string;
  readonly Signature?: string;
  /** Tailnet wished for, as a managed device may. */
  readonly Tailnet?: string;
}

/** What lets a node in without a person. */
export interface RegisterAuth {
  readonly AuthKey?: string;
}

/** Answer of `/machine/register`. At most one of `Error`, `AuthURL`, `NodeKeyExpired`, `NodeKeySignature` speaks. */
export interface RegisterResponse {
  readonly User?: User;
  readonly Login?: Login;
  readonly NodeKeyExpired?: boolean;
  readonly MachineAuthorized?: boolean;
  /** Where a person is to confirm. */
  readonly AuthURL?: string;
  /** The lock's signature of the old key, to be wrapped for a new one. */
  readonly NodeKeySignature?: string;
  readonly Error?: string;
}
