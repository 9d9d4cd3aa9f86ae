/**
 * Constants of the WireGuard protocol. Times are in milliseconds, sizes in bytes.
 * Source: WireGuard whitepaper 6.1 unless a line says otherwise; wireguard-go `device/constants.go` agrees.
 */

/** An initiator starts a new handshake when it sends with a keypair older than this. */
export const REKEY_AFTER_TIME = 120_000;
/** A keypair older than this neither sends nor receives. */
export const REJECT_AFTER_TIME = 180_000;
/** How long a handshake is retried before the packets that wait for it are dropped. */
export const REKEY_ATTEMPT_TIME = 90_000;
/** Between two initiations to the same peer. */
export const REKEY_TIMEOUT = 5_000;
/** Initiations sent without an answer before giving up. */
export const MAX_TIMER_HANDSHAKES = REKEY_ATTEMPT_TIME / REKEY_TIMEOUT;
/**
 * Ours, not the paper's: when our own key is a new one, a peer drops what we send until it has heard of the key from
 * control, a moment after us. So many initiations then follow each other at this distance, before `REKEY_TIMEOUT` is kept.
 */
export const NEW_KEY_RETRY = 500;
export const NEW_KEY_RETRIES = 8;
/** Added to `REKEY_TIMEOUT`, uniformly below this, so that two peers that started together drift apart (6.1). */
export const REKEY_TIMEOUT_JITTER_MAX = 334;
/** Whoever received data and had nothing to send answers with an empty packet after this. */
export const KEEPALIVE_TIMEOUT = 10_000;
/** Life of a cookie, and of the secret cookies are made from (5.3). */
export const COOKIE_REFRESH_TIME = 120_000;
/** An initiator that still receives renews a keypair older than this, once, although it does not send (6.2). */
export const REKEY_ON_RECEIVE_AFTER_TIME = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
/** All keys of a peer are wiped when no new session came for this long (6.3). */
export const ZERO_KEYS_AFTER_TIME = REJECT_AFTER_TIME * 3;

/** Initiations of one peer closer together than this are a flood. wireguard-go `HandshakeInitationRate`. */
export const HANDSHAKE_INITIATION_RATE = 20;
/** How long the device stays under load once it was. wireguard-go `UnderLoadAfterTime`. */
export const UNDER_LOAD_AFTER_TIME = 1_000;
/**
 * Initiations and responses with a good mac1, a second, above which we are under load. Ours: wireguard-go counts
 * handshakes waiting in its queue, which a synchronous engine does not have. A full handshake costs about 0.3 ms, so
 * this keeps handshakes under a tenth of the thread that also carries the packets.
 */
export const UNDER_LOAD_HANDSHAKES = 256;
/** Handshake messages a second accepted from one address under load. wireguard-go `ratelimiter.packetsPerSecond`. */
export const INITIATIONS_PER_SECOND = 20;
/** Messages of one address that may come at once. wireguard-go `ratelimiter.packetsBurstable`. */
export const INITIATIONS_BURST = 5;

/**
 * The protocol renews a keypair after this many packets. It cannot be reached here: `COUNTER_LIMIT` comes first, and
 * ten million packets a second take 14 years to half of that.
 */
export const REKEY_AFTER_MESSAGES = 2 ** 60;
/** The protocol refuses counters from this on: 2^64 - 2^13 - 1. It cannot be reached here, see `COUNTER_LIMIT`. */
export const REJECT_AFTER_MESSAGES = (1n << 64n) - (1n << 13n) - 1n;
/** Counters are numbers, exact below 2^53; a counter from here on is neither sent nor accepted. */
export const COUNTER_LIMIT = 2 ** 53;
/** A keypair is renewed from this counter on, so that `COUNTER_LIMIT` is never met. */
export const REKEY_AFTER_COUNTER = 2 ** 52;

/** The inner packet is padded with zeros to a multiple of this (5.4.6). */
export const PADDING_MULTIPLE = 16;
/** Bits of the replay ring; the newest 8128 counters are told apart (RFC 6479, wireguard-go `replay.windowSize`). */
export const REPLAY_RING_BITS = 8192;
/** A counter this far behind the newest is still accepted once; one further is not. */
export const REPLAY_WINDOW = REPLAY_RING_BITS - 64;
