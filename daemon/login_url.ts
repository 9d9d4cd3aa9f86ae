/** Which URLs of a control server may be shown to a person as "open this". Source: LocalBackend.validPopBrowserURL. */
import { DEFAULT_CONTROL_URL } from "./prefs.ts";

/** True for http and https; with Tailscale's own server only for hosts of tailscale.com. */
export function isLoginUrl(text: string, controlUrl: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  if (protocol !== "https:" && protocol !== "http:") return false;
  if (controlUrl !== DEFAULT_CONTROL_URL) return true;
  return protocol === "https:" && (hostname === "tailscale.com" || hostname.endsWith(".tailscale.com"));
}
