/** One peer as the data plane holds it: its WireGuard half, its path half, what waits, and its counters. */
import type { PeerConfig, PeerStatus } from "../config.ts";
import { GENEVE_LENGTH } from "../geneve.ts";
import type { Endpoint } from "../magicsock/endpoint.ts";
import type { AddrId } from "../ports.ts";
import type { Keypair } from "../wg/keypair.ts";
import type { Peer } from "../wg/peer.ts";
import { keyBytes } from "./records.ts";

/** Packets kept for a peer without a keypair; the oldest goes first. wireguard-go keeps 128. */
const STAGED_PACKETS = 128;
/** Super-packets are 64 KiB each, so bytes are bounded too. */
const STAGED_BYTES = 1 << 20;
/** A peer counts as active this long after traffic (`ipnstate.PeerStatus.Active`), ms. */
const ACTIVE_MS = 120_000;

/** A peer in the data plane. */
export class PlanePeer {
  /** What its prefixes belong to in the routes (peers.ts). */
  readonly number: number;
  readonly wg: Peer;
  readonly endpoint: Endpoint;
  readonly keyBytes: Uint8Array<ArrayBuffer>;
  config: PeerConfig;
  rxBytes = 0;
  txBytes = 0;
  /** Where packets of this turn go; 0 is none. Valid while `turn` is the plane's. */
  turn = -1;
  addr: AddrId = 0;
  /** The session when `addr` is a relay server's, 0 when it is the peer's. */
  vni = 0;
  /** Bytes in front of each sealed packet for the header that names the session. */
  headroom = 0;
  derp = 0;
  /** The keypair that sealed something this turn, for the timers at its end. */
  sealedWith: Keypair | undefined;
  /** Some of it was data, not a keepalive. */
  sealedData = false;
  #staged: Uint8Array[] = [];
  #stagedBytes = 0;

  constructor(config: PeerConfig, number: number, wg: Peer, endpoint: Endpoint) {
    this.config = config;
    this.number = number;
    this.wg = wg;
    this.endpoint = endpoint;
    this.keyBytes = keyBytes(config.key);
    wg.data = this;
  }

  /** Looks the path up once a turn, however many packets the turn has for this peer. */
  usePath(turn: number, now: number): void {
    if (this.turn === turn) return;
    const path = this.endpoint.pathForSend(now);
    this.turn = turn;
    this.addr = path.addr;
    this.vni = path.vni;
    this.headroom = path.vni === 0 ? 0 : GENEVE_LENGTH;
    this.derp = path.derp;
  }

  /** Keeps a copy of what was read from the TUN until there is a keypair. Returns how many older ones gave way. */
  stage(packet: Uint8Array): number {
    this.#staged.push(packet);
    this.#stagedBytes += packet.length;
    let dropped = 0;
    while (this.#staged.length > STAGED_PACKETS || this.#stagedBytes > STAGED_BYTES) {
      this.#stagedBytes -= this.#staged.shift()!.length;
      dropped++;
    }
    return dropped;
  }

  /** What waited, oldest first; the peer keeps nothing. */
  takeStaged(): Uint8Array[] {
    const staged = this.#staged;
    this.#staged = [];
    this.#stagedBytes = 0;
    return staged;
  }

  /** @param toWall what to add to the engine's clock to get Unix milliseconds. */
  status(now: number, toWall: number): PeerStatus {
    const { lastSend, lastReceive, derp } = this.endpoint;
    const wall = (at: number) => (at === 0 ? 0 : Math.round(at + toWall));
    const peerRelay = this.endpoint.path.relay(now);
    return {
      key: this.config.key,
      currentAddress: this.endpoint.path.address(now),
      ...(peerRelay !== "" && { peerRelay }),
      derp,
      rxBytes: this.rxBytes,
      txBytes: this.txBytes,
      lastHandshake: wall(this.wg.lastHandshake),
      lastSend: wall(lastSend),
      lastReceive: wall(lastReceive),
      active: Math.max(lastSend, lastReceive) > 0 && now - Math.max(lastSend, lastReceive) < ACTIVE_MS,
    };
  }
}
