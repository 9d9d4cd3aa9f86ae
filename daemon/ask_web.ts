/** A GET by plain HTTP/1.1, of whose answer only the head counts: what netcheck looks for captive portals with. */
import { utf8 } from "../base/bytes.ts";
import { readHttpHead } from "../base/http_head.ts";
import type { TcpConnect } from "../control/client/connect.ts";
import type { AskWeb } from "../engine/netcheck/captive_portal.ts";

/** Always directly, past web proxies: the question is what the network itself answers. */
export function askWeb(tcp: TcpConnect): AskWeb {
  return async (url, challenge, signal) => {
    const { hostname, port, host, pathname, search } = new URL(url);
    const socket = await tcp(hostname, Number(port || 80), signal);
    socket.on("error", () => {});
    try {
      const lines = [
        `GET ${pathname}${search} HTTP/1.1`,
        `Host: ${host}`,
        "Cache-Control: no-cache, no-store, must-revalidate, no-transform, max-age=0",
        "Connection: close",
        ...(challenge === "" ? [] : [`X-Tailscale-Challenge: ${challenge}`]),
      ];
      socket.write(utf8(`${lines.join("\r\n")}\r\n\r\n`));
      const { status, headers } = await readHttpHead(socket, signal);
      return { status, response: headers.get("x-tailscale-response") ?? "" };
    } finally {
      socket.destroy();
    }
  };
}
