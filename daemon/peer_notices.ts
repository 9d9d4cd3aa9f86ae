/**
 * What the bus says of peers that came, changed or went (`NotifyPeerChanges`). Patches go out as whole nodes, as Tailscale
 * sends them to watchers without `NotifyPeerPatches`. Source: ipn.Notify.PeersChanged, PeersRemoved, UserProfiles.
 */
import type { NetmapChange } from "../control/client/netmap.ts";
import type { Node } from "../control/wire/tailcfg.ts";
import type { Notify } from "./bus.ts";
import type { NodeView } from "./node_view.ts";

/** The notice of one netmap, or undefined when no peer the lock accepts is concerned. */
export function peerNotice(old: NodeView | undefined, view: NodeView, change: NetmapChange): Notify | undefined {
  const before = new Map((old?.peers ?? []).map((peer) => [peer.ID, peer]));
  const now = new Set(view.peers.map((peer) => peer.ID));
  const changed: readonly Node[] = change.kind === "full"
    ? view.peers.filter((peer) => before.get(peer.ID) !== peer)
    : view.peers.filter((peer) => change.upserted.has(peer.ID));
  const removed = [...before.keys()].filter((id) => !now.has(id));
  if (changed.length === 0 && removed.length === 0) return undefined;
  const users = new Set(changed.map((peer) => peer.User));
  const profiles = [...users].flatMap((id) => view.user(id) ?? []);
  return {
    ...(changed.length > 0 && { PeersChanged: changed }),
    ...(removed.length > 0 && { PeersRemoved: removed }),
    ...(profiles.length > 0 && { UserProfiles: Object.fromEntries(profiles.map((user) => [String(user.ID), user])) }),
  };
}
