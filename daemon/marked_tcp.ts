/**
 * TCP connections of the daemon itself: to control, relays and web proxies. They carry the instance's mark, so that they
 * pass outside the tunnel while an exit node is used, and can be made while that node is away.
 *
 * ```
 *   name ─▶ addresses ─▶ first attempt ─▶ 300 ms without an answer, or refused ─▶ next attempt beside it ─▶ first to connect
 * ```
 * Source: RFC 8305 5 (connection attempts); netns.SetEnabled, netns_linux.go.
 */
import type { Socket } from "node:net";
import type { IpBytes } from "../base/ip.ts";
import type { TcpConnect } from "../control/client/connect.ts";
import { connectMarked } from "../ffi/tcp.ts";
import type { LookUp } from "./dns/own_names.ts";

/** How long one attempt is alone. */
const STAGGER_MS = 300;

/** Opens connections with this mark. */
export function markedTcp(mark: number, lookUp: LookUp): TcpConnect {
  return async (host, port, signal) => {
    const addresses = inTurn(await lookUp(host, signal));
    return await firstToConnect(addresses, (address, inner) => connectMarked(address, port, mark, inner), signal);
  };
}

/** IPv6 and IPv4 in turn, beginning with what the resolver prefers. */
function inTurn(all: readonly IpBytes[]): IpBytes[] {
  const preferred = all[0]?.length;
  const [first, second] = [all.filter((ip) => ip.length === preferred), all.filter((ip) => ip.length !== preferred)];
  return first.flatMap((ip, i) => [ip, ...second.slice(i, i + 1)]).concat(second.slice(first.length));
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
