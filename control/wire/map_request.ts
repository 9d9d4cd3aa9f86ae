/** `POST /machine/map`. Source: tailcfg.MapRequest. */
import type { Hostinfo } from "./hostinfo.ts";

/** Source: tailcfg.EndpointType. */
export const ENDPOINT_TYPE = {
  unknown: 0,
  local: 1,
  stun: 2,
  portMapped: 3,
  stun4LocalPort: 4,
  explicitConf: 5,
} as const;

/** A streaming poll (`Stream`), or a lite update (`Stream` false and `OmitPeers`) that says where the node is. */
export interface MapRequest {
  /** Capability version of the client. */
  readonly Version: number;
  /** "zstd" or absent. */
  readonly Compress?: string;
  readonly KeepAlive?: boolean;
  readonly NodeKey: string;
  /** `discokey:` and zeros when unknown. */
  readonly DiscoKey: string;
  readonly Stream?: boolean;
  /** Ignored by servers in a streaming request (capability version 68). */
  readonly Hostinfo?: Hostinfo;
  readonly MapSessionHandle?: string;
  readonly MapSessionSeq?: number;
  /** `ip:port`; ignored in a streaming request. */
  readonly Endpoints?: readonly string[];
  /** One of ENDPOINT_TYPE for each endpoint. */
  readonly EndpointTypes?: readonly number[];
  /** Base32 hash of the newest AUM this node has applied. */
  readonly TKAHead?: string;
  readonly ReadOnly?: boolean;
  readonly OmitPeers?: boolean;
  readonly DebugFlags?: readonly string[];
  readonly ConnectionHandleForTest?: string;
}
