/** The records on the two rings between the main thread and the peer relay's worker. All are JSON: packets stay there. */
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import type { RelayRequest, RelaySessionConfig } from "../config.ts";
import type { RelaySessionStatus } from "./sessions.ts";

/** Main thread to worker. */
export type RelayCommand =
  | { readonly kind: "allocate"; readonly id: number; readonly request: RelayRequest }
  /** Where clients may reach the server, `ip:port`. */
  | { readonly kind: "addresses"; readonly addrs: readonly string[] }
  | { readonly kind: "stun"; readonly to: string; readonly payload: string }
  | { readonly kind: "status"; readonly id: number }
  | { readonly kind: "stop" };

/** Packets and bytes forwarded, by the families they came and went by. */
export interface Forwarded {
  readonly in: 4 | 6;
  readonly out: 4 | 6;
  packets: number;
  bytes: number;
}

/** The server as people look at it. */
export interface RelayStatus {
  readonly connecting: number;
  readonly open: number;
  readonly forwarded: readonly Forwarded[];
  readonly sessions: readonly RelaySessionStatus[];
  readonly drops: Readonly<Record<string, number>>;
}

/** Worker to main thread. */
export type RelayEvent =
  | { readonly kind: "allocated"; readonly id: number; readonly session?: RelaySessionConfig }
  | { readonly kind: "stun"; readonly from: string; readonly payload: string }
  | { readonly kind: "status"; readonly id: number; readonly status: RelayStatus };

export const RECORD_RELAY = 1;

export function encodeRelayRecord(record: RelayCommand | RelayEvent): Uint8Array {
  return utf8(JSON.stringify(record));
}

/** Both ends are ours, so what does not parse is a defect and throws. */
export function decodeRelayRecord<T extends RelayCommand | RelayEvent>(payload: Uint8Array): T {
  // The view is over shared memory, which a TextDecoder refuses: copy.
  const text = fromUtf8(new Uint8Array(payload));
  if (text === undefined) throw new TypeError("Cannot read a ring record: not UTF-8");
  return JSON.parse(text) as T;
}
