/** Preferences and changes of them, the way the daemon puts them together. Source: ipn.Prefs.ApplyEdits. */
import { CliError } from "./exit_codes.ts";
import type { LocalClient } from "./local_client.ts";
import type { Prefs } from "./local_types.ts";
import type { MaskedPrefs } from "./pref_flags.ts";

/** Tailscale's own control server (ipn.DefaultControlURL). */
export const DEFAULT_CONTROL_URL = "https://controlplane.tailscale.com";

/** What `up --reset` gives every preference that has a flag of `up`. Source: ipn.NewPrefs and up's defaults. */
const UP_DEFAULTS: MaskedPrefs = {
  RouteAll: false,
  ExitNodeID: "",
  ExitNodeIP: "",
  AutoExitNode: "",
  ExitNodeAllowLANAccess: false,
  CorpDNS: true,
  RunSSH: false,
  ShieldsUp: false,
  AdvertiseTags: null,
  Hostname: "",
  AdvertiseRoutes: null,
  NoSNAT: false,
  NoStatefulFiltering: null,
  NetfilterMode: 2,
  OperatorUser: "",
  AppConnector: { Advertise: false },
  PostureChecking: false,
  RelayServerPort: null,
  RelayServerStaticEndpoints: null,
};

/** The change that `--reset` makes before any flag counts. */
export function resetEdits(): MaskedPrefs {
  const masks = Object.keys(UP_DEFAULTS).map((name) => [`${name}Set`, true]);
  return { ...UP_DEFAULTS, ...Object.fromEntries(masks) };
}

/** The preferences after a change. Neither is modified. */
export function applyEdits(prefs: Prefs, edits: MaskedPrefs): Prefs {
  const next: Record<string, unknown> = { ...prefs };
  for (const [mask, on] of Object.entries(edits)) {
    if (!mask.endsWith("Set")) continue;
    const name = mask.slice(0, -3);
    if (name === "AutoUpdate") {
      const half = on as { CheckSet?: boolean; ApplySet?: boolean };
      const value = edits.AutoUpdate as Prefs["AutoUpdate"];
      next.AutoUpdate = {
        Check: half.CheckSet ? value.Check : prefs.AutoUpdate?.Check ?? true,
        Apply: half.ApplySet ? value.Apply : prefs.AutoUpdate?.Apply ?? null,
      };
    } else if (on === true) {
      next[name] = edits[name];
    }
  }
  return next as Prefs;
}

/** Without `Config`: keys and login are the daemon's. */
export function withoutKeys(prefs: Prefs): Prefs {
  return Object.fromEntries(Object.entries(prefs).filter(([name]) => name !== "Config")) as Prefs;
}

/** One spelling for a control server: no final slash, Tailscale's own under its one name. */
export function controlUrl(url: string): string {
  const plain = url.replace(/\/+$/, "");
  return plain === "" || plain === "https://login.tailscale.com" ? DEFAULT_CONTROL_URL : plain;
}

/** Asks the daemon whether it would take these preferences. @throws CliError with its reason when not. */
export async function checkPrefs(client: LocalClient, prefs: Prefs): Promise<void> {
  const { Error: reason } = await client.json<{ Error?: string }>("POST", "check-prefs", withoutKeys(prefs));
  if (reason) throw new CliError(reason);
}

/** What is worth a word before it is done, one sentence each. */
export function prefWarnings(prefs: Prefs, given: ReadonlySet<string>): string[] {
  const warnings: string[] = [];
  if (prefs.NoSNAT && (prefs.AdvertiseRoutes ?? []).includes("0.0.0.0/0")) {
    warnings.push(
      "--snat-subnet-routes=false is set with --advertise-exit-node; internet traffic through this exit node may not work as expected",
    );
  }
  if (given.has("netfilter-mode") && prefs.NetfilterMode === 1) {
    warnings.push("netfilter=nodivert; add iptables calls to ts-* chains manually.");
  }
  if (given.has("netfilter-mode") && prefs.NetfilterMode === 0) {
    warnings.push("netfilter=off; configure iptables yourself.");
  }
  return warnings;
}
