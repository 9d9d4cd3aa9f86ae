/**
 * The numbers of a peer relay server. All times in milliseconds.
 * Source: tailscale.com/net/udprelay `server.go`, unless noted.
 */

/** How long both clients of a new session have to bind. `defaultBindLifetime`. */
export const BIND_LIFETIME_MS = 30_000;
/** How long a session is kept that one of them sends nothing through. `defaultSteadyStateLifetime`. */
export const STEADY_LIFETIME_MS = 300_000;
/** How often sessions are looked through for those that are over: ours; Tailscale does it every bind lifetime. */
export const EXPIRY_INTERVAL_MS = 10_000;
/** Between two secrets of the challenges; the one before is still good. `macSecretRotationInterval`. */
export const SECRET_ROTATION_MS = 120_000;

/** Sessions at one time (ours; each takes about a kilobyte). */
export const MAX_SESSIONS = 65_536;
/** Sessions one client may have asked for that are not bound yet (ours). */
export const MAX_CONNECTING = 256;
/** Handshake messages opened of one session, and then one in so many ms (ours): a bind goes to every address. */
export const SESSION_CONTROL_BURST = 64;
export const SESSION_CONTROL_INTERVAL_MS = 50;
/** Handshake messages opened of all, and then one in so many ms (ours): under a tenth of a core. */
export const CONTROL_BURST = 1_000;
export const CONTROL_INTERVAL_MS = 1;
/** What looks like STUN is handed to the main thread so often, and then once in so many ms (ours). */
export const STUN_BURST = 100;
export const STUN_INTERVAL_MS = 10;
