/**
 * URLs a person is to open: which of a control server's may be shown at all, and the one that is waited for.
 * Source: LocalBackend.validPopBrowserURL, StartLoginInteractiveAs.
 */
import { DEFAULT_CONTROL_URL } from "./prefs.ts";

/** True for http and https; with Tailscale's own server only for hosts of tailscale.com. */
export function isLoginUrl(text: string, controlUrl: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  if (protocol !== "https:" && protocol !== "http:") return false;
  if (controlUrl !== DEFAULT_CONTROL_URL) return true;
  return protocol === "https:" && (hostname === "tailscale.com" || hostname.endsWith(".tailscale.com"));
}

/** A URL older than this has expired at the server (7 days) or is about to. */
const LIFE_MS = 7 * 24 * 3_600_000 - 3_600_000;

/** Where a person is awaited. */
export class AwaitedLogin {
  #url = "";
  #since = -Infinity;

  /** "" when nobody is awaited. */
  get url(): string {
    return this.#url;
  }

  /** @param now Unix milliseconds. */
  begin(url: string, now: number): void {
    this.#url = url;
    this.#since = now;
  }

  /** Whether the URL is still good to be shown again. */
  isFresh(now: number): boolean {
    return this.#url !== "" && now - this.#since < LIFE_MS;
  }

  end(): void {
    this.#url = "";
  }
}
