/** Whether preferences can be taken as they are. Source: LocalBackend.checkPrefsLocked; the texts are Tailscale's. */
import { formatPrefix, isMasked, masked, parsePrefix } from "../base/ip.ts";
import { isExitRoute } from "./exit_node.ts";
import type { PrefValues } from "./pref_fields.ts";

/** A tag is `tag:` and a DNS label that begins with a letter. Source: tailcfg.CheckTag. */
export function tagError(tag: string): string | undefined {
  if (!tag.startsWith("tag:")) return "tags must start with 'tag:'";
  const name = tag.slice(4);
  if (name === "") return "tag names must not be empty";
  if (!/^[A-Za-z]/.test(name)) return "tag names must start with a letter, after 'tag:'";
  if (!/^[A-Za-z0-9-]+$/.test(name)) return "tag names can only contain numbers, letters, or dashes";
  return undefined;
}

export function controlUrlError(url: string): string | undefined {
  if (url === "") return undefined;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed !== undefined && (parsed.protocol === "https:" || parsed.protocol === "http:")) return undefined;
  return `Cannot use control server ${JSON.stringify(url)}: want an https:// or http:// URL`;
}

/** Everything wrong with the preferences, one sentence each; empty when they can be taken. */
export function checkPrefs(prefs: PrefValues): string[] {
  const errors: string[] = [];
  const url = controlUrlError(prefs.ControlURL);
  if (url !== undefined) errors.push(url);
  const routes = prefs.AdvertiseRoutes ?? [];
  if ((prefs.ExitNodeID !== "" || prefs.ExitNodeIP !== "") && routes.some(isExitRoute)) {
    errors.push("Cannot advertise an exit node and use an exit node at the same time.");
  }
  for (const route of routes) {
    const prefix = parsePrefix(route);
    if (prefix === undefined) errors.push(`route ${route} is not a prefix`);
    else if (!isMasked(prefix)) {
      errors.push(`route ${route} has non-address bits set; expected ${formatPrefix(masked(prefix))}`);
    }
  }
  for (const tag of prefs.AdvertiseTags ?? []) {
    const error = tagError(tag);
    if (error !== undefined) errors.push(`tag: ${JSON.stringify(tag)}: ${error}`);
  }
  if (prefs.Hostname.length > 253) {
    errors.push(`hostname is ${prefs.Hostname.length} characters long, want at most 253`);
  }
  if (prefs.NetfilterMode < 0 || prefs.NetfilterMode > 2) {
    errors.push(`netfilter mode is ${prefs.NetfilterMode}, want 0 (off), 1 (nodivert) or 2 (on)`);
  }
  if (prefs.AutoUpdate.Apply === true) errors.push("Auto-updates are not supported on this platform.");
  return errors;
}
