/**
 * The tables of the embedded store and how older files become newer ones.
 *
 * `PRAGMA user_version` counts the migrations a file has had. A migration is never edited once released: a change is a
 * new one at the end. Uniqueness that security rests on (machine key, node key, name, addresses) is in the schema, so
 * that no path through the code can break it (headscale 2731).
 */

/** Each takes a file from its index to the next version. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id TEXT NOT NULL UNIQUE,
    machine_key TEXT NOT NULL UNIQUE,
    node_key TEXT NOT NULL UNIQUE,
    lock_key TEXT NOT NULL,
    disco_key TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users(id),
    tags TEXT NOT NULL,
    hostname TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    ipv4 TEXT NOT NULL UNIQUE,
    ipv6 TEXT NOT NULL UNIQUE,
    ephemeral INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    key_expiry INTEGER,
    last_seen INTEGER,
    capability_version INTEGER NOT NULL,
    hostinfo TEXT NOT NULL,
    endpoints TEXT NOT NULL,
    home_derp INTEGER NOT NULL,
    auth_key_id TEXT
  ) STRICT;

  CREATE TABLE auth_keys (
    id TEXT PRIMARY KEY,
    secret_hash BLOB NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users(id),
    reusable INTEGER NOT NULL,
    ephemeral INTEGER NOT NULL,
    tags TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at INTEGER
  ) STRICT;

  CREATE TABLE logins (
    id TEXT PRIMARY KEY,
    machine_key TEXT NOT NULL UNIQUE,
    node_key TEXT NOT NULL,
    lock_key TEXT NOT NULL,
    hostinfo TEXT NOT NULL,
    capability_version INTEGER NOT NULL,
    ephemeral INTEGER NOT NULL,
    requested_expiry INTEGER,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
  ) STRICT;
  `,
  // Tailnet Lock. AUMs of past locks stay: they tell which lock a node that was away belongs to.
  `
  ALTER TABLE nodes ADD COLUMN key_signature TEXT NOT NULL DEFAULT '';
  ALTER TABLE logins ADD COLUMN key_signature TEXT NOT NULL DEFAULT '';

  CREATE TABLE locks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state_id TEXT NOT NULL UNIQUE,
    genesis TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    floor TEXT NOT NULL,
    disabled_at INTEGER,
    disablement_secret BLOB,
    CHECK ((disabled_at IS NULL) = (disablement_secret IS NULL))
  ) STRICT;
  CREATE UNIQUE INDEX one_lock_is_on ON locks (disabled_at IS NULL) WHERE disabled_at IS NULL;

  CREATE TABLE aums (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lock_id INTEGER NOT NULL REFERENCES locks(id),
    hash TEXT NOT NULL UNIQUE,
    bytes BLOB NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX aums_of_lock ON aums (lock_id, id);
  `,
  // Subnet routes and exit nodes.
  `
  ALTER TABLE nodes ADD COLUMN approved_routes TEXT NOT NULL DEFAULT '[]';
  `,
];
