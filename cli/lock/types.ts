/** What the LocalAPI says of the lock: Go's `ipnstate.TailnetLockStatus`, and ours below `Agent`. */

/** Go's `tka.NodeKeySignature`; bytes are base64 or null. */
export interface SignatureJson {
  readonly SigKind: number;
  readonly Pubkey: string | null;
  readonly KeyID: string | null;
  readonly Signature: string | null;
  readonly Nested: SignatureJson | null;
  readonly WrappingPubkey: string | null;
}

export interface PeerJson {
  readonly Name: string;
  readonly StableID: string;
  readonly TailscaleIPs: readonly string[] | null;
  readonly NodeKey: string;
  readonly NodeKeySignature: SignatureJson;
}

export interface TrustedKeyJson {
  readonly Kind: string;
  /** `nlpub:<hex>`. */
  readonly Key: string;
  readonly Metadata: Readonly<Record<string, string>> | null;
  readonly Votes: number;
}

/** What is wrong, by name. */
export interface AgentLockJson {
  readonly Condition: string;
  readonly Since: string | null;
  readonly Reason: string;
  readonly Remedy: string;
  readonly StateID: string;
  readonly Genesis: string;
  readonly HeadSince: string | null;
  readonly ConfirmedByControl: string | null;
  /** Keys that signed peers, and that this node's chain never trusted. */
  readonly UnknownSigners?: readonly { readonly Key: string; readonly Peers: readonly string[] }[];
  readonly LockRequired: boolean;
  readonly LockPins: readonly string[];
}

/** What the lock says of a node: `agent/lock/nodes`. */
export interface LockNodeJson {
  readonly Name: string;
  readonly StableID: string;
  readonly TailscaleIPs: readonly string[];
  readonly NodeKey: string;
  readonly Tags: readonly string[];
  /** Login name; "" when not known. */
  readonly User: string;
  /** It is the node that was asked. */
  readonly Self: boolean;
  /**
   * "signed"; "outside": of another tailnet, it gets no WireGuard; "unsigned"; "untrusted": its signature does not hold;
   * "replaced": its key is an old one; "closed": this node lets nobody pass.
   */
  readonly Verdict: "signed" | "outside" | "unsigned" | "untrusted" | "replaced" | "closed";
  /** Why it is kept out; "" for one that is not. */
  readonly Why: string;
  readonly NodeKeySignature: SignatureJson;
}

export interface LockStatus {
  readonly Enabled: boolean;
  /** 32 numbers. */
  readonly Head: readonly number[] | null;
  readonly PublicKey: string;
  readonly NodeKey: string | null;
  readonly NodeKeySigned: boolean;
  readonly NodeKeySignature: SignatureJson | null;
  readonly TrustedKeys: readonly TrustedKeyJson[] | null;
  readonly VisiblePeers: readonly PeerJson[] | null;
  readonly FilteredPeers: readonly PeerJson[] | null;
  readonly StateID: unknown;
  /** Absent from Tailscale's daemon. */
  readonly Agent?: AgentLockJson;
}

/** A number that is not rounded when it is read and written again. */
export function parseExact(text: string): unknown {
  const raw = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;
  const reviver = (_name: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && context?.source !== undefined
      ? raw(context.source)
      : value;
  return JSON.parse(text, reviver as (name: string, value: unknown) => unknown);
}
