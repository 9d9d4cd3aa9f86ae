/**
 * The records on the two rings between the main thread and the data-plane worker.
 *
 * Rare records are JSON, because they are read by people who debug; the two that carry packets are binary:
 * `u32le region | 32 B peer key | payload`.
 */
import { fromHex, fromUtf8, toHex, utf8 } from "../../base/bytes.ts";
import type {
  EngineKnobs,
  EngineStatus,
  FilterRuleConfig,
  LocalEndpoint,
  PathReport,
  PeerConfig,
  PeerStatus,
  PingOutcome,
  RelayRequest,
  RelaySessionConfig,
} from "../config.ts";
import type { DerpPacket } from "../engine.ts";

/** Main thread to worker. */
export type Command =
  | {
    readonly kind: "self";
    readonly privateKey: string;
    readonly addresses: readonly string[];
    readonly homeDerp: number;
    readonly relay?: { readonly client: boolean; readonly self: boolean };
    readonly knobs?: EngineKnobs;
  }
  | { readonly kind: "peer"; readonly peer: PeerConfig }
  | { readonly kind: "peer-gone"; readonly key: string }
  | {
    readonly kind: "filter";
    /** A part of the rules; the filter takes effect with the last part. */
    readonly rules: readonly FilterRuleConfig[];
    readonly last: boolean;
    readonly local: readonly string[];
    readonly shieldsUp: boolean;
  }
  | { readonly kind: "endpoints"; readonly endpoints: readonly LocalEndpoint[]; readonly fresh: boolean }
  | { readonly kind: "derp-peer-gone"; readonly region: number; readonly key: string }
  | { readonly kind: "stun"; readonly to: string; readonly payload: string }
  | { readonly kind: "relay-session"; readonly request: RelayRequest; readonly session: RelaySessionConfig }
  | {
    readonly kind: "ping";
    readonly id: number;
    readonly key: string;
    readonly size: number;
    readonly timeoutMs: number;
  }
  | { readonly kind: "tsmp-ping"; readonly id: number; readonly address: string; readonly timeoutMs: number }
  | { readonly kind: "status"; readonly id: number }
  | { readonly kind: "path-report"; readonly id: number; readonly key: string }
  | { readonly kind: "heartbeat" }
  | { readonly kind: "rebind" }
  | { readonly kind: "stop" };

/** The part of the status that is not per peer. */
export type StatusTotals = Pick<EngineStatus, "drops" | "paths" | "offloads" | "turns">;

/** Worker to main thread. */
export type WorkerEvent =
  | { readonly kind: "stun"; readonly from: string; readonly payload: string }
  | { readonly kind: "endpoints-wanted"; readonly reason: string }
  | { readonly kind: "relay-request"; readonly request: RelayRequest }
  | { readonly kind: "path"; readonly status: PeerStatus }
  | { readonly kind: "ping"; readonly id: number; readonly outcome?: PingOutcome }
  | { readonly kind: "path-report"; readonly id: number; readonly report?: PathReport }
  | { readonly kind: "status-peers"; readonly id: number; readonly peers: readonly PeerStatus[] }
  | { readonly kind: "status"; readonly id: number; readonly totals: StatusTotals }
  | { readonly kind: "heartbeat" }
  | { readonly kind: "rebound"; readonly udp4: number; readonly udp6: number };

/** Record types on either ring. */
export const RECORD_JSON = 1;
export const RECORD_DERP = 2;

export function encodeJson(value: Command | WorkerEvent): Uint8Array {
  return utf8(JSON.stringify(value));
}

/** Records are copied here to be read: a TextDecoder refuses shared memory, and a buffer for each is what GC is slow at. */
let copy = new Uint8Array(64 << 10);

/** Both ends are ours, so what does not parse is a defect and throws. */
export function decodeJson<T extends Command | WorkerEvent>(payload: Uint8Array): T {
  if (payload.length > copy.length) copy = new Uint8Array(2 * payload.length);
  copy.set(payload);
  const text = fromUtf8(copy.subarray(0, payload.length));
  if (text === undefined) throw new TypeError("Cannot read a ring record: not UTF-8");
  return JSON.parse(text) as T;
}

/** Bytes in front of a relayed packet's payload. */
export const DERP_HEADER = 36;

/** The header of a relayed packet's record; the payload follows as a second part. */
export function encodeDerpHeader(region: number, key: Uint8Array): Uint8Array {
  const header = new Uint8Array(DERP_HEADER);
  new DataView(header.buffer).setUint32(0, region, true);
  header.set(key, 4);
  return header;
}

/** A relayed packet, its payload copied out of the ring. */
export function decodeDerp(record: Uint8Array): DerpPacket {
  const copy = new Uint8Array(record);
  const region = new DataView(copy.buffer).getUint32(0, true);
  return { region, peer: toHex(copy.subarray(4, DERP_HEADER)), payload: copy.subarray(DERP_HEADER) };
}

/** 32 key bytes of 64 hex digits that this program wrote itself. */
export function keyBytes(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(hex);
  if (bytes?.length !== 32) throw new TypeError(`Cannot use the key ${JSON.stringify(hex)}: want 64 hex digits`);
  return bytes;
}
