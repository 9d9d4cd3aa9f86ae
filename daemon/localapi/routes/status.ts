/** Reading the node: status, who is who, relays, metrics. */
import { backendStatus, metricsInput } from "../../backend_status.ts";
import type { Backend } from "../../backend.ts";
import { allMetrics, userMetrics } from "../../metrics.ts";
import { parseWhoIsQuery, whoIs } from "../../whois.ts";
import { parseIp } from "../../../base/ip.ts";
import { errorText, json, requireMethod, requireWrite } from "../reply.ts";
import type { Handler, Reply } from "../reply.ts";

/** Go's strconv.ParseBool of a query value, `fallback` for what it refuses. */
export function queryBool(text: string | null, fallback: boolean): boolean {
  if (text !== null && ["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (text !== null && ["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  return fallback;
}

function metricsText(text: string): Reply {
  return { kind: "body", status: 200, type: "text/plain; version=0.0.4; charset=utf-8", text };
}

/** `status`, `whois`, `derpmap`, `serve-config`, `metrics`, `usermetrics`. */
export function statusRoutes(backend: Backend): Record<string, Handler> {
  return {
    status: async ({ query }) => json(await backendStatus(backend, queryBool(query.get("peers"), true))),

    whois: ({ query }) => {
      const asked = parseWhoIsQuery(query.get("addr") ?? "");
      if (typeof asked === "string") return errorText(400, asked);
      const towards = query.get("dst_ip") ?? undefined;
      if (towards !== undefined && parseIp(towards) === undefined) return errorText(400, "invalid dst_ip");
      const answer = backend.view && whoIs(backend.view, asked, towards);
      return answer === undefined ? errorText(404, "no match for IP:port") : json(answer);
    },

    derpmap: (request) => {
      requireMethod(request, "GET", 400, "want GET");
      return json(backend.view?.netmap.derpMap ?? null);
    },

    /** Nothing is served to the tailnet by this version, so there is no configuration of it; `status` of Tailscale asks. */
    "serve-config": (request) => {
      requireMethod(request, "GET", 501, "serving is not implemented in this version");
      return json(null);
    },

    metrics: async (request) => {
      requireWrite(request, "metric access denied");
      return metricsText(allMetrics(await metricsInput(backend)));
    },

    usermetrics: async () => metricsText(userMetrics(await metricsInput(backend))),
  };
}
