/**
 * `dial`: a TCP connection to a node, over the LocalAPI's own connection.
 *
 * ```
 *   POST, Upgrade: ts-dial, Dial-Host, Dial-Port, Dial-Network
 *     ─▶ 101, then the bytes of both     a node, or what it routes
 *     ─▶ 200 Dial-Self, Dial-Addr        anything else: the caller connects itself
 *     ─▶ 502                             no such name, or nobody answers
 * ```
 * Whoever may read may dial, as every program of this machine may send to the tailnet. Source: localapi.serveDial.
 */
import type { Backend } from "../../backend.ts";
import { DialError, dialTcp, planDial, systemResolve } from "../../dial.ts";
import type { DialPlan } from "../../dial.ts";
import { errorText, messageOf, requireMethod } from "../reply.ts";
import type { Handler } from "../reply.ts";

const PROTOCOL = "ts-dial";

export function dialRoutes(backend: Backend): Record<string, Handler> {
  return {
    dial: async (request) => {
      requireMethod(request, "POST", 405, "POST required");
      if (request.upgrade !== PROTOCOL) return errorText(400, "bad ts-dial upgrade");
      const [host, port] = [request.header("dial-host"), request.header("dial-port")];
      if (host === "" || port === "") return errorText(400, "missing Dial-Host or Dial-Port header");
      if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535) {
        return errorText(400, `invalid port in Dial-Port ${port}`);
      }
      let plan: DialPlan;
      try {
        plan = await planDial(host, Number(port), request.header("dial-network") || "tcp", {
          tailnetName: (name) => backend.dns.tailnetName(name),
          routes: backend.routes,
          resolve: systemResolve,
        });
      } catch (cause) {
        if (cause instanceof DialError) return errorText(502, `resolve failure: ${cause.message}`);
        throw cause;
      }
      if (plan.by === "caller") {
        return { kind: "empty", status: 200, headers: { "Dial-Self": "true", "Dial-Addr": plan.address } };
      }
      try {
        const socket = await dialTcp(plan.addresses, Number(port), request.signal);
        return { kind: "upgrade", protocol: PROTOCOL, to: socket };
      } catch (cause) {
        return errorText(502, `dial failure: ${messageOf(cause)}`);
      }
    },
  };
}
