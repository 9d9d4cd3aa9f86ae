/** Requests to a relay server, and its sessions, between the worker's bytes and the records' text. */
import { toHex } from "../../base/bytes.ts";
import { formatAddrPort, parseAddrPort } from "../../base/ip.ts";
import type { RelayRequest, RelaySessionConfig } from "../config.ts";
import type { RelaySession } from "../magicsock/disco_relay.ts";
import { keyBytes } from "./records.ts";

/** @param endpoint who asks, undefined for this node, whose disco key is `own` */
export function relayRequest(
  endpoint: { readonly key: string; readonly disco: { readonly hex: string } | undefined } | undefined,
  clients: readonly [Uint8Array, Uint8Array],
  generation: number,
  own: string,
): RelayRequest {
  return {
    peer: endpoint?.key ?? "",
    disco: endpoint === undefined ? own : endpoint.disco?.hex ?? "",
    clients: [toHex(clients[0]), toHex(clients[1])],
    generation,
  };
}

export function relaySession({ server, clients, lamportId, addrs, ...numbers }: RelaySessionConfig): RelaySession {
  return {
    ...numbers,
    server: keyBytes(server),
    clients: [keyBytes(clients[0]), keyBytes(clients[1])],
    lamportId: BigInt(lamportId),
    addrs: addrs.map(parseAddrPort).filter((addr) => addr !== undefined),
  };
}

export function relaySessionConfig(
  { server, clients, lamportId, addrs, ...numbers }: RelaySession,
): RelaySessionConfig {
  return {
    ...numbers,
    server: toHex(server),
    clients: [toHex(clients[0]), toHex(clients[1])],
    lamportId: String(lamportId),
    addrs: addrs.map(formatAddrPort),
  };
}
