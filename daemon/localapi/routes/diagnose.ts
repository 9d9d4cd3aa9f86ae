/** Measuring: ping, the sessions of the peer relay here and, our own, netcheck. */
import { formatIp, parseIp } from "../../../base/ip.ts";
import { NodePublic } from "../../../base/keys.ts";
import { EMPTY_DERP_MAP } from "../../../derp/derp_map.ts";
import type { Node } from "../../../control/wire/tailcfg.ts";
import type { RelayClientStatus } from "../../../engine/peer_relay/sessions.ts";
import type { Backend } from "../../backend.ts";
import { isPingType, MAX_PING_SIZE } from "../../ping.ts";
import { formatReport } from "../../../engine/netcheck/format.ts";
import { reportToJson } from "../../../engine/netcheck/report.ts";
import { queryBool } from "./status.ts";
import { errorText, json, requireMethod } from "../reply.ts";
import type { Handler } from "../reply.ts";

function nameOf(node: Node | undefined): string | undefined {
  return node?.Name.replace(/\.$/, "");
}

/** `ping`, `debug-peer-relay-sessions`, `agent/path`, `agent/netcheck`. */
export function diagnoseRoutes(backend: Backend): Record<string, Handler> {
  let running: ReturnType<Backend["datapath"]["netcheck"]> | undefined;
  return {
    ping: async (request) => {
      requireMethod(request, "POST", 400, "want POST");
      const text = request.query.get("ip") ?? "";
      if (text === "") return errorText(400, "missing 'ip' parameter");
      const ip = parseIp(text);
      if (ip === undefined) return errorText(400, "invalid IP");
      const type = request.query.get("type") ?? "";
      if (type === "") return errorText(400, "missing 'type' parameter");
      const sizeText = request.query.get("size") || "0";
      if (!/^[0-9]{1,9}$/.test(sizeText)) return errorText(400, "invalid 'size' parameter");
      const size = Number(sizeText);
      if (size !== 0 && type !== "disco") {
        return errorText(400, "'size' parameter is only supported with disco pings");
      }
      if (size > MAX_PING_SIZE) return errorText(400, `maximum value for 'size' is ${MAX_PING_SIZE}`);
      if (!isPingType(type)) return errorText(400, `unknown ping type ${JSON.stringify(type)}`);
      return json(await backend.ping(formatIp(ip), type, size));
    },

    // Ours: the way to a peer, with own endpoints and what netcheck says of the network beside it.
    "agent/path": async (request) => {
      requireMethod(request, "GET", 405, "GET required");
      const node = backend.view?.byAddress(request.query.get("ip") ?? "");
      if (node === undefined || node === backend.view?.netmap.self) return errorText(404, "no such peer");
      const report = await backend.datapath.engine.pathReport(NodePublic.parse(node.Key)?.hex ?? "");
      if (report === undefined) return errorText(404, "the engine does not know this peer (yet)");
      const { netInfo, endpoints } = backend.datapath;
      // The engine knows the nodes that relay servers run on by their keys alone.
      const named = (key: string) => nameOf(backend.view?.byKey(key)) ?? key;
      const events = report.events.map((event) => ({
        ...event,
        path: event.path.replace(/nodekey:[0-9a-f]{64}/, named),
      }));
      return json({
        Name: nameOf(node),
        Endpoints: endpoints,
        NetInfo: netInfo ?? null,
        Path: { ...report, events },
      });
    },

    // Source: net/udprelay/status.ServerStatus.
    "debug-peer-relay-sessions": async (request) => {
      requireMethod(request, "GET", 405, "GET required");
      const relay = await backend.datapath.peerRelay();
      const client = ({ endpoint, disco, packets, bytes }: RelayClientStatus) => ({
        Endpoint: endpoint,
        ShortDisco: `d:${disco.slice(0, 16)}`,
        PacketsTx: packets,
        BytesTx: bytes,
      });
      const sessions = relay?.status.sessions.map(({ vni, clients }) => ({
        VNI: vni,
        Client1: client(clients[0]),
        Client2: client(clients[1]),
      }));
      return json({ UDPPort: relay?.port ?? null, Sessions: sessions ?? null });
    },

    "agent/netcheck": async (request) => {
      requireMethod(request, "POST", 400, "want POST");
      // One at a time; who asks meanwhile gets the same report.
      const map = backend.view?.netmap.derpMap ?? EMPTY_DERP_MAP;
      running ??= backend.datapath.netcheck(map);
      try {
        const report = await running;
        if (request.query.get("format") !== "text") return json(reportToJson(report));
        const text = formatReport(report, map, queryBool(request.query.get("verbose"), false));
        return { kind: "body", status: 200, type: "text/plain; charset=utf-8", text };
      } finally {
        running = undefined;
      }
    },
  };
}
