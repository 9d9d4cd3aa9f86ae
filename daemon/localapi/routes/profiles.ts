/**
 * Logins of this machine: `profiles/` lists them (GET) and begins another (PUT); `profiles/current` and `profiles/ID`
 * tell one (GET), `profiles/ID` changes to it (POST) or forgets it (DELETE). Source: ipn/localapi serveProfiles.
 */
import type { Backend } from "../../backend.ts";
import { BackendError } from "../../backend_options.ts";
import { StateFileError } from "../../state_file.ts";
import { errorText, json, noContent, requireWrite } from "../reply.ts";
import type { Handler, Reply } from "../reply.ts";

async function done(run: () => Promise<void>, reply: Reply): Promise<Reply> {
  try {
    await run();
    return reply;
  } catch (cause) {
    if (cause instanceof BackendError || cause instanceof StateFileError) return errorText(500, cause.message);
    throw cause;
  }
}

export function profileRoutes(backend: Backend): Record<string, Handler> {
  return {
    "profiles/": async (request) => {
      requireWrite(request, "profiles access denied");
      const { method, rest: id } = request;
      if (id === "") {
        if (method === "GET") return json(backend.profiles);
        if (method === "PUT") return await done(() => backend.newProfile(), { kind: "empty", status: 201 });
        return errorText(405, "use GET or PUT");
      }
      if (id === "current") return method === "GET" ? json(backend.profile) : errorText(405, "use GET");
      switch (method) {
        case "GET": {
          const profile = backend.profiles.find(({ ID }) => ID === id);
          return profile === undefined ? errorText(404, "Profile not found") : json(profile);
        }
        case "POST":
          return await done(() => backend.switchProfile(id), noContent());
        case "DELETE":
          return await done(() => backend.deleteProfile(id), noContent());
        default:
          return errorText(405, "use POST or DELETE");
      }
    },
  };
}
