/**
 * The numbers of path discovery. All times in milliseconds.
 * Source: tailscale.com/wgengine/magicsock `magicsock.go`, `endpoint.go`, tailscale.com/tsconst `ping.go`, unless noted.
 */

/** After the last packet sent to a peer, how long its path is kept alive. `sessionActiveTimeout`. */
export const SESSION_ACTIVE_TIMEOUT_MS = 45_000;
/** Between pings that keep the best address alive, while a session is active. `heartbeatInterval`. */
export const HEARTBEAT_INTERVAL_MS = 3_000;
/** How long an address carries traffic alone without another pong. `trustUDPAddrDuration`. */
export const TRUST_UDP_ADDR_MS = 6_500;
/** How often a better path is looked for although the present one works. `upgradeUDPDirectInterval`. */
export const UPGRADE_DIRECT_INTERVAL_MS = 60_000;
/** Least time between two searches for relay servers that reach a peer. `discoverUDPRelayPathsInterval`. */
export const DISCOVER_RELAY_INTERVAL_MS = 30_000;
/** How often a better relay is looked for although the present one works. `upgradeUDPRelayInterval`. */
export const UPGRADE_RELAY_INTERVAL_MS = 60_000;
/** How long a relay server has to allocate a session. `allocateUDPRelayEndpointRequestTimeout`. */
export const ALLOCATE_TIMEOUT_MS = 10_000;
/** After which the request is sent a second time. net/udprelay/endpoint `ServerRetryAfter`. */
export const ALLOCATE_RETRY_MS = 3_000;
/** Longest handshake with a relay server and first ping through it. `maxHandshakeLifetime`. */
export const RELAY_HANDSHAKE_MS = 30_000;
/** Pings sent during one such handshake. `limitPings`. */
export const RELAY_HANDSHAKE_PINGS = 10;
/** Least capability version of peers that speak by a relay, or are one. `capVerIsRelayCapable`. */
export const RELAY_CAPABILITY = 121;
/** A path at most this slow is not worth improving. `goodEnoughLatency`. */
export const GOOD_ENOUGH_LATENCY_MS = 5;
/** Least time between discovery pings to one address, unless a CallMeMaybe asks. `discoPingInterval`. */
export const DISCO_PING_INTERVAL_MS = 5_000;
/** After which a ping counts as lost. `pingTimeoutDuration`. */
export const PING_TIMEOUT_MS = 5_000;
/** Own endpoints this young may be told in a CallMeMaybe; NATs forget at 30 s. `endpointsFreshEnoughDuration`. */
export const ENDPOINTS_FRESH_ENOUGH_MS = 27_000;
/** While any session is active STUN is repeated at a random moment between these. `updateEndpoints`. */
export const RESTUN_MIN_MS = 20_000;
export const RESTUN_MAX_MS = 26_000;
/** How long an own endpoint that is no longer found is still told to others. `endpointTrackerLifetime`. */
export const ENDPOINT_TRACKER_LIFETIME_MS = 310_000;
/** Own endpoints remembered for one IP address. `endpointTrackerMaxPerAddr`. */
export const ENDPOINT_TRACKER_MAX_PER_IP = 6;
/** How long a WireGuard-only peer's address is trusted after authenticated data from it. `noteRecvActivity`. */
export const WIREGUARD_ONLY_TRUST_MS = 5_000;
/** How long one address of a WireGuard-only peer is tried before the next. `addrForWireGuardSendLocked`. */
export const WIREGUARD_ONLY_TRY_MS = 1_000;
/** Silence after which it is tried elsewhere (ours): WireGuard's keepalive of 10 s and its 5 s for an answer. */
export const WIREGUARD_ONLY_KEEP_MS = 15_000;
/** Wire MTU that any path is expected to carry: TUN MTU 1280 and 80 bytes around it. `tstun.SafeWireMTU`. */
export const SAFE_WIRE_MTU = 1_360;

/** Candidate addresses kept for a peer (ours; Tailscale prunes when it has more than 100). */
export const MAX_CANDIDATES = 100;
/** Endpoints read from a CallMeMaybe, the rest is cut (ours; a real node has under 20). */
export const MAX_CALL_ME_MAYBE_ENDPOINTS = 64;
/** CallMeMaybes obeyed at once from one peer, and then one in so many ms (ours): each makes us ping every candidate. */
export const CALL_ME_MAYBE_BURST = 5;
export const CALL_ME_MAYBE_INTERVAL_MS = 1_000;
/** Least time between two requests for new endpoints that go unanswered (ours). */
export const ENDPOINTS_ASK_INTERVAL_MS = 5_000;
