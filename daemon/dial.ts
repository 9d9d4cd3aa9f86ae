/**
 * Connections that a user of this machine asks the daemon for: which address a name means, and which of them are the
 * tailnet's.
 *
 * ```
 *   address ──────────────────────────────┐
 *   name ─▶ of the tailnet, whole or short ┼─▶ routed to the tailnet ─▶ the daemon connects
 *        └▶ the machine's resolver ────────┘   else ─▶ who asks connects, by its own rights
 * ```
 * The daemon runs as root and must not lend that to others: loopback, and all that only an exit node's default route
 * covers, is left to who asks. The way through the system is the same for both.
 * Source: tsdial.UserDialPlan, UserDial.
 */
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { formatAddrPort, formatIp, isTailscaleIp, parseIp, parsePrefix, prefixContains, unmap } from "../base/ip.ts";
import type { IpBytes } from "../base/ip.ts";
import { firstToConnect } from "./marked_tcp.ts";

/** What planning needs to know. */
export interface DialSources {
  /** Addresses of a name of the tailnet, whole or short; undefined for any other. */
  readonly tailnetName: (name: string) => readonly IpBytes[] | undefined;
  /** Prefixes that lead to peers. */
  readonly routes: readonly string[];
  /** The machine's resolver. @throws Error */
  readonly resolve: (name: string) => Promise<readonly IpBytes[]>;
}

/** Who is to connect, and where to. */
export type DialPlan =
  | { readonly by: "daemon"; readonly addresses: readonly IpBytes[] }
  /** "ip:port". */
  | { readonly by: "caller"; readonly address: string };

/** What `Dial-Network` may be, and the length of the addresses that it takes; 0 for both. */
const NETWORKS: Readonly<Record<string, number>> = { tcp: 0, tcp4: 4, tcp6: 16 };

/** A host, a port or a network that cannot be dialed; a text for who asked. */
export class DialError extends Error {
  override readonly name = "DialError";
}

/** @throws DialError */
export async function planDial(
  host: string,
  port: number,
  network: string,
  { tailnetName, routes, resolve }: DialSources,
): Promise<DialPlan> {
  if (!Object.hasOwn(NETWORKS, network)) throw new DialError(`unknown network ${network}: want tcp, tcp4 or tcp6`);
  const ip = parseIp(host);
  const found = ip !== undefined ? [unmap(ip)] : tailnetName(host) ?? await resolve(host).catch((cause) => {
    throw new DialError(`lookup ${host}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  });
  const length = NETWORKS[network];
  const addresses = found.filter((address) => length === 0 || address.length === length);
  if (addresses.length === 0) throw new DialError(`lookup ${host}: it has no address for ${network}`);
  const own = addresses.filter((address) => leadsToPeers(address, routes));
  if (own.length > 0) return { by: "daemon", addresses: own };
  return { by: "caller", address: formatAddrPort({ ip: addresses[0], port }) };
}

/** Whether a route that is not everybody's leads there. */
function leadsToPeers(address: IpBytes, routes: readonly string[]): boolean {
  const loopback = address.length === 4 ? address[0] === 127 : address.every((byte, i) => byte === (i === 15 ? 1 : 0));
  if (loopback) return false;
  if (isTailscaleIp(address)) return routes.some((route) => covers(route, address));
  return routes.some((route) => !route.endsWith("/0") && covers(route, address));
}

function covers(route: string, address: IpBytes): boolean {
  const prefix = parsePrefix(route);
  return prefix !== undefined && prefix.ip.length === address.length && prefixContains(prefix, address);
}

/** The machine's resolver. @throws Error */
export async function systemResolve(name: string): Promise<IpBytes[]> {
  return (await lookup(name, { all: true })).flatMap(({ address }) => parseIp(address) ?? []);
}

/** Connects to the first address that answers. @throws Error */
export function dialTcp(addresses: readonly IpBytes[], port: number, signal: AbortSignal): Promise<Socket> {
  return firstToConnect(addresses, (address, inner) => connectTo(formatIp(address), port, inner), signal);
}

function connectTo(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    const abort = () => socket.destroy(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      signal.removeEventListener("abort", abort);
      socket.removeListener("error", reject);
      resolve(socket);
    });
    if (signal.aborted) abort();
  });
}
