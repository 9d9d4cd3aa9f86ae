/**
 * `debug`: actions a person takes while looking for a fault, and the netmap as it is held here. For people and tests: its
 * answers may change. Source: ipn/localapi/debug.go.
 */
import type { Backend } from "../../backend.ts";
import { netmapJson } from "../../netmap_json.ts";
import { errorText, requireMethod, requireWrite } from "../reply.ts";
import type { ApiRequest, Handler, Reply } from "../reply.ts";

/** Go's compact JSON, as `json.Encoder` writes it without an indent. */
function compact(value: unknown): Reply {
  return { kind: "body", status: 200, type: "application/json", text: `${JSON.stringify(value)}\n` };
}

/** What each action does. One that answers nothing is answered "done". */
const ACTIONS: Readonly<Record<string, (backend: Backend) => Reply | void>> = {
  "restun": ({ datapath }) => datapath.restun("explicit-debug"),
  "rebind": ({ datapath }) => datapath.rebind(),
  "break-derp-conns": ({ datapath }) => datapath.breakRelays(),
  "current-netmap": ({ view }) => view === undefined ? errorText(400, "no netmap") : compact(netmapJson(view)),
};

/** The action is a parameter of the query or of a form: Go's `FormValue`. */
async function actionOf(request: ApiRequest): Promise<string> {
  const form = new URLSearchParams(new TextDecoder().decode(await request.bytes()));
  return form.get("action") ?? request.query.get("action") ?? "";
}

/** `debug`. */
export function debugRoutes(backend: Backend): Record<string, Handler> {
  return {
    debug: async (request) => {
      requireWrite(request, "debug access denied");
      requireMethod(request, "POST", 405, "POST required");
      const action = await actionOf(request);
      if (action === "") return errorText(400, "missing parameter 'action'");
      if (!Object.hasOwn(ACTIONS, action)) return errorText(400, `unknown action ${JSON.stringify(action)}`);
      return ACTIONS[action](backend) ?? { kind: "body", status: 200, type: "text/plain", text: "done\n" };
    },
  };
}
