/** DNS messages past the tunnel, for the daemon's own questions; those of others go by dns_transport.ts. */
import { openMarkedUdp } from "../../ffi/marked_udp.ts";
import { connectMarked } from "../../ffi/tcp.ts";
import { askByTcp } from "./dns_transport.ts";
import type { DnsTransport } from "./forwarder.ts";

/** The transport, by sockets with this mark. HTTPS it has none. */
export function markedDnsTransport(mark: number): DnsTransport {
  return {
    udp: (to, query, accept, signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const end = (settle: () => void) => {
          signal.removeEventListener("abort", onAbort);
          socket.close();
          settle();
        };
        const onAbort = () => end(() => reject(signal.reason));
        const socket = openMarkedUdp(to.ip.length === 4 ? 4 : 6, mark, {
          received: (_from, payload) => accept(payload) && end(() => resolve(payload)),
          failed: (error) => end(() => reject(error)),
        }, to);
        signal.addEventListener("abort", onAbort, { once: true });
        try {
          socket.send(to, query);
        } catch (error) {
          end(() => reject(error));
        }
      }),
    tcp: (to, query, signal) => askByTcp((inner) => connectMarked(to.ip, to.port, mark, inner), query, signal),
    https: ({ url }) => Promise.reject(new Error(`${url} is not asked past the tunnel`)),
  };
}
