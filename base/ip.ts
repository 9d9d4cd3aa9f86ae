/**
 * IP addresses, prefixes and UDP endpoints: text to bytes and back.
 *
 * An address is 4 or 16 bytes in network order. Text is what Go's `net/netip` reads and prints (RFC 4291, RFC 5952),
 * because that is what control, DERP maps and the LocalAPI carry. Zones are not accepted.
 */

/** 4 or 16 bytes, network order. */
export type IpBytes = Uint8Array<ArrayBuffer>;

/** An address and the number of its leading bits that count. */
export interface Prefix {
  readonly ip: IpBytes;
  readonly bits: number;
}

/** An address and a port. */
export interface AddrPort {
  readonly ip: IpBytes;
  /** Host order, 0 to 65535. */
  readonly port: number;
}

function parseIpv4(text: string): IpBytes | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const ip = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(parts[i])) return undefined;
    const value = Number(parts[i]);
    if (value > 255) return undefined;
    ip[i] = value;
  }
  return ip;
}

function parseGroups(text: string): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (part.includes(".")) {
      const v4 = i === parts.length - 1 ? parseIpv4(part) : undefined;
      if (v4 === undefined) return undefined;
      groups.push((v4[0] << 8) | v4[1], (v4[2] << 8) | v4[3]);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(parseInt(part, 16));
    }
  }
  return groups;
}

function parseIpv6(text: string): IpBytes | undefined {
  const halves = text.split("::");
  // IPv4 at the end of an address only, so not in front of "::".
  if (halves.length > 2 || (halves.length === 2 && halves[0].includes("."))) return undefined;
  const head = parseGroups(halves[0]);
  const tail = halves.length === 2 ? parseGroups(halves[1]) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const ip = new Uint8Array(16);
  const view = new DataView(ip.buffer);
  head.forEach((group, i) => view.setUint16(i * 2, group));
  tail.forEach((group, i) => view.setUint16((head.length + missing + i) * 2, group));
  return ip;
}

/** The address, or undefined when the text is not one. */
export function parseIp(text: string): IpBytes | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** RFC 5952 text; an IPv4-mapped IPv6 address prints as `::ffff:1.2.3.4`. */
export function formatIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (ip[i * 2] << 8) | ip[i * 2 + 1]);
  if (isMapped(ip)) return `::ffff:${ip.subarray(12).join(".")}`;
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > best.length) best = { at: i, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.at < 0) return hex.join(":");
  return `${hex.slice(0, best.at).join(":")}::${hex.slice(best.at + best.length).join(":")}`;
}

/** True for `::ffff:0:0/96`. */
export function isMapped(ip: Uint8Array): boolean {
  return ip.length === 16 && ip[10] === 0xff && ip[11] === 0xff && ip.subarray(0, 10).every((byte) => byte === 0);
}

/** An IPv4-mapped IPv6 address as IPv4; any other unchanged (the same array). */
export function unmap(ip: IpBytes): IpBytes {
  return isMapped(ip) ? ip.slice(12) : ip;
}

/** The 16-byte form; IPv4 becomes IPv4-mapped IPv6. */
export function to16(ip: Uint8Array): IpBytes {
  const out = new Uint8Array(16);
  if (ip.length === 4) {
    out[10] = out[11] = 0xff;
    out.set(ip, 12);
  } else {
    out.set(ip);
  }
  return out;
}

/** `address/bits`, or a bare address as its own single-address prefix; undefined when malformed. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  if (slash < 0) return { ip, bits: ip.length * 8 };
  const digits = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits)) return undefined;
  const bits = Number(digits);
  return bits <= ip.length * 8 ? { ip, bits } : undefined;
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix.ip)}/${prefix.bits}`;
}

/** True when `prefix` covers `ip`; never across address families. */
export function prefixContains(prefix: Prefix, ip: Uint8Array): boolean {
  if (prefix.ip.length !== ip.length) return false;
  const whole = prefix.bits >> 3;
  for (let i = 0; i < whole; i++) if (prefix.ip[i] !== ip[i]) return false;
  const rest = prefix.bits & 7;
  return rest === 0 || ((prefix.ip[whole] ^ ip[whole]) >> (8 - rest)) === 0;
}

/** True when only the counted bits of the address are set, as in a route. */
export function isMasked(prefix: Prefix): boolean {
  return prefix.ip.every((byte, i) => {
    const keep = Math.min(8, Math.max(0, prefix.bits - i * 8));
    return (byte & (0xff >> keep)) === 0;
  });
}

/** The prefix with all bits that do not count set to zero. */
export function masked(prefix: Prefix): Prefix {
  const ip = prefix.ip.map((byte, i) => byte & ~(0xff >> Math.min(8, Math.max(0, prefix.bits - i * 8))));
  return { ip, bits: prefix.bits };
}

/** `1.2.3.4:5` or `[::1]:5`; undefined when malformed. */
export function parseAddrPort(text: string): AddrPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const ip = parseIp(match[1] ?? match[2]);
  const port = Number(match[3]);
  if (ip === undefined || port > 65535 || (match[1] !== undefined) !== (ip.length === 16)) return undefined;
  return { ip, port };
}

export function formatAddrPort({ ip, port }: AddrPort): string {
  return ip.length === 4 ? `${formatIp(ip)}:${port}` : `[${formatIp(ip)}]:${port}`;
}

/** Addresses a Tailscale node may have: 100.64.0.0/10 (RFC 6598) less 100.115.92.0/23, and fd7a:115c:a1e0::/48. */
export function isTailscaleIp(ip: Uint8Array): boolean {
  if (ip.length === 4) {
    return ip[0] === 100 && (ip[1] & 0xc0) === 64 && !(ip[1] === 115 && (ip[2] & 0xfe) === 92);
  }
  return prefixContains(TAILSCALE_ULA, ip);
}

/** fd7a:115c:a1e0::/48 (`net/tsaddr.TailscaleULARange`). */
export const TAILSCALE_ULA: Prefix = parsePrefix("fd7a:115c:a1e0::/48")!;
/** 100.64.0.0/10, RFC 6598 (`net/tsaddr.CGNATRange`). */
export const CGNAT: Prefix = parsePrefix("100.64.0.0/10")!;

/** "host:port" of a name or an address, as it stands in URLs and headers. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
