/** A netmap as Go's `netmap.NetworkMap` prints it, without keys: what `NotifyInitialNetMap` gives. */
import type { NodeView } from "./node_view.ts";

/** Only what the lock accepts is in it. */
export function netmapJson(view: NodeView): Record<string, unknown> {
  const { netmap, peers } = view;
  return {
    SelfNode: netmap.self,
    NodeKey: netmap.self.Key,
    Peers: peers,
    DNS: netmap.dns,
    PacketFilterRules: netmap.packetFilter,
    CollectServices: netmap.collectServices,
    DERPMap: netmap.derpMap ?? null,
    TKAEnabled: netmap.tkaEnabled,
    Domain: netmap.domain,
    DomainAuditLogID: "",
    UserProfiles: Object.fromEntries([...netmap.users].map((user) => [String(user.ID), user])),
  };
}
