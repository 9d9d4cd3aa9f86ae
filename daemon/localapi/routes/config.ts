/** The configuration file: `reload-config` is Tailscale's, `agent/config` tells what is in force. */
import type { Declared } from "../../config/declared.ts";
import { json, requireMethod, requireWrite } from "../reply.ts";
import type { Handler } from "../reply.ts";

export function configRoutes(declared: Declared): Record<string, Handler> {
  return {
    "reload-config": async (request) => {
      requireWrite(request, "access denied");
      requireMethod(request, "POST", 405, "use POST");
      return json(await declared.reload());
    },

    "agent/config": (request) => {
      requireMethod(request, "GET", 405, "use GET");
      return json(declared.state);
    },
  };
}
