/** Coming and going: start, interactive login, logout, a new node key. */
import { Secret } from "../../../base/secret.ts";
import { goTime } from "../../../control/wire/tailcfg.ts";
import type { Backend } from "../../backend.ts";
import { BackendError } from "../../backend_options.ts";
import type { StartOptions } from "../../backend_options.ts";
import { readPrefs } from "../../prefs.ts";
import { errorText, json, noContent, requireMethod, requireWrite } from "../reply.ts";
import type { Handler, Reply } from "../reply.ts";

/** Reads `ipn.Options`. A string says what is wrong. */
function readStartOptions(value: unknown): StartOptions | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "the options are not an object";
  const { UpdatePrefs, AuthKey } = value as Record<string, unknown>;
  if (AuthKey !== undefined && AuthKey !== null && typeof AuthKey !== "string") return "AuthKey is not text";
  const prefs = UpdatePrefs === undefined || UpdatePrefs === null ? undefined : readPrefs(UpdatePrefs, "sent");
  if (typeof prefs === "string") return prefs;
  return {
    ...(prefs !== undefined && { updatePrefs: prefs }),
    ...(AuthKey && { authKey: new Secret(AuthKey as string) }),
  };
}

async function done(run: () => Promise<void> | void): Promise<Reply> {
  try {
    await run();
    return noContent();
  } catch (cause) {
    if (cause instanceof BackendError) return errorText(500, cause.message);
    throw cause;
  }
}

/** `start`, `login-interactive`, `logout`, and `agent/renew`, which answers once the new key is in use. */
export function loginRoutes(backend: Backend): Record<string, Handler> {
  return {
    start: async (request) => {
      requireWrite(request, "access denied");
      requireMethod(request, "POST", 400, "want POST");
      const options = readStartOptions(await request.json());
      if (typeof options === "string") return errorText(400, options);
      return await done(() => backend.start(options));
    },

    "login-interactive": async (request) => {
      requireWrite(request, "login access denied");
      requireMethod(request, "POST", 400, "want POST");
      return await done(() => backend.loginInteractive());
    },

    "agent/renew": async (request) => {
      requireWrite(request, "renew access denied");
      requireMethod(request, "POST", 400, "want POST");
      const { AuthKey } = (await request.json() ?? {}) as { AuthKey?: unknown };
      if (AuthKey !== undefined && typeof AuthKey !== "string") return errorText(400, "AuthKey is not text");
      try {
        const authKey = AuthKey ? new Secret(AuthKey) : undefined;
        const { nodeKey, expiry } = await backend.renewKey(authKey, request.signal);
        return json({ NodeKey: nodeKey, ...(expiry !== undefined && { KeyExpiry: goTime(expiry) }) });
      } catch (cause) {
        if (cause instanceof BackendError) return errorText(500, cause.message);
        throw cause;
      }
    },

    logout: async (request) => {
      requireWrite(request, "logout access denied");
      requireMethod(request, "POST", 400, "want POST");
      return await done(() => backend.logout(request.signal));
    },
  };
}
