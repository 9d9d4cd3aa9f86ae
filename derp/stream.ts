/** The port through which a DERP client gets its byte stream, so that pools run in tests without a network. */
import type { Duplex } from "node:stream";
import type { NodePublic } from "../base/keys.ts";
import type { DERPNode } from "./derp_map.ts";

/** An open connection to one node, its TLS finished and its certificate checked. */
export interface DerpStream {
  readonly duplex: Duplex;
  /** `Host` header of the upgrade request. */
  readonly host: string;
  /** The relay's key, when its certificate told it; lets the client start without waiting for the relay. */
  readonly serverKey?: NodePublic;
  /** The stream is DERP's already: it is inside a WebSocket. */
  readonly upgraded?: boolean;
}

/**
 * Opens the stream to one node. With `webSocket` it is inside a WebSocket, for relays behind a reverse proxy that passes
 * no other upgrade.
 *
 * Rejects with an Error whose message says what failed, for `status` and the log; aborts with the signal's reason.
 */
export type DerpDial = (node: DERPNode, signal: AbortSignal, webSocket?: boolean) => Promise<DerpStream>;
