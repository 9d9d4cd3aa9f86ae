/** The two uses of `POST /machine/map`. Source: control/controlclient/direct.go sendMapRequest. Pure. */
import type { NodePublic } from "../../base/keys.ts";
import type { MapRequest } from "../wire/tailcfg.ts";
import type { Request } from "./connection.ts";
import type { NodeState } from "./types.ts";

/** The request body: a streaming poll, or a lite update which tells the server of us and asks nothing. */
export function mapRequest(
  kind: "stream" | "lite",
  nodeKey: NodePublic,
  state: NodeState,
  capabilityVersion: number,
): MapRequest {
  return {
    Version: capabilityVersion,
    Compress: "zstd",
    KeepAlive: true,
    NodeKey: nodeKey.toString(),
    DiscoKey: state.discoKey.toString(),
    ...(kind === "stream" && { Stream: true }),
    Hostinfo: state.hostinfo,
    Endpoints: state.endpoints.map(({ addr }) => addr),
    EndpointTypes: state.endpoints.map(({ type }) => type),
    ...(state.tkaHead !== "" && { TKAHead: state.tkaHead }),
    ...(kind === "lite" && { OmitPeers: true }),
  };
}

/** The HTTP request that carries it. A poll has no timeout but the watchdog's. */
export function mapCall(
  kind: "stream" | "lite",
  nodeKey: NodePublic,
  state: NodeState,
  capabilityVersion: number,
): Request {
  return {
    method: "POST",
    path: "/machine/map",
    body: mapRequest(kind, nodeKey, state, capabilityVersion),
    nodeKeys: [nodeKey],
    ...(kind === "stream" && { timeoutMs: 0 }),
  };
}
