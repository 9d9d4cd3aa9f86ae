/**
 * Preferences that are kept but have no effect in this version. The user is told, instead of left to believe that a
 * setting protects or serves. A row goes away with the change that makes its preference work.
 */
import { isVia } from "./local_networks.ts";
import type { PrefValues } from "./pref_fields.ts";

const WITHOUT_EFFECT: readonly (readonly [flag: string, isSet: (prefs: PrefValues) => boolean])[] = [
  ["--ssh", (prefs) => prefs.RunSSH],
  ["--webclient", (prefs) => prefs.RunWebClient],
  ["--advertise-connector", (prefs) => prefs.AppConnector.Advertise],
  ["--report-posture", (prefs) => prefs.PostureChecking],
  ["--remote-config", (prefs) => prefs.RemoteConfig],
  ["advertised services", (prefs) => (prefs.AdvertiseServices ?? []).length > 0],
  ["a 4via6 route of --advertise-routes", (prefs) => (prefs.AdvertiseRoutes ?? []).some(isVia)],
  ["shared drives", (prefs) => (prefs.DriveShares ?? []).length > 0],
];

/** The flags that are set without effect, as the start of a sentence: "--ssh is", "--ssh and --exit-node are"; or "". */
export function settingsWithoutEffect(prefs: PrefValues): string {
  const flags = WITHOUT_EFFECT.filter(([, isSet]) => isSet(prefs)).map(([flag]) => flag);
  if (flags.length === 0) return "";
  if (flags.length === 1) return `${flags[0]} is`;
  return `${flags.slice(0, -1).join(", ")} and ${flags.at(-1)} are`;
}
