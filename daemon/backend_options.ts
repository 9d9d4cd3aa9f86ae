/** What a backend is built from, is asked for, and answers when it cannot. */
import type { Scheduler } from "../base/clock.ts";
import type { RandomBytes } from "../base/keys.ts";
import type { Secret } from "../base/secret.ts";
import type { ControlApi } from "../control/client/types.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import type { Datapath } from "./datapath.ts";
import type { DatapathEvents } from "./datapath_options.ts";
import type { Dns } from "./dns/dns.ts";
import type { HostFacts } from "./hostinfo.ts";
import type { ReadSysctl } from "./forwarding.ts";
import type { LocalNetwork } from "./local_networks.ts";
import type { KeyExpiry } from "./key_expiry.ts";
import type { TailnetLock } from "./lock/tailnet_lock.ts";
import type { Log } from "./log.ts";
import type { PingPorts } from "./ping.ts";
import type { Prefs } from "./prefs.ts";
import type { Profiles } from "./profiles.ts";

/** What a backend is made of. */
export interface BackendOptions {
  readonly version: string;
  readonly profiles: Profiles;
  /** Registered as ephemeral, and logged out at the end. */
  readonly ephemeral: boolean;
  readonly lock: TailnetLock;
  readonly keyExpiry: KeyExpiry;
  /** Makes a client of a control server. @throws ControlError for a URL that cannot be used. */
  readonly connect: (serverUrl: string) => ControlApi;
  readonly dns: Dns;
  /** Makes the data path; called once, from the constructor. */
  readonly datapath: (events: DatapathEvents) => Datapath;
  readonly icmpEcho: PingPorts["icmpEcho"];
  /** Is there a captive portal? Asks relays of the map, those of the home region first. Never rejects. */
  readonly findPortal: (map: DERPMap, home: number) => Promise<boolean>;
  readonly networks: () => readonly LocalNetwork[];
  readonly readSysctl: ReadSysctl;
  /** Addresses that another tailnet on this machine has too. */
  readonly addressesInTwoTailnets: () => readonly string[];
  readonly host: HostFacts;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
  /** The engine died: the daemon must end. */
  readonly failed: (error: Error) => void;
}

/** `ipn.Options`, decoded. */
export interface StartOptions {
  readonly updatePrefs?: Prefs;
  readonly authKey?: Secret;
}

/** A request that cannot be carried out; the text is for the user. */
export class BackendError extends Error {
  override readonly name = "BackendError";
}

/** Tailscale's answer to whoever changes a node that a configuration file keeps. */
export const CONFIG_LOCKED = "can't reconfigure tailscaled when using a config file; config file is locked";
