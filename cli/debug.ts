/** `debug`: verbs that look into the running daemon, or push it. Their output is for people and may change. */
import { breakDerpConns, rebind, restun } from "./debug/actions.ts";
import { daemonLogs } from "./debug/daemon_logs.ts";
import { dataplane } from "./debug/dataplane.ts";
import { derpMap } from "./debug/derp_map.ts";
import { logLevel } from "./debug/log_level.ts";
import { metrics } from "./debug/metrics.ts";
import { netmap } from "./debug/netmap.ts";
import { path } from "./debug/path.ts";
import { peerRelaySessions } from "./debug/peer_relay_sessions.ts";
import { prefs } from "./debug/prefs.ts";
import { reloadConfig } from "./debug/reload_config.ts";
import { via } from "./debug/via.ts";
import { watchIpn } from "./debug/watch_ipn.ts";
import { groupVerb } from "./verb.ts";
import type { Verb } from "./verb.ts";

/** One file of `debug/` each. */
const VERBS: Readonly<Record<string, Verb & { readonly summary: string }>> = {
  "break-derp-conns": breakDerpConns,
  "daemon-logs": daemonLogs,
  dataplane,
  "derp-map": derpMap,
  "log-level": logLevel,
  metrics,
  netmap,
  path,
  "peer-relay-sessions": peerRelaySessions,
  prefs,
  rebind,
  "reload-config": reloadConfig,
  restun,
  via,
  "watch-ipn": watchIpn,
};

export const debug: Verb = groupVerb(
  "debug",
  `Usage: {program} debug COMMAND [flags]

${Object.entries(VERBS).map(([name, { summary }]) => `  ${name.padEnd(21)}${summary}`).join("\n")}

'{program} debug COMMAND --help' tells more of one. What these print is for people and may change from version to version.
`,
  VERBS,
);
