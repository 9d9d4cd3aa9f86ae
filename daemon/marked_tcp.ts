/**
 * TCP connections of the daemon itself: to control, relays and web proxies. They carry the instance's mark, so that they
 * pass outside the tunnel while an exit node is used, and can be made while that node is away.
 *
 * ```
 *   name ─▶ addresses ─▶ first attempt ─▶ 300 ms without an answer, or refused ─▶ next attempt beside it ─▶ first to connect
 * ```
 * Source: RFC 8305 5 (connection attempts); netns.SetEnabled, netns_linux.go.
 */
import { lookup } from "node:dns/promises";
import type { Socket } from "node:net";
import { parseIp } from "../base/ip.ts";
import type { IpBytes } from "../base/ip.ts";
import type { TcpConnect } from "../control/client/connect.ts";
import { connectMarked } from "../ffi/tcp.ts";

/** How long one attempt is alone. */
const STAGGER_MS = 300;

/** Opens connections with this mark. */
export function markedTcp(mark: number): TcpConnect {
  return async (host, port, signal) => {
    const ip = parseIp(host);
    const addresses = ip !== undefined ? [ip] : await resolve(host, signal);
    return await firstToConnect(addresses, (address, inner) => connectMarked(address, port, mark, inner), signal);
  };
}

/** IPv6 and IPv4 in turn, beginning with what the resolver prefers. A resolver cannot be stopped, only left. */
async function resolve(host: string, signal: AbortSignal): Promise<IpBytes[]> {
  const found = await Promise.race([lookup(host, { all: true }), aborted(signal)]);
  const all = found.flatMap(({ address }) => parseIp(address) ?? []);
  const preferred = all[0]?.length;
  const [first, second] = [all.filter((ip) => ip.length === preferred), all.filter((ip) => ip.length !== preferred)];
  return first.flatMap((ip, i) => [ip, ...second.slice(i, i + 1)]).concat(second.slice(first.length));
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** @throws the first failure when all fail. */
export async function firstToConnect(
  addresses: readonly IpBytes[],
  connect: (address: IpBytes, signal: AbortSignal) => Promise<Socket>,
  signal: AbortSignal,
): Promise<Socket> {
  const race = new AbortController();
  const onAbort = () => race.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const attempts: Promise<Socket>[] = [];
  let winner: Socket | undefined;
  try {
    for (const address of addresses) {
      signal.throwIfAborted();
      const attempt = connect(address, race.signal);
      attempts.push(attempt);
      const timer = Promise.withResolvers<"next">();
      const stagger = setTimeout(() => timer.resolve("next"), STAGGER_MS);
      const earlier = Promise.any(attempts).catch((): "next" => "next");
      const won = await Promise.race([earlier, timer.promise]);
      clearTimeout(stagger);
      if (won !== "next") return winner = won;
    }
    return winner = await Promise.any(attempts);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AggregateError ? error.errors[0] ?? error : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    race.abort(new Error("another address connected first"));
    for (const attempt of attempts) {
      attempt.then((socket) => socket !== winner && socket.destroy(), () => {});
    }
  }
}
