/**
 * All paths of the LocalAPI, by what follows `/localapi/v0/`; one that ends in a slash takes all below it. Those below
 * `agent/` are ours.
 */
import type { Backend } from "../backend.ts";
import type { Declared } from "../config/declared.ts";
import type { Handler } from "./reply.ts";
import { absentRoutes } from "./routes/absent.ts";
import { configRoutes } from "./routes/config.ts";
import { debugRoutes } from "./routes/debug.ts";
import { diagnoseRoutes } from "./routes/diagnose.ts";
import { dialRoutes } from "./routes/dial.ts";
import { dnsRoutes } from "./routes/dns.ts";
import { lockRoutes } from "./routes/lock.ts";
import { loginRoutes } from "./routes/login.ts";
import { prefsRoutes } from "./routes/prefs.ts";
import { profileRoutes } from "./routes/profiles.ts";
import { routerRoutes } from "./routes/router.ts";
import { statusRoutes } from "./routes/status.ts";
import { watchRoutes } from "./routes/watch.ts";

export function localApiRoutes(backend: Backend, declared?: Declared): Record<string, Handler> {
  return {
    ...absentRoutes(),
    ...statusRoutes(backend),
    ...prefsRoutes(backend),
    ...loginRoutes(backend),
    ...profileRoutes(backend),
    ...lockRoutes(backend),
    ...watchRoutes(backend),
    ...diagnoseRoutes(backend),
    ...debugRoutes(backend),
    ...routerRoutes(backend),
    ...dnsRoutes(backend),
    ...dialRoutes(backend),
    ...declared === undefined ? {} : configRoutes(declared),
  };
}
