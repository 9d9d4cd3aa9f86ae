/**
 * Pings through the tunnel by TSMP: asks and waits for pongs, and answers the pings of peers.
 *
 * ```
 *   ping ─▶ inject ─▶ … peer … ─▶ receive(pong) ─▶ done with the path in use
 *                                  advance at the time-out ─▶ done without
 *   receive(ping) ─▶ inject(pong)          only where a keypair is: an answer starts no handshake
 * ```
 */
import { toHex } from "../../base/bytes.ts";
import type { DropCounters } from "../../base/drops.ts";
import { parseIp, parsePrefix } from "../../base/ip.ts";
import type { RandomBytes } from "../../base/keys.ts";
import type { PingOutcome } from "../config.ts";
import type { Peers } from "./peers.ts";
import type { PlanePeer } from "./plane_peer.ts";
import type { Transmit } from "./transmit.ts";
import { buildPing, buildPong, parseTsmp } from "./tsmp.ts";

/** Called once: with how the pong came, or undefined when none did in time or none could. */
export type PingDone = (outcome: PingOutcome | undefined) => void;

interface Waiting {
  readonly to: Uint8Array;
  readonly sent: number;
  readonly deadline: number;
  readonly done: PingDone;
}

/** What the pings need of the plane. */
export interface TsmpPingsOptions {
  readonly peers: Peers;
  readonly transmit: Transmit;
  readonly drops: DropCounters;
  readonly random: RandomBytes;
}

/** Pings under way. */
export class TsmpPings {
  readonly #options: TsmpPingsOptions;
  /** By the 8 bytes the pong will repeat, in hex. */
  readonly #waiting = new Map<string, Waiting>();
  /** Own addresses, "address/bits". */
  addresses: readonly string[] = [];

  constructor(options: TsmpPingsOptions) {
    this.#options = options;
  }

  /** Pings the inner address `address`. */
  ping(address: string, timeoutMs: number, now: number, done: PingDone): void {
    const to = parseIp(address);
    const from = this.addresses.map((text) => parsePrefix(text)?.ip).find((ip) => ip?.length === to?.length);
    if (to === undefined || from === undefined) return done(undefined);
    const data = this.#options.random(8);
    this.#waiting.set(toHex(data), { to, sent: now, deadline: now + timeoutMs, done });
    this.#options.transmit.inject(buildPing(from, to, data), now);
  }

  /** A TSMP packet of `peer`; the bytes are borrowed. */
  receive(packet: Uint8Array, peer: PlanePeer, now: number): void {
    const message = parseTsmp(packet);
    if (message === undefined) return this.#options.drops.count("inner-malformed");
    if (message.kind === "pong") {
      this.#pong(message.data, now);
    } else if (peer.wg.keypairForSend(now) !== undefined) {
      this.#options.transmit.inject(buildPong(packet, message.data), now);
    }
  }

  nextDeadline(): number {
    let next = Infinity;
    for (const { deadline } of this.#waiting.values()) next = Math.min(next, deadline);
    return next;
  }

  /** Tells those whose time is over. */
  advance(now: number): void {
    for (const [key, { deadline, done }] of this.#waiting) {
      if (deadline > now) continue;
      this.#waiting.delete(key);
      done(undefined);
    }
  }

  #pong(data: Uint8Array, now: number): void {
    const key = toHex(data);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    const endpoint = this.#options.peers.ownerOf(waiting.to)?.endpoint;
    waiting.done({
      latencyMs: now - waiting.sent,
      endpoint: endpoint?.path.address(now) ?? "",
      relay: endpoint?.path.relay(now) ?? "",
      derp: endpoint?.derp ?? 0,
    });
  }
}
