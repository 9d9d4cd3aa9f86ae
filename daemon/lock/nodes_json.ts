/** Every node with what the lock says of it, this one first: `agent/lock/nodes`, ours. */
import type { Netmap } from "../../control/client/netmap.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import { judgeNode } from "./judge.ts";
import type { Rejection } from "./judge.ts";
import { addressesOf, signatureJson } from "./status_json.ts";
import type { TailnetLock } from "./tailnet_lock.ts";

interface Said {
  readonly Verdict: Rejection | "signed" | "outside";
  /** "" unless it is kept out. */
  readonly Why: string;
}

const SIGNED: Said = { Verdict: "signed", Why: "" };
/** Such a peer is of another tailnet, and gets no WireGuard. */
const OUTSIDE: Said = { Verdict: "outside", Why: "" };

/** The nodes of a netmap; none without one, or without a lock. @param visible peers the lock accepted. */
export function lockNodesJson(lock: TailnetLock, netmap: Netmap | undefined, visible: readonly Node[]): unknown[] {
  const { authority } = lock;
  if (netmap === undefined || (authority === undefined && lock.rejected.length === 0)) return [];
  const row = (node: Node, said: Said, Self = false) => ({
    Name: node.Name,
    StableID: node.StableID,
    TailscaleIPs: addressesOf(node),
    NodeKey: node.Key,
    Tags: node.Tags ?? [],
    User: netmap.users.get(node.User)?.LoginName ?? "",
    Self,
    ...said,
    NodeKeySignature: signatureJson(node.KeySignature),
  });
  const { self } = netmap;
  const mine = authority === undefined ? undefined : judgeNode(authority, self);
  const said: Said = mine === undefined
    ? { Verdict: "closed", Why: "this node knows no lock to judge by" }
    : mine.ok
    ? SIGNED
    : { Verdict: mine.rejection, Why: mine.why };
  return [
    row(self, said, true),
    ...visible.map((node) => row(node, node.UnsignedPeerAPIOnly === true ? OUTSIDE : SIGNED)),
    ...lock.rejected.map(({ node, rejection, why }) => row(node, { Verdict: rejection, Why: why })),
  ];
}
