/**
 * Tailnet Lock between a node and control. Source: tailcfg/tka.go.
 *
 * All are HTTP GET with a JSON body on `/machine/tka/…`. AUMs, signatures, secrets and key IDs are standard base64,
 * hashes base32 text. Go sends null for an empty list.
 */

interface Call {
  /** Capability version of the client. */
  readonly Version: number;
  readonly NodeKey: string;
}

/** `/machine/tka/init/begin`. */
export interface TKAInitBeginRequest extends Call {
  readonly GenesisAUM: string;
}

export interface TKASignInfo {
  /** Goes back as a key of `Signatures`, so beyond 2^53 it is its decimal text. */
  readonly NodeID: number | string;
  readonly NodePublic: string;
  /** The node's lock key, 32 bytes. */
  readonly RotationPubkey: string;
}

export interface TKAInitBeginResponse {
  readonly NeedSignatures?: readonly TKASignInfo[];
}

/** `/machine/tka/init/finish`. */
export interface TKAInitFinishRequest extends Call {
  /** By decimal node ID. */
  readonly Signatures?: Readonly<Record<string, string>>;
  readonly SupportDisablement?: string;
}

/** `/machine/tka/bootstrap`. */
export interface TKABootstrapRequest extends Call {
  /** "" when the node has none. */
  readonly Head: string;
}

export interface TKABootstrapResponse {
  readonly GenesisAUM?: string;
  readonly DisablementSecret?: string;
}

/** `/machine/tka/sync/offer`. */
export interface TKASyncOfferRequest extends Call {
  readonly Head: string;
  readonly Ancestors?: readonly string[];
}

export interface TKASyncOfferResponse {
  readonly Head: string;
  readonly Ancestors?: readonly string[];
  readonly MissingAUMs?: readonly string[];
}

/** `/machine/tka/sync/send`. */
export interface TKASyncSendRequest extends Call {
  readonly Head: string;
  readonly MissingAUMs?: readonly string[];
  readonly Interactive: boolean;
}

export interface TKASyncSendResponse {
  readonly Head: string;
}

/** `/machine/tka/disable`. */
export interface TKADisableRequest extends Call {
  readonly Head: string;
  readonly DisablementSecret: string;
}

/** `/machine/tka/sign`. */
export interface TKASubmitSignatureRequest extends Call {
  readonly Signature: string;
}

/** `/machine/tka/affected-sigs`. */
export interface TKASignaturesUsingKeyRequest extends Call {
  readonly KeyID: string;
}

export interface TKASignaturesUsingKeyResponse {
  readonly Signatures?: readonly string[];
}

/** `/machine/tka/agent/auth-keys`, ours: what became of the auth keys whose signers the lock trusts. */
export interface AuthKeyStatesRequest extends Call {
  /** Public parts. */
  readonly IDs?: readonly string[];
}

export interface AuthKeyStatesResponse {
  readonly States?: readonly { readonly ID: string; readonly State: string }[];
}
