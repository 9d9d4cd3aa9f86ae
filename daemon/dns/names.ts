/** Relations of DNS names; all are lower case without the last dot. */

/** Lower case, without the last dot. */
export function canonicalName(text: string): string {
  return text.toLowerCase().replace(/\.$/, "");
}

/**
 * A name that a resolver's settings may hold, canonical: letters, digits, hyphens and underscores, no more. Names of
 * control's become lines of resolv.conf and arguments of programs, so a blank, a line break or a leading hyphen in one
 * must reach neither.
 */
export function isPlainName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*$/.test(name);
}

/** Whether a name is the suffix itself or lies below it; everything lies below "". */
export function isBelow(name: string, suffix: string): boolean {
  return suffix === "" || name === suffix || name.endsWith(`.${suffix}`);
}

/** The longest of the suffixes that hold the name. */
export function longestSuffix(name: string, suffixes: { has(suffix: string): boolean }): string | undefined {
  for (let rest = name;;) {
    if (suffixes.has(rest)) return rest;
    if (rest === "") return undefined;
    const dot = rest.indexOf(".");
    rest = dot < 0 ? "" : rest.slice(dot + 1);
  }
}

/** The address an `in-addr.arpa` or `ip6.arpa` name stands for, as bytes; undefined for any other name. RFC 3596 2.5. */
export function reverseAddress(name: string): Uint8Array | undefined {
  if (name.endsWith(".in-addr.arpa")) {
    const parts = name.slice(0, -".in-addr.arpa".length).split(".");
    if (parts.length !== 4 || parts.some((part) => !/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255)) {
      return undefined;
    }
    return Uint8Array.from(parts.reverse(), Number);
  }
  if (name.endsWith(".ip6.arpa")) {
    const nibbles = name.slice(0, -".ip6.arpa".length).split(".").reverse().join("");
    return /^[0-9a-f]{32}$/.test(nibbles) && name.length === 72 ? Uint8Array.fromHex(nibbles) : undefined;
  }
  return undefined;
}
