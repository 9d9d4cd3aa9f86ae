/** The machine's DNS settings as the daemon changes them. One file implements each way. */
import type { SystemDns } from "../plan.ts";
import type { ChosenMode } from "./mode.ts";
import type { ResolvConf } from "./resolv_conf.ts";

/** A way to tell the machine. */
export interface DnsConfigurator {
  readonly chosen: ChosenMode;
  /** It can send some names to us and others elsewhere. */
  readonly splits: boolean;
  /** What the machine had before us. @throws Error */
  base(): Promise<ResolvConf>;
  /** Makes the machine have this; with nothing in it, what it had before us. @throws Error */
  set(config: SystemDns): Promise<void>;
  /** Puts back what was there. @throws Error */
  close(): Promise<void>;
}

/** Leaves the machine as it is. */
export function noConfigurator(chosen: ChosenMode, base: () => Promise<ResolvConf>): DnsConfigurator {
  return { chosen, splits: false, base, set: () => Promise.resolve(), close: () => Promise.resolve() };
}

/** Whether there is anything to tell. */
export function isNothing({ nameservers, searchDomains, matchDomains }: SystemDns): boolean {
  return nameservers.length + searchDomains.length + matchDomains.length === 0;
}
