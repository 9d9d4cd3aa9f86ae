/**
 * A way to the control server past what stands on port 80: an alternate connectivity endpoint (ACE), which control names
 * in its dial plan. To the network it is a web server like any other.
 *
 * ```
 *   TCP address:443, or by the ACE's name ─▶ TLS, the ACE's certificate ─▶ CONNECT control:80  ─▶ 200, and it is control's
 *                                                                          Host: the ACE's name
 * ```
 * Inside is Noise, as everywhere; TLS to the ACE is verified all the same. Any other answer than 200 is a refusal, and so
 * are bytes right behind it, for control speaks when it is spoken to. Source: net/ace.Dialer.
 */
import type { Socket } from "node:net";
import { GoBetween } from "../../base/go_between.ts";
import { connectByHttp } from "../../base/http_connect.ts";
import { hostPort } from "../../base/ip.ts";
import type { TlsTrust } from "../../base/tls_client.ts";
import type { TcpConnect } from "./connect.ts";

const ACE_PORT = 443;

/** One ACE. */
export interface Ace {
  readonly name: string;
  /** Literal to connect to instead of looking the name up. */
  readonly address?: string;
}

/** @throws Error whose message names the ACE and what it answered; the signal's reason. */
export async function connectByAce(
  { name, address = name }: Ace,
  control: { readonly host: string; readonly port: number },
  { tcp, ...trust }: TlsTrust & { readonly tcp: TcpConnect },
  signal: AbortSignal,
): Promise<Socket> {
  return await GoBetween.through(`the ACE ${name} (${address})`, signal, async (way) => {
    const plain = await way.tcp(tcp(address, ACE_PORT, signal));
    const socket = await way.tls(plain, name, trust);
    const target = hostPort(control.host, control.port);
    const { status, line } = await way.step("", connectByHttp(socket, { target, hostHeader: name }, signal));
    if (status !== 200) throw way.fault(`refused to connect to ${target}: ${line}`);
    if (socket.readableLength > 0) throw way.fault(`sent ${socket.readableLength} bytes nobody asked for`);
    return socket.resume();
  });
}
