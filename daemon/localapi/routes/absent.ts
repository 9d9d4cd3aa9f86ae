/**
 * What Tailscale's tools ask their daemon for and this one has not got: 501 and a text that says so, where "404 page not
 * found" would look like a fault.
 */
import { errorText, json } from "../reply.ts";
import type { Handler } from "../reply.ts";

/** Paths by what they are about. */
const ABSENT: Readonly<Record<string, readonly string[]>> = {
  "Certificates are": ["cert/", "set-dns"],
  "Taildrop is": ["files/", "file-put/", "file-targets"],
  "Taildrive is": ["drive/shares", "drive/fileserver-address"],
  "Serving is": ["query-feature", "prefs/service-clients"],
  "Identity tokens are": ["id-token"],
  "Updating is": ["update/check", "update/install", "update/progress"],
  "Checking routes is": ["routecheck"],
  "Capturing packets is": ["debug-capture"],
  "Checking one relay region is": ["debug-derp-region"],
  "Checking port mappings by themselves is": ["debug-portmap"],
  "Comparing ways to dial is": ["debug-dial-types"],
  "Looking into a Go program is": ["goroutines", "pprof"],
};

/** `policy/` too: there are no policies of this system, which is no error. */
export function absentRoutes(): Record<string, Handler> {
  const routes: Record<string, Handler> = {
    // setting.Snapshot without settings.
    "policy/": ({ method }) => method === "GET" || method === "POST" ? json({}) : errorText(405, "unsupported method"),
  };
  for (const [what, paths] of Object.entries(ABSENT)) {
    for (const path of paths) routes[path] = () => errorText(501, `${what} not implemented in this version`);
  }
  return routes;
}
