/** DNS labels of nodes: sanitised as Tailscale does, and unique in the tailnet. Source: util/dnsname.SanitizeHostname. */
import { utf8 } from "../../base/bytes.ts";

const MAX_LABEL = 63;
/** What a host whose name has nothing usable is called. */
const NAMELESS = "node";
const COMMON_SUFFIXES = [".local", ".localdomain", ".lan"];
const SEPARATORS = " .@_";

const isAlphanumeric = (char: string): boolean => /^[A-Za-z0-9]$/.test(char);

/**
 * A host name as one DNS label (RFC 1035), or "" when nothing of it can be kept.
 *
 * Usual local suffixes go; at most 63 bytes are looked at; it begins and ends with a letter or digit; spaces, dots, `@`
 * and `_` inside become hyphens; other characters vanish; letters are lowered.
 */
export function sanitizeHostname(hostname: string): string {
  let text = hostname;
  for (const suffix of COMMON_SUFFIXES) if (text.endsWith(suffix)) text = text.slice(0, -suffix.length);
  // Bytes, not characters: the cut at 63 is of bytes, and bytes of a character beyond ASCII all vanish.
  const chars = Array.from(utf8(text).subarray(0, MAX_LABEL), (byte) => String.fromCharCode(byte));
  let start = 0;
  let end = chars.length;
  while (start < end && !isAlphanumeric(chars[start])) start++;
  while (start < end && !isAlphanumeric(chars[end - 1])) end--;
  return chars.slice(start, end).map((char) => {
    if (SEPARATORS.includes(char)) return "-";
    return isAlphanumeric(char) || char === "-" ? char.toLowerCase() : "";
  }).join("");
}

/** The label a host asks for; `localhost` and names with nothing usable become `node`. */
export function wantedLabel(hostname: string): string {
  const label = sanitizeHostname(hostname);
  return label === "" || label === "localhost" ? NAMELESS : label;
}

/**
 * The first of `host`, `host-1`, `host-2`, … that is not taken, shortened to stay within 63 bytes.
 *
 * @param isTaken asked for each candidate.
 */
export async function uniqueLabel(hostname: string, isTaken: (label: string) => Promise<boolean>): Promise<string> {
  const base = wantedLabel(hostname);
  if (!await isTaken(base)) return base;
  for (let i = 1;; i++) {
    const suffix = `-${i}`;
    const label = base.slice(0, MAX_LABEL - suffix.length).replace(/-+$/, "") + suffix;
    if (!await isTaken(label)) return label;
  }
}
