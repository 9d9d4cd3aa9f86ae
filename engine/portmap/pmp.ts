/**
 * NAT-PMP: a router is asked over UDP port 5351 for its outside address and for a mapping.
 *
 *   external address request   0 version 0   1 opcode 0
 *   mapping request            0 version 0   1 opcode 1 (UDP)   2 u16 0   4 u16 internal port   6 u16 wanted external port
 *                              8 u32 lifetime, seconds
 *   response                   0 version 0   1 opcode + 128     2 u16 result   4 u32 epoch, seconds, then
 *                              8 IPv4 address      or      8 u16 internal port   10 u16 external port   12 u32 lifetime
 *
 * Big-endian. Source: RFC 6886.
 */
import type { IpBytes } from "../../base/ip.ts";

/** Of NAT-PMP and PCP both. */
export const PXP_PORT = 5351;
/** RFC 6886 3.3 recommends two hours. */
export const MAPPING_LIFETIME_S = 7_200;

/** What a router answered. */
export type PmpResponse =
  | {
    readonly kind: "address";
    readonly result: number;
    /** Seconds since the router's table of mappings was new. */
    readonly epochS: number;
    readonly ip: IpBytes;
  }
  | {
    readonly kind: "mapping";
    readonly result: number;
    readonly internalPort: number;
    readonly externalPort: number;
    readonly lifetimeS: number;
  };

export function encodePmpAddressRequest(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(2);
}

/**
 * Asks to map a UDP port. With `lifetimeS` 0 it deletes the mapping, and then the external port must be 0 (3.4).
 * @throws RangeError for a mapping of external port 0: a router may take that for all ports (TS-2023-006).
 */
export function encodePmpMapping(
  internalPort: number,
  externalPort: number,
  lifetimeS: number,
): Uint8Array<ArrayBuffer> {
  checkPorts(internalPort, externalPort, lifetimeS);
  const out = new Uint8Array(12);
  const view = new DataView(out.buffer);
  out[1] = 1;
  view.setUint16(4, internalPort);
  view.setUint16(6, externalPort);
  view.setUint32(8, lifetimeS);
  return out;
}

/** undefined for what is no NAT-PMP response of use here. */
export function parsePmp(bytes: Uint8Array): PmpResponse | undefined {
  if (bytes.length < 4 || bytes[0] !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const result = view.getUint16(2);
  // A refusal may be shorter than the answer it stands for.
  if (bytes[1] === 128 && (bytes.length === 12 || result !== 0)) {
    const [epochS, ip] = result === 0 ? [view.getUint32(4), bytes.slice(8, 12)] : [0, new Uint8Array(4)];
    return { kind: "address", result, epochS, ip };
  }
  if (bytes[1] !== 129) return undefined;
  if (result !== 0) return { kind: "mapping", result, internalPort: 0, externalPort: 0, lifetimeS: 0 };
  if (bytes.length !== 16) return undefined;
  return {
    kind: "mapping",
    result,
    internalPort: view.getUint16(8),
    externalPort: view.getUint16(10),
    lifetimeS: view.getUint32(12),
  };
}

/** @throws RangeError for ports that must not be asked for. */
export function checkPorts(internalPort: number, externalPort: number, lifetimeS: number): void {
  if (internalPort < 1 || internalPort > 65_535 || (lifetimeS !== 0 && (externalPort < 1 || externalPort > 65_535))) {
    throw new RangeError(`Cannot map port ${internalPort} to ${externalPort}: want ports of 1 to 65535`);
  }
}
