/** The port mapper's view of the machine: default route, a socket of its own, small HTTP exchanges with a router. */
import { createSocket } from "node:dgram";
import { request } from "node:http";
import type { IpBytes } from "../base/ip.ts";
import { parseIp } from "../base/ip.ts";
import type { Gateway, PortmapPorts } from "../engine/portmap/port_mapper.ts";
import type { InterfaceAddress } from "./endpoints.ts";

/** A router's description is some KB; more is not read. */
const MAX_ANSWER = 256 << 10;

/** What `PortmapPorts` has of the machine. */
export type PortmapIo = Pick<PortmapPorts, "gateway" | "open" | "http">;

/** @param interfaces own addresses, to know which one the gateway sees */
export function systemPortmap(interfaces: () => readonly InterfaceAddress[]): PortmapIo {
  return {
    gateway: () => {
      try {
        return parseDefaultRoute(Deno.readTextFileSync("/proc/net/route"), interfaces());
      } catch {
        return undefined;
      }
    },
    open: (received) =>
      new Promise((resolve, reject) => {
        const socket = createSocket("udp4");
        socket.once("error", reject);
        socket.on("message", (payload, from) => received(from.address, from.port, payload));
        socket.bind(0, () => {
          socket.removeAllListeners("error");
          // A port that nobody listens on is what most routers have here.
          socket.on("error", () => {});
          let open = true;
          resolve({
            send: (to, port, payload) => open && socket.send(payload, port, to, () => {}),
            close: () => {
              if (open) socket.close();
              open = false;
            },
          });
        });
      }),
    http,
  };
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

function http(...[url, call, timeoutMs]: Parameters<PortmapPorts["http"]>): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => give(undefined), timeoutMs);
    const give = (text: string | undefined) => {
      clearTimeout(timer);
      resolve(text);
      asked?.destroy();
    };
    let asked: ReturnType<typeof request> | undefined;
    try {
      const options = {
        method: call === undefined ? "GET" : "POST",
        headers: { ...call?.headers },
        agent: false as const,
      };
      asked = request(url, options, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part).length > MAX_ANSWER && give(undefined));
        response.on("end", () => give(text));
        response.on("error", () => give(undefined));
      });
      asked.on("error", () => give(undefined));
      asked.end(call?.body);
    } catch {
      give(undefined);
    }
  });
}
