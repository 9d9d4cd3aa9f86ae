/**
 * The sessions of a peer relay server: who may speak to whom through it, and from which addresses.
 *
 * ```
 *          allocate                    both bound
 *   none ────────────▶ connecting ─────────────────▶ open     bind again, from anywhere: moves that end
 *    ▲                      │ 30 s                     │
 *    └──────────────────────┴──────────────────────────┘ 5 min without a packet from one of the two
 *
 *   client                                          server
 *     │── bind: generation, other's disco key ───────▶│   one of the two clients, by its disco key
 *     │ ◀── challenge: MAC over all that and from ────│   no more bytes than came, and only back to where they came from
 *     │── answer: the same MAC ──────────────────────▶│   from is the client's address now
 * ```
 * What the two send each other is forwarded unread, and only from the address the one bound to that of the other.
 *
 * Source: tailscale.com/net/udprelay `server.go`.
 */
import { BOX_NONCE_LENGTH, BoxKey } from "../../base/box.ts";
import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import type { DiscoPrivate, RandomBytes } from "../../base/keys.ts";
import { encapsulate, GENEVE_DISCO, MAX_VNI } from "../geneve.ts";
import { discoSender, openDisco, parseDisco, sealDisco } from "../magicsock/disco.ts";
import { encodeBind, type RelaySession, sortedPair } from "../magicsock/disco_relay.ts";
import { TokenBucket } from "../magicsock/token_bucket.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import { Challenges } from "./challenges.ts";
import {
  BIND_LIFETIME_MS,
  CONTROL_BURST,
  CONTROL_INTERVAL_MS,
  EXPIRY_INTERVAL_MS,
  MAX_CONNECTING,
  MAX_SESSIONS,
  SESSION_CONTROL_BURST,
  SESSION_CONTROL_INTERVAL_MS,
  STEADY_LIFETIME_MS,
} from "./constants.ts";

/** One of the two ends of a session. */
interface Leg {
  readonly disco: Uint8Array;
  readonly hex: string;
  /** Of the handshake under way, 0 for none. */
  generation: number;
  /** Where the client is, 0 before it bound. */
  addr: AddrId;
  lastSeen: number;
  /** Received from the client and forwarded. */
  packets: number;
  bytes: number;
  /** The box with the client, undefined before it is needed. */
  box: BoxKey | undefined;
}

interface Session {
  readonly vni: number;
  readonly lamportId: bigint;
  readonly allocatedAt: number;
  /** Disco key of the client that asked for it, hex. */
  readonly asker: string;
  readonly legs: readonly [Leg, Leg];
  readonly control: TokenBucket;
}

/** A client of a session, for people who look. Source: net/udprelay/status.ClientInfo. */
export interface RelayClientStatus {
  /** `ip:port`, "" before it bound. */
  readonly endpoint: string;
  /** 64 hex digits. */
  readonly disco: string;
  readonly packets: number;
  readonly bytes: number;
}

export interface RelaySessionStatus {
  readonly vni: number;
  readonly clients: readonly [RelayClientStatus, RelayClientStatus];
}

/** All sessions. Every `now` is milliseconds of one clock. */
export class RelaySessions {
  readonly #disco: DiscoPrivate;
  readonly #random: RandomBytes;
  readonly #addrs: AddrTable;
  readonly #challenges: Challenges;
  readonly #byVni = new Map<number, Session>();
  readonly #byPair = new Map<string, Session>();
  /** Sessions that wait for a client, by who asked for them. */
  readonly #connecting = new Map<string, number>();
  readonly #control = new TokenBucket(CONTROL_BURST, CONTROL_INTERVAL_MS);
  #lamportId = 0n;
  #nextVni = 1;
  #expireAt = Infinity;

  constructor(options: { disco: DiscoPrivate; random: RandomBytes; addrs: AddrTable }) {
    this.#disco = options.disco;
    this.#random = options.random;
    this.#addrs = options.addrs;
    this.#challenges = new Challenges(options.random, options.addrs);
  }

  /**
   * The session of two clients, the one they have or a new one, for `addresses` to be added.
   * @param asker the disco key of the client that asks. @returns undefined when it cannot be had: too many, or no pair
   */
  allocate(asker: string, a: Uint8Array, b: Uint8Array, now: number): Omit<RelaySession, "addrs"> | undefined {
    const pair = sortedPair(a, b);
    if (equalBytes(a, b) || pair.some((disco) => equalBytes(disco, this.#disco.public.bytes))) return undefined;
    const [one, two] = [toHex(pair[0]), toHex(pair[1])];
    let session = this.#byPair.get(one + two);
    if (session === undefined) {
      const connecting = this.#connecting.get(asker) ?? 0;
      if (this.#byVni.size >= MAX_SESSIONS || connecting >= MAX_CONNECTING) return undefined;
      this.#connecting.set(asker, connecting + 1);
      session = {
        vni: this.#takeVni(),
        lamportId: ++this.#lamportId,
        allocatedAt: now,
        asker,
        legs: [leg(pair[0], one), leg(pair[1], two)],
        control: new TokenBucket(SESSION_CONTROL_BURST, SESSION_CONTROL_INTERVAL_MS),
      };
      this.#byPair.set(one + two, session);
      this.#byVni.set(session.vni, session);
      this.#expireAt = Math.min(this.#expireAt, now + EXPIRY_INTERVAL_MS);
    }
    return {
      server: this.#disco.public.bytes,
      clients: [session.legs[0].disco, session.legs[1].disco],
      lamportId: session.lamportId,
      vni: session.vni,
      bindLifetimeMs: BIND_LIFETIME_MS,
      steadyLifetimeMs: STEADY_LIFETIME_MS,
    };
  }

  /**
   * Takes a disco message with the control bit, without its Geneve header.
   * @returns the packet to send back to `from`, nothing, or why it was of no use
   */
  handleControl(vni: number, from: AddrId, message: Uint8Array, now: number): Uint8Array | Drop | undefined {
    const session = this.#byVni.get(vni);
    if (session === undefined) return "relay-session";
    const sender = discoSender(message);
    if (sender === undefined) return "disco-envelope";
    const own = session.legs.findIndex(({ disco }) => equalBytes(disco, sender));
    if (own < 0) return "disco-unknown-sender";
    if (!session.control.take(now) || !this.#control.take(now)) return "rate-limited";
    const leg = session.legs[own];
    const box = leg.box ??= this.#boxWith(leg.disco);
    if (box === undefined) return "low-order-key";
    const payload = openDisco(message, box);
    if (payload === undefined) return "disco-decrypt";
    const parsed = parseDisco(payload);
    if (typeof parsed === "string") return parsed;
    if (parsed.type !== "bind" && parsed.type !== "bind-answer") return "relay-session";
    if (parsed.vni !== vni || !equalBytes(parsed.remote, session.legs[1 - own].disco) || parsed.generation === 0) {
      return "relay-session";
    }
    if (parsed.type === "bind") {
      leg.generation = parsed.generation;
      const challenge = this.#challenges.make(parsed, from, now);
      const reply = encodeBind("bind-challenge", { ...parsed, challenge });
      const sealed = sealDisco(this.#disco.public, box, this.#random(BOX_NONCE_LENGTH), reply);
      return encapsulate({ protocol: GENEVE_DISCO, control: true, vni }, sealed);
    }
    if (parsed.generation !== leg.generation || !this.#challenges.check(parsed, from, now)) return "relay-session";
    const addr = this.#addrs.pin(from);
    if (addr === 0) return "queue-full";
    const wasOpen = isOpen(session);
    leg.addr = addr;
    if (!wasOpen && isOpen(session)) this.#connected(session);
    leg.lastSeen = now;
    leg.generation = 0;
    return undefined;
  }

  /** Where packets of a session that came from `from` go, and notes them; 0 for nowhere. */
  forward(vni: number, from: AddrId, packets: number, bytes: number, now: number): AddrId {
    const session = this.#byVni.get(vni);
    if (session === undefined) return 0;
    const [a, b] = session.legs;
    if (a.addr === 0 || b.addr === 0) return 0;
    const leg = from === a.addr ? a : from === b.addr ? b : undefined;
    if (leg === undefined) return 0;
    leg.lastSeen = now;
    leg.packets += packets;
    leg.bytes += bytes;
    return leg === a ? b.addr : a.addr;
  }

  /** Sessions that wait for a client, and that forward. */
  counts(): { connecting: number; open: number } {
    let open = 0;
    for (const session of this.#byVni.values()) if (isOpen(session)) open++;
    return { connecting: this.#byVni.size - open, open };
  }

  /** The first `most` sessions. */
  status(most: number): RelaySessionStatus[] {
    const described: RelaySessionStatus[] = [];
    for (const { vni, legs } of this.#byVni.values()) {
      if (described.length === most) break;
      const of = ({ hex, addr, packets, bytes }: Leg) => ({
        endpoint: addr === 0 ? "" : this.#addrs.text(addr),
        disco: hex,
        packets,
        bytes,
      });
      described.push({ vni, clients: [of(legs[0]), of(legs[1])] });
    }
    return described;
  }

  /** Addresses held here, to survive `AddrTable.sweep`. */
  *addresses(): IterableIterator<AddrId> {
    for (const { legs } of this.#byVni.values()) {
      yield legs[0].addr;
      yield legs[1].addr;
    }
  }

  /** When `advance` has something to do, Infinity while there is no session. */
  nextDeadline(): number {
    return this.#expireAt;
  }

  /** Ends sessions whose time is over. */
  advance(now: number): void {
    if (this.#expireAt > now) return;
    for (const [vni, session] of this.#byVni) {
      if (!isOver(session, now)) continue;
      if (!isOpen(session)) this.#connected(session);
      this.#byVni.delete(vni);
      this.#byPair.delete(session.legs[0].hex + session.legs[1].hex);
    }
    this.#expireAt = this.#byVni.size === 0 ? Infinity : now + EXPIRY_INTERVAL_MS;
  }

  /** The session waits no more. */
  #connected({ asker }: Session): void {
    const left = this.#connecting.get(asker)! - 1;
    if (left === 0) this.#connecting.delete(asker);
    else this.#connecting.set(asker, left);
  }

  #boxWith(disco: Uint8Array): BoxKey | undefined {
    const secret = this.#disco.sharedSecret(disco);
    return secret === undefined ? undefined : new BoxKey(secret);
  }

  /** The next VNI that is free; there are many more than sessions. A number is used again as late as possible. */
  #takeVni(): number {
    for (;;) {
      const vni = this.#nextVni;
      this.#nextVni = vni === MAX_VNI ? 1 : vni + 1;
      if (!this.#byVni.has(vni)) return vni;
    }
  }
}

function leg(disco: Uint8Array, hex: string): Leg {
  return { disco: disco.slice(), hex, generation: 0, addr: 0, lastSeen: 0, packets: 0, bytes: 0, box: undefined };
}

function isOpen({ legs }: Session): boolean {
  return legs[0].addr !== 0 && legs[1].addr !== 0;
}

function isOver(session: Session, now: number): boolean {
  if (!isOpen(session)) return now - session.allocatedAt > BIND_LIFETIME_MS;
  return session.legs.some(({ lastSeen }) => now - lastSeen > STEADY_LIFETIME_MS);
}
