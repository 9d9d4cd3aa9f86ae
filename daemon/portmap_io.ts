/** The port mapper's view of the machine: default route, a socket of its own, small HTTP exchanges with a router. */
import { request } from "node:http";
import { formatIp, type IpBytes, parseIp } from "../base/ip.ts";
import { OneSocket } from "../control/client/http_fetch.ts";
import type { Gateway, PortmapPorts } from "../engine/portmap/port_mapper.ts";
import { type MarkedUdp, openMarkedUdp } from "../ffi/marked_udp.ts";
import { connectMarked } from "../ffi/tcp.ts";
import type { InterfaceAddress } from "./endpoints.ts";

/** A router's description is some KB; more is not read. */
const MAX_ANSWER = 256 << 10;

/** What `PortmapPorts` has of the machine. */
export type PortmapIo = Pick<PortmapPorts, "gateway" | "open" | "http">;

/**
 * @param interfaces own addresses, to know which one the gateway sees
 * @param mark of its sockets: the router is asked past the tunnel, while an exit node is used too
 */
export function systemPortmap(interfaces: () => readonly InterfaceAddress[], mark: number): PortmapIo {
  return {
    gateway: () => {
      try {
        return parseDefaultRoute(Deno.readTextFileSync("/proc/net/route"), interfaces());
      } catch {
        return undefined;
      }
    },
    open: (received) => {
      try {
        const socket = openMarkedUdp(4, mark, {
          received: ({ ip, port }, payload) => received(formatIp(ip), port, payload),
        });
        return Promise.resolve({ send: (...datagram) => send(socket, ...datagram), close: () => socket.close() });
      } catch (cause) {
        return Promise.reject(cause);
      }
    },
    http: (url, call, timeoutMs) => http(mark, url, call, timeoutMs),
  };
}

/** What cannot be sent is a request without an answer. */
function send(socket: MarkedUdp, to: string, port: number, payload: Uint8Array): void {
  try {
    socket.send({ ip: parseIp(to)!, port }, payload);
  } catch {
    // No way there now; the next try may find one.
  }
}

/**
 * The IPv4 default route by a gateway, of those the one with the lowest metric. @param text of /proc/net/route: device,
 * destination, gateway, flags, …, metric, mask; addresses are hex of a little-endian word. Source: Linux proc(5)
 */
export function parseDefaultRoute(text: string, interfaces: readonly InterfaceAddress[]): Gateway | undefined {
  const defaults = text.trim().split("\n").slice(1).map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1] === "00000000" && fields[7] === "00000000" && (parseInt(fields[3], 16) & 3) === 3)
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  if (defaults.length === 0) return undefined;
  const [device, , word] = defaults[0];
  const gateway: IpBytes = Uint8Array.from([6, 4, 2, 0], (at) => parseInt(word.slice(at, at + 2), 16));
  const own = interfaces.filter((one) => one.device === device).map(({ address }) => parseIp(address));
  const self = own.find((ip) => ip?.length === 4);
  return self === undefined ? undefined : { gateway, self };
}

async function http(
  mark: number,
  ...[text, call, timeoutMs]: Parameters<PortmapPorts["http"]>
): Promise<string | undefined> {
  const over = AbortSignal.timeout(timeoutMs);
  try {
    const url = new URL(text);
    const ip = parseIp(url.hostname);
    if (ip === undefined || url.protocol !== "http:") return undefined;
    const socket = await connectMarked(ip, Number(url.port || 80), mark, over);
    socket.on("error", () => {});
    try {
      return await exchange(url, call, new OneSocket(socket), over);
    } finally {
      socket.destroy();
    }
  } catch {
    return undefined;
  }
}

function exchange(
  url: URL,
  call: Parameters<PortmapPorts["http"]>[1],
  agent: OneSocket,
  over: AbortSignal,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    over.addEventListener("abort", () => reject(over.reason), { once: true });
    const asked = request(url, { method: call === undefined ? "GET" : "POST", headers: { ...call?.headers }, agent });
    asked.on("error", reject);
    asked.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => (text += part).length > MAX_ANSWER && resolve(undefined));
      response.on("end", () => resolve(text));
      response.on("error", reject);
    });
    asked.end(call?.body);
  });
}
