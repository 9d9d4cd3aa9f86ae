/** Control asking a node for a sign of life. Source: tailcfg.PingRequest, tailcfg.PingResponse. */

export interface PingRequest {
  readonly URL: string;
  readonly URLIsNoise?: boolean;
  readonly Log?: boolean;
  /** "" is a HEAD of `URL`; "c2n" an HTTP request in `Payload`; else a list of TSMP, disco, ICMP, peerapi. */
  readonly Types?: string;
  readonly IP?: string;
  /** Base64. */
  readonly Payload?: string;
}

export interface PingResponse {
  readonly Type: string;
  readonly IP?: string;
  readonly NodeIP?: string;
  readonly NodeName?: string;
  readonly Err?: string;
  readonly LatencySeconds?: number;
  readonly Endpoint?: string;
  readonly PeerRelay?: string;
  readonly DERPRegionID?: number;
  readonly DERPRegionCode?: string;
  readonly PeerAPIPort?: number;
  readonly IsLocalIP?: boolean;
}
