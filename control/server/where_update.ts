/** A node telling where it is and what its host is like: the lite update, and polls of clients that mix the two. */
import { DiscoPublic } from "../../base/keys.ts";
import { parseAddrPort } from "../../base/ip.ts";
import type { MapRequest } from "../wire/tailcfg.ts";
import { describe } from "./enrolment.ts";
import { isExpired } from "./node_record.ts";
import type { Tailnet } from "./tailnet.ts";

/** A host has a handful of addresses; peers try every one they are told. */
const MAX_ENDPOINTS = 64;

/** The endpoints peers can use: well formed, no link-local IPv6 (it means nothing elsewhere), each once. */
export function usableEndpoints(endpoints: readonly string[]): string[] {
  const usable = endpoints.filter((text) => {
    const endpoint = parseAddrPort(text);
    if (endpoint === undefined || endpoint.port === 0) return false;
    const { ip } = endpoint;
    return !(ip.length === 16 && ip[0] === 0xfe && (ip[1] & 0xc0) === 0x80);
  });
  return [...new Set(usable)].slice(0, MAX_ENDPOINTS);
}

/**
 * Stores what the request tells of a node, if anything of it is new. Nothing is taken from a node whose key has expired
 * or is no longer this one.
 */
export async function updateWhere(tailnet: Tailnet, nodeId: number, request: MapRequest, now: number): Promise<void> {
  await tailnet.change(async (tx) => {
    const node = await tx.nodes.byId(nodeId);
    if (node === undefined || node.nodeKey !== request.NodeKey || isExpired(node, now)) return;
    const disco = DiscoPublic.parse(request.DiscoKey ?? "");
    const discoKey = disco === undefined || disco.isZero ? node.discoKey : disco.toString();
    const endpoints = usableEndpoints(request.Endpoints ?? []);
    const described = await describe(tx, node, request.Hostinfo ?? node.hostinfo, request.Version);
    const moved = discoKey !== node.discoKey || endpoints.join() !== node.endpoints.join();
    if (described === undefined && !moved) return;
    await tx.nodes.update({ ...(described ?? node), discoKey, endpoints });
  }, "relaxed");
}
