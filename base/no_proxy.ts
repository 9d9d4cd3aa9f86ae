/**
 * The targets that NO_PROXY keeps away from the proxy, to the letter as golang.org/x/net/http/httpproxy has them.
 *
 * | part of the list              | goes directly                                       |
 * |-------------------------------|-----------------------------------------------------|
 * | (nothing)                     | `localhost`, addresses of the loopback              |
 * | `*`                           | everything                                          |
 * | `10.0.0.0/8`                  | addresses in it                                     |
 * | `10.0.0.1`, `10.0.0.1:8443`   | that address; on that port alone                    |
 * | `example.com`                 | that name and all below it                          |
 * | `.example.com` `*.example.com`| all names below it                                  |
 * | a name, `:` and a port        | as the name, on that port alone                     |
 *
 * An address is never looked up to compare it with a name, nor the other way round. What is malformed counts for nothing.
 */
import { domainToASCII } from "node:url";
import { formatIp, type IpBytes, parseIp, parsePrefix, prefixContains, unmap } from "./ip.ts";

/** Whether a target is reached without a proxy. */
export type GoesDirect = (host: string, port: number) => boolean;

/** A target as the parts of a list look at it. */
interface Target {
  /** In lower case and ASCII. */
  readonly name: string;
  readonly ip: IpBytes | undefined;
  readonly port: string;
}

type Matcher = (target: Target) => boolean;

/** Reads a list once. */
export function goesDirect(list: string): GoesDirect {
  const matchers = list.split(",").map((part) => part.trim().toLowerCase()).flatMap((part) => parsePart(part) ?? []);
  return (host, port) => {
    const parsed = parseIp(host);
    const ip = parsed && unmap(parsed);
    if (host === "localhost" || (ip !== undefined && isLoopback(ip))) return true;
    const target = { name: ascii(host).toLowerCase(), ip, port: String(port) };
    return matchers.some((matches) => matches(target));
  };
}

function isLoopback(ip: IpBytes): boolean {
  return ip.length === 4 ? ip[0] === 127 : formatIp(ip) === "::1";
}

/** A name in its own script as DNS has it; the text itself where there is no such form. */
function ascii(name: string): string {
  // deno-lint-ignore no-control-regex -- all of ASCII is what is meant
  return /^[\x00-\x7f]*$/.test(name) ? name : domainToASCII(name) || name;
}

function parsePart(part: string): Matcher | undefined {
  if (part === "*") return () => true;
  const prefix = part.includes("/") ? parsePrefix(part) : undefined;
  if (prefix !== undefined) return ({ ip }) => ip !== undefined && prefixContains(prefix, ip);
  const [host, wanted] = splitPort(part);
  const onPort = ({ port }: Target) => wanted === "" || wanted === port;
  const own = parseIp(host);
  if (own !== undefined) {
    const text = formatIp(unmap(own));
    return (target) => target.ip !== undefined && formatIp(target.ip) === text && onPort(target);
  }
  const below = host.startsWith("*.") ? host.slice(1) : host;
  if (below === "") return undefined;
  const itself = below.startsWith(".") ? undefined : ascii(below);
  const suffix = ascii(itself === undefined ? below : `.${itself}`);
  return (target) =>
    target.ip === undefined && (target.name.endsWith(suffix) || target.name === itself) && onPort(target);
}

/** Go's net.SplitHostPort: "a:1" and "[::1]:1" have a port, "a", "::1" and "[::1]" have none and stay as they are. */
function splitPort(part: string): [host: string, port: string] {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:[\]]*)$/.exec(part);
  return match === null ? [part, ""] : [match[1] ?? match[2], match[3]];
}
