/** A netmap as large tailnets have it, and the way it takes through the daemon: decode, fold, lock filter, router. */
import { utf8 } from "../../base/bytes.ts";
import type { NodePrivate } from "../../base/keys.ts";
import { applyMapResponse } from "../../control/client/map_session.ts";
import { decodeMapResponse, isMalformed } from "../../control/wire/decode.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import { Router } from "../../daemon/router.ts";
import type { PeerConfig } from "../../engine/config.ts";
import { CLOSED_LOCK_FILTER } from "../support/closed_lock.ts";
import { testNode } from "../support/fake_control.ts";

/** A node of the crowd; its addresses are none of the pairs'. */
function crowdNode(id: number): Node {
  const address = `100.${100 + (id >> 16)}.${(id >> 8) & 255}.${id & 255}/32`;
  return testNode(id, {
    Addresses: [address, `fd7a:115c:a1e0:1::${id.toString(16)}/128`],
    Endpoints: [`198.18.${(id >> 8) & 255}.${id & 255}:41641`, `[2001:db8::${id.toString(16)}]:41641`],
    Cap: 113,
    Created: "2026-01-01T00:00:00Z",
    KeyExpiry: "2126-01-01T00:00:00Z",
    CapMap: { "https://tailscale.com/cap/file-sharing": [], "https://tailscale.com/cap/ssh": [] },
  });
}

/** A map response of this node and `count` peers, as it arrives: JSON. */
export function largeNetmap(count: number): Uint8Array {
  const Peers = Array.from({ length: count }, (_, i) => crowdNode(i + 2));
  return utf8(JSON.stringify({ Node: testNode(1), Peers, Domain: "example.com" }));
}

/** What the engine would be told. @throws Error when it cannot be read. */
export function readLargeNetmap(bytes: Uint8Array, privateKey: NodePrivate): readonly PeerConfig[] {
  const response = decodeMapResponse(bytes);
  if (isMalformed(response)) throw new Error(`Cannot read the netmap: ${JSON.stringify(response)}`);
  const applied = applyMapResponse(undefined, response.value, Date.now());
  if ("failed" in applied) throw new Error(applied.failed);
  const policy = { privateKey, routeAll: false, shieldsUp: false, homeDerp: 0, controlNow: Date.now() };
  return new Router(CLOSED_LOCK_FILTER).route(applied.state.netmap, policy).config.peers;
}
