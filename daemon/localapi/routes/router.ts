/** Routing: whether this machine forwards, and which exit node to take. Source: localapi.serveCheckIPForwarding, suggestExitNode. */
import type { Backend } from "../../backend.ts";
import { errorText, json, requireMethod } from "../reply.ts";
import type { Handler } from "../reply.ts";

/** `check-ip-forwarding`, `suggest-exit-node`. */
export function routerRoutes(backend: Backend): Record<string, Handler> {
  return {
    "check-ip-forwarding": () => json({ Warning: backend.forwardingProblem() }),

    "suggest-exit-node": (request) => {
      requireMethod(request, "GET", 405, "only GET allowed");
      if (backend.datapath.homeDerp === 0) return errorText(500, "no preferred DERP, try again later");
      const node = backend.suggestExitNode();
      const location = node?.Hostinfo?.Location;
      return json({ ID: node?.StableID ?? "", Name: node?.Name ?? "", ...(location && { Location: location }) });
    },
  };
}
