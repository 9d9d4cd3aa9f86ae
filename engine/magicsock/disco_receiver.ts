/**
 * What disco messages do: opens them, sees who may say what, and tells endpoints and the relay client.
 *
 * Nothing from the network is believed before its NaCl box opened, and then only what a peer may say of itself.
 *
 * Source: tailscale.com/wgengine/magicsock `handleDiscoMessage`, `handlePingLocked`.
 */
import { assertNever } from "../../base/assert_never.ts";
import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import type { NodePublic } from "../../base/keys.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import { BoxBudget, SLEEPERS_BURST, SLEEPERS_INTERVAL_MS } from "./box_budget.ts";
import { type DiscoMessage, discoSender, encodePong, openDisco, parseDisco } from "./disco.ts";
import type { DiscoPeer, DiscoPeers } from "./disco_peers.ts";
import type { DiscoSender } from "./disco_sender.ts";
import type { Endpoint } from "./endpoint.ts";
import { DERP_MAGIC_IP, internNodeAddresses } from "./node_address.ts";
import type { RelayClient } from "./relay_client.ts";

/**
 * Where a disco message came from: a UDP address, perhaps a relay server's and then in the session `vni`, from the server
 * itself when `control`; or a DERP region and the node the relay says sent it.
 */
export type DiscoSource = UdpSource | { readonly derp: number; readonly peer: NodePublic };

interface UdpSource {
  readonly addr: AddrId;
  readonly vni?: number;
  readonly control?: boolean;
}

/** Peers that are added when a message of theirs first opens: of thousands most never send one. @param disco 64 hex digits */
export interface DiscoSleepers {
  has(disco: string): boolean;
  /** Adds every peer of this disco key. */
  wake(disco: string): void;
}

/** What a receiver knows, all of it the magicsock's. */
export interface DiscoReceiverOptions {
  readonly addrs: AddrTable;
  /** Endpoints by node key, 64 hex digits. */
  readonly byKey: ReadonlyMap<string, Endpoint>;
  readonly discoPeers: DiscoPeers;
  readonly sender: DiscoSender;
  readonly relays: RelayClient;
  /** Peers that may ask the relay server here. */
  readonly relayUsers: { has(endpoint: Endpoint): boolean };
  readonly sleepers: DiscoSleepers | undefined;
  /** Such a peer asks for a session. */
  relayRequested(endpoint: Endpoint, clients: readonly [Uint8Array, Uint8Array], generation: number): void;
}

export class DiscoReceiver {
  readonly #known: DiscoReceiverOptions;
  /** Failures from addresses that are not known to be the named peer's. */
  readonly #strangers = new BoxBudget();
  readonly #sleepers = new BoxBudget(SLEEPERS_BURST, SLEEPERS_INTERVAL_MS);

  constructor(known: DiscoReceiverOptions) {
    this.#known = known;
  }

  /**
   * Takes a disco message; the bytes are borrowed. @returns why it was of no use, or undefined. A ping seen before is
   * neither answered nor counted.
   */
  handle(message: Uint8Array, source: DiscoSource, now: number): Drop | undefined {
    const sender = discoSender(message);
    if (sender === undefined) return "disco-envelope";
    if ("addr" in source && source.control === true) {
      return this.#known.relays.handshakes.handleControl(message, toHex(sender), source.addr, source.vni ?? 0, now);
    }
    if (this.#known.sender.self === undefined) return "disco-unknown-sender";
    const { discoPeers, sleepers } = this.#known;
    const disco = toHex(sender);
    const awake = discoPeers.find(disco);
    if (awake !== undefined) {
      const payload = open(message, awake, isKnownSource(awake, source) ? awake.budget : this.#strangers, now);
      return typeof payload === "string" ? payload : this.#handle(payload, awake, source, now);
    }
    if (sleepers?.has(disco) !== true) return "disco-unknown-sender";
    // Anybody can name a sender: nobody wakes before the box opened.
    const payload = open(message, discoPeers.stranger(sender), this.#sleepers, now);
    if (typeof payload === "string") return payload;
    sleepers.wake(disco);
    const woken = discoPeers.find(disco);
    return woken === undefined ? "disco-unknown-sender" : this.#handle(payload, woken, source, now);
  }

  #handle(payload: Uint8Array, peer: DiscoPeer, source: DiscoSource, now: number): Drop | undefined {
    const parsed = parseDisco(payload);
    if (typeof parsed === "string") return parsed;
    switch (parsed.type) {
      case "ping":
        return this.#handlePing(parsed, peer, source, now);
      case "pong":
        return this.#handlePong(parsed, peer, source, now);
      case "call-me-maybe":
        return this.#handleCallMeMaybe(parsed, peer, source, now);
      case "call-me-maybe-via":
      case "allocate-request":
      case "allocate-response":
        return this.#handleRelaying(parsed, peer, source, now);
      case "bind":
      case "bind-challenge":
      case "bind-answer":
        // Between a node and a relay server only.
        return "relay-session";
      default:
        return assertNever(parsed);
    }
  }

  #handlePing(
    ping: DiscoMessage & { type: "ping" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    const { addrs, sender } = this.#known;
    const named = ping.nodeKey === undefined ? undefined : this.#known.byKey.get(toHex(ping.nodeKey));
    if (ping.nodeKey !== undefined && (named === undefined || !peer.endpoints.has(named))) {
      return "disco-unknown-sender";
    }
    if ("derp" in source) {
      const endpoint = this.#senderByDerp(peer, source);
      if (typeof endpoint === "string") return endpoint;
      if (named !== undefined && named !== endpoint) return "disco-unknown-sender";
      const pong = encodePong(ping.txId, { ip: DERP_MAGIC_IP, port: source.derp });
      sender.send(peer, pong, { addr: 0, vni: 0, derp: source.derp, node: endpoint.nodeKey });
      return undefined;
    }
    const from = { ip: new Uint8Array(addrs.ip(source.addr)), port: addrs.port(source.addr) };
    if (source.vni !== undefined && source.vni !== 0) {
      // The address is the relay's: no candidate, and answered every time, whether or not we use the session too.
      sender.send(peer, encodePong(ping.txId, from), { addr: source.addr, vni: source.vni, derp: 0 });
      this.#known.relays.handshakes.notePing(source.addr, source.vni, now);
      return undefined;
    }
    // Until a node key says which of several nodes it is, the address is a candidate for each.
    const addr = addrs.pin(source.addr);
    const txId = toHex(ping.txId);
    let fresh = false;
    for (const endpoint of named === undefined ? peer.endpoints : [named]) {
      if (addr === 0 || endpoint.handlePing(addr, txId, now)) fresh = true;
    }
    if (!fresh) return undefined;
    sender.send(peer, encodePong(ping.txId, from), { addr: source.addr, vni: 0, derp: 0 });
    return undefined;
  }

  #handlePong(
    pong: DiscoMessage & { type: "pong" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    const addr = "addr" in source ? source.addr : 0;
    const txId = toHex(pong.txId);
    for (const endpoint of peer.endpoints) if (endpoint.handlePong(txId, addr, now)) return undefined;
    const vni = "addr" in source ? source.vni ?? 0 : 0;
    if (vni !== 0 && this.#known.relays.handshakes.handlePong(txId, addr, vni, now)) return undefined;
    return "disco-unknown-transaction";
  }

  #handleCallMeMaybe(
    message: DiscoMessage & { type: "call-me-maybe" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    const endpoint = this.#senderByDerp(peer, source);
    if (typeof endpoint === "string") return endpoint;
    return endpoint.handleCallMeMaybe(internNodeAddresses(this.#known.addrs, message.endpoints), now)
      ? undefined
      : "disco-rate";
  }

  /** Whose message it is, where only DERP may bring it: the node the relay names, if the disco key is its own. */
  #senderByDerp(peer: DiscoPeer, source: DiscoSource): Endpoint | Drop {
    if ("addr" in source) return "disco-malformed";
    const endpoint = this.#known.byKey.get(source.peer.hex);
    return endpoint !== undefined && peer.endpoints.has(endpoint) ? endpoint : "disco-unknown-sender";
  }

  /** What two nodes and a relay's node say to each other about sessions, by DERP only. */
  #handleRelaying(
    message: DiscoMessage & { type: "call-me-maybe-via" | "allocate-request" | "allocate-response" },
    peer: DiscoPeer,
    source: DiscoSource,
    now: number,
  ): Drop | undefined {
    const endpoint = this.#senderByDerp(peer, source);
    if (typeof endpoint === "string") return endpoint;
    switch (message.type) {
      case "call-me-maybe-via":
        if (!endpoint.takeCallMeMaybe(now)) return "disco-rate";
        return this.#known.relays.handleCallMeMaybeVia(endpoint, message.session, now) ? undefined : "relay-denied";
      case "allocate-response": {
        const expected = this.#known.relays.handleAllocated(endpoint, message.generation, message.session, now);
        return expected ? undefined : "relay-session";
      }
      case "allocate-request": {
        // Who asks must be one of the two.
        const involved = message.clients.some((client) => equalBytes(client, peer.key.bytes));
        if (!involved || !this.#known.relayUsers.has(endpoint)) return "relay-denied";
        this.#known.relayRequested(endpoint, message.clients, message.generation);
        return undefined;
      }
    }
  }
}

/** What the sender sealed, or why it is not known. */
function open(message: Uint8Array, peer: DiscoPeer, budget: BoxBudget, now: number): Uint8Array | Drop {
  if (!budget.allows(now)) return "disco-rate";
  const { box } = peer;
  const payload = box && openDisco(message, box);
  if (payload === undefined) budget.failed(now);
  return payload ?? (box === undefined ? "low-order-key" : "disco-decrypt");
}

/** The message came by a path this peer is known by: an address of its candidates, or a relay, which says who sends. */
function isKnownSource(peer: DiscoPeer, source: DiscoSource): boolean {
  if ("derp" in source) return [...peer.endpoints].some((endpoint) => endpoint.key === source.peer.hex);
  for (const endpoint of peer.endpoints) if (endpoint.knows(source.addr)) return true;
  return false;
}
