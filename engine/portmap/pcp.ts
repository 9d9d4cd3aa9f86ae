/**
 * PCP: the successor of NAT-PMP on the same port 5351.
 *
 *   request header (24)   0 version 2   1 opcode   4 u32 lifetime, seconds   8 client address (16 bytes)
 *   response header (24)  0 version 2   1 opcode + 128   3 result   4 u32 lifetime   8 u32 epoch
 *   MAP (36)              0 nonce (12)   12 protocol 17   16 u16 internal port   18 u16 external port   20 external address
 *
 * Big-endian; IPv4 addresses are mapped ones. Source: RFC 6887 7.1, 7.2, 11.1.
 */
import { type IpBytes, to16, unmap } from "../../base/ip.ts";
import { checkPorts } from "./pmp.ts";

export const PCP_NONCE_LENGTH = 12;
const HEADER = 24;
const MAP = 36;
const UDP = 17;

/** RFC 6887 7.4. */
export const PCP_OK = 0;

export type PcpResponse =
  | { readonly kind: "announce"; readonly result: number; readonly epochS: number }
  | {
    readonly kind: "mapping";
    readonly result: number;
    readonly lifetimeS: number;
    readonly nonce: Uint8Array;
    readonly internalPort: number;
    readonly externalPort: number;
    readonly externalIp: IpBytes;
  };

export interface PcpMapping {
  /** Own address as the router sees it. */
  readonly client: Uint8Array;
  /** 12 bytes, the same for the life of a mapping: who does not know them cannot delete it. */
  readonly nonce: Uint8Array;
  readonly internalPort: number;
  readonly externalPort: number;
  /** 0 deletes. */
  readonly lifetimeS: number;
}

/** Asks whether there is anybody. */
export function encodePcpAnnounce(client: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(HEADER);
  out[0] = 2;
  out.set(to16(client), 8);
  return out;
}

/** @throws RangeError for a mapping of external port 0. */
export function encodePcpMapping(mapping: PcpMapping): Uint8Array<ArrayBuffer> {
  const { client, nonce, internalPort, externalPort, lifetimeS } = mapping;
  checkPorts(internalPort, externalPort, lifetimeS);
  const out = new Uint8Array(HEADER + MAP);
  const view = new DataView(out.buffer);
  out[0] = 2;
  out[1] = 1;
  view.setUint32(4, lifetimeS);
  out.set(to16(client), 8);
  out.set(nonce, HEADER);
  out[HEADER + 12] = UDP;
  view.setUint16(HEADER + 16, internalPort);
  view.setUint16(HEADER + 18, externalPort);
  // No wish for an address, of the IPv4 kind.
  out.set(to16(new Uint8Array(4)), HEADER + 20);
  return out;
}

/** undefined for what is no PCP response of use here. */
export function parsePcp(bytes: Uint8Array): PcpResponse | undefined {
  if (bytes.length < HEADER || bytes[0] !== 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const result = bytes[3];
  if (bytes[1] === 128) return { kind: "announce", result, epochS: view.getUint32(8) };
  if (bytes[1] !== 129 || bytes.length < HEADER + MAP || bytes[HEADER + 12] !== UDP) return undefined;
  return {
    kind: "mapping",
    result,
    lifetimeS: view.getUint32(4),
    nonce: bytes.slice(HEADER, HEADER + PCP_NONCE_LENGTH),
    internalPort: view.getUint16(HEADER + 16),
    externalPort: view.getUint16(HEADER + 18),
    externalIp: unmap(bytes.slice(HEADER + 20, HEADER + MAP)),
  };
}
