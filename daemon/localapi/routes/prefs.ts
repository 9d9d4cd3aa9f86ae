/** Preferences: read, change, check. */
import type { Backend } from "../../backend.ts";
import { BackendError, CONFIG_LOCKED } from "../../backend_options.ts";
import { checkPrefs } from "../../check_prefs.ts";
import { publicPrefs, readMaskedPrefs, readPrefs } from "../../prefs.ts";
import { errorText, json, requireMethod, requireWrite } from "../reply.ts";
import type { Handler } from "../reply.ts";

/** `prefs`, `check-prefs`. */
export function prefsRoutes(backend: Backend): Record<string, Handler> {
  return {
    prefs: async (request) => {
      if (request.method === "GET" || request.method === "HEAD") return json(publicPrefs(backend.prefs));
      if (request.method !== "PATCH") return errorText(405, "unsupported method");
      requireWrite(request, "prefs write access denied");
      const masked = readMaskedPrefs(await request.json());
      if (typeof masked === "string") return errorText(400, masked);
      try {
        const prefs = backend.editPrefs(masked);
        // Who has switched a filter on may rely on it from then on.
        await backend.datapath.filterSettled;
        return json(publicPrefs(prefs));
      } catch (cause) {
        if (cause instanceof BackendError) return json({ Error: cause.message }, 400);
        throw cause;
      }
    },

    "check-prefs": async (request) => {
      requireWrite(request, "checkprefs access denied");
      requireMethod(request, "POST", 405, "unsupported method");
      const prefs = readPrefs(await request.json(), "sent");
      if (typeof prefs === "string") return errorText(400, "invalid JSON body");
      const errors = backend.configLocked ? [CONFIG_LOCKED] : checkPrefs(prefs);
      return json(errors.length === 0 ? {} : { Error: errors.join("\n") });
    },
  };
}
