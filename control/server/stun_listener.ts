/** A UDP socket that answers STUN binding requests of nodes, and nothing else. */
import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";
import { parseIp } from "../../base/ip.ts";
import { encodeStunResponse, parseStunRequest } from "../../derp/stun.ts";
import { joinHostPort } from "./listen_policy.ts";
import type { ListenAddress } from "./listen_policy.ts";

/** An open responder. */
export interface StunListener {
  readonly port: number;
  close(): Promise<void>;
}

/** Opens the responder; on an IPv6 or unspecified address it answers both families. @throws Error that names the flag. */
export async function listenStun({ host, port }: ListenAddress): Promise<StunListener> {
  const socket: Socket = createSocket(host === "" || host.includes(":") ? "udp6" : "udp4");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", (cause) => {
      reject(new Error(`Cannot listen on --stun-listen ${joinHostPort(host, port)}: ${cause.message}`, { cause }));
    });
    socket.bind({ port, address: host === "" ? "::" : host }, () => resolve());
  });
  socket.on("error", () => {});
  socket.on("message", (datagram, from) => {
    const transaction = parseStunRequest(datagram);
    const ip = parseIp(from.address.split("%")[0]);
    if (transaction === undefined || ip === undefined) return;
    socket.send(encodeStunResponse(transaction, { ip, port: from.port }), from.port, from.address, () => {});
  });
  return {
    port: socket.address().port,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}
