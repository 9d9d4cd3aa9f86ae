/** What a key of a configuration file is: the type of its value, and all that is to be known of it. */
import type { Secret } from "../../base/secret.ts";
import type { LockPolicy } from "../lock/policy.ts";
import type { LogLevel } from "../log_level.ts";
import type { AutoUpdatePrefs, PrefValues } from "../pref_fields.ts";
import type { Kind } from "./kinds.ts";

/** A configuration's values, each in its one spelling. */
export interface ConfigValues {
  readonly version: "alpha0";
  readonly Locked: boolean;
  readonly ServerURL: string;
  readonly AuthKey: Secret;
  readonly Enabled: boolean;
  readonly OperatorUser: string;
  readonly Hostname: string;
  readonly acceptDNS: boolean;
  readonly acceptRoutes: boolean;
  readonly exitNode: string;
  readonly allowLANWhileUsingExitNode: boolean;
  readonly AdvertiseRoutes: readonly string[];
  readonly AdvertiseExitNode: boolean;
  readonly DisableSNAT: boolean;
  readonly AdvertiseServices: readonly string[];
  readonly AppConnector: boolean;
  readonly NetfilterMode: "on" | "nodivert" | "off";
  readonly NoStatefulFiltering: boolean;
  readonly PostureChecking: boolean;
  readonly RunSSHServer: boolean;
  readonly RunWebClient: boolean;
  readonly ShieldsUp: boolean;
  readonly RemoteConfig: boolean;
  readonly AutoUpdate: AutoUpdatePrefs;
  readonly ServeConfigTemp: true;
  readonly StaticEndpoints: readonly string[];
  readonly RelayServerPort: number;
  readonly RelayServerStaticEndpoints: readonly string[];
  readonly AdvertiseTags: readonly string[];
  readonly Nickname: string;
  readonly Sync: boolean;
  readonly LockRequired: boolean;
  readonly LockPins: readonly string[];
  readonly LogLevel: LogLevel;
  readonly Instance: string;
  readonly Port: number;
  readonly CAFile: string;
  readonly LogFormat: "text" | "json";
  readonly ExpiryWarning: string;
  readonly ExpiryHook: string;
}

/** Name of a key. */
export type ConfigKeyName = keyof ConfigValues;

/** What a node runs with, as far as a configuration can say it. */
export interface Running {
  readonly prefs: PrefValues;
  readonly policy: LockPolicy;
  readonly staticEndpoints: readonly string[];
  readonly logLevel: ConfigValues["LogLevel"];
  readonly instance: string;
}

/** One key. */
export interface ConfigKey<T> {
  readonly kind: Kind<T>;
  /** For the schema and the manual: a sentence without a full stop. */
  readonly help: string;
  /** What it is called at `up`, `set` or `daemon`. */
  readonly flag?: string;
  /** What a new node has; undefined when that is not a value. */
  readonly initial?: T;
  /** Written back as this when the key is left out, so that each load has a say (as Tailscale's has). */
  readonly always?: true;
  /** Stays as it is when the key is taken out of the file. */
  readonly sticky?: true;
  /** Counts from the next start of the daemon on. */
  readonly restart?: true;
  /** What it has no effect for, in this version. */
  readonly without?: string;
  /** The preferences that it makes of those there are. */
  readonly put?: (value: T, prefs: PrefValues) => Partial<PrefValues>;
  /** What a node runs with; undefined for nothing that a file would say. */
  readonly get?: (running: Running) => T | undefined;
}
