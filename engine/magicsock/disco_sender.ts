/** Seals disco messages for peers and sends them: by UDP, in a session at a peer relay, or by DERP. */
import { BOX_NONCE_LENGTH } from "../../base/box.ts";
import type { DiscoPrivate, NodePublic, RandomBytes } from "../../base/keys.ts";
import { encapsulate, GENEVE_DISCO } from "../geneve.ts";
import type { AddrId } from "../ports.ts";
import { DISCO_PING_SIZE, encodePing, sealDisco } from "./disco.ts";
import type { DiscoPeer, DiscoPeers } from "./disco_peers.ts";
import type { Endpoint } from "./endpoint.ts";

/** The way a message takes: to `addr`, in the session `vni` when that is a relay server's, or to `node` by the region `derp`. */
export interface DiscoWay {
  readonly addr: AddrId;
  readonly vni: number;
  readonly derp: number;
  readonly node?: NodePublic;
}

/** What a sender needs. */
export interface DiscoSenderOptions {
  readonly disco: DiscoPrivate;
  readonly random: RandomBytes;
  readonly peers: DiscoPeers;
  readonly sendUdp: (to: AddrId, payload: Uint8Array, relayed: boolean) => void;
  readonly sendDerp: (region: number, peer: NodePublic, payload: Uint8Array) => void;
}

export class DiscoSender {
  readonly #options: DiscoSenderOptions;
  /** Own node key, which pings name. */
  self: NodePublic | undefined;

  constructor(options: DiscoSenderOptions) {
    this.#options = options;
  }

  /** Pings a peer. @param size bytes of the whole message, 0 for the smallest */
  ping(endpoint: Endpoint, txId: Uint8Array, way: Omit<DiscoWay, "node">, size: number): void {
    const padding = Math.max(size - DISCO_PING_SIZE, 0);
    const peer = endpoint.disco && this.#options.peers.find(endpoint.disco.hex);
    if (peer === undefined) return;
    this.send(peer, encodePing(txId, this.self, padding), { ...way, node: endpoint.nodeKey });
  }

  /** Sends a payload to a peer by its relay, if it has one. */
  byDerp(endpoint: Endpoint, payload: Uint8Array): void {
    const peer = endpoint.disco && this.#options.peers.find(endpoint.disco.hex);
    if (peer === undefined || endpoint.derp === 0) return;
    this.send(peer, payload, { addr: 0, vni: 0, derp: endpoint.derp, node: endpoint.nodeKey });
  }

  /** Seals a payload for whoever has the disco key, and sends it. */
  send(peer: DiscoPeer, payload: Uint8Array, { addr, vni, derp, node }: DiscoWay): void {
    const { disco, random, sendUdp, sendDerp } = this.#options;
    const box = peer.box;
    if (box === undefined) return;
    const message = sealDisco(disco.public, box, random(BOX_NONCE_LENGTH), payload);
    if (vni !== 0) sendUdp(addr, encapsulate({ protocol: GENEVE_DISCO, control: false, vni }, message), true);
    else if (addr !== 0) sendUdp(addr, message, false);
    else if (node !== undefined) sendDerp(derp, node, message);
  }
}
