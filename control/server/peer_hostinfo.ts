/** What of a host's description its peers act on or show; the rest is between the host and the coordinator. */
import type { Hostinfo } from "../wire/tailcfg.ts";

const FIELDS = [
  "OS",
  "Hostname",
  "Services",
  "ShareeNode",
  "sshHostKeys",
  "Location",
  "AppConnector",
  "PeerRelay",
  "WireIngress",
  "IngressEnabled",
] as const satisfies readonly (keyof Hostinfo)[];

/** A host's description as its peers get it. */
export function peerHostinfo(hostinfo: Hostinfo): Hostinfo {
  const present = FIELDS.filter((field) => hostinfo[field] !== undefined);
  return Object.fromEntries(present.map((field) => [field, hostinfo[field]]));
}
