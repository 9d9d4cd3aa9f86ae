/** The UDP address of a peer in use, its own or a relay server's, and how long it is trusted to carry traffic without DERP's help. */
import type { AddrId } from "../ports.ts";
import { type AddrQuality, betterAddr } from "./better_addr.ts";
import { GENEVE_LENGTH } from "../geneve.ts";
import { SAFE_WIRE_MTU, TRUST_UDP_ADDR_MS } from "./constants.ts";

/** `bestAddr`, `trustBestAddrUntil` of tailscale.com/wgengine/magicsock, and the rules that move them. */
export class BestPath {
  #quality: AddrQuality | undefined;
  #trustUntil = -Infinity;

  /** 0 for none. */
  get addr(): AddrId {
    return this.#quality?.addr ?? 0;
  }

  /** The session at the relay server whose address it is, 0 for a direct path. */
  get vni(): number {
    return this.#quality?.vni ?? 0;
  }

  /** Disco key of that server, 64 hex digits; "" for a direct path. */
  get relay(): string {
    return this.#quality?.relay ?? "";
  }

  /** The address while it is trusted, otherwise 0. */
  trusted(now: number): AddrId {
    return this.#quality !== undefined && now <= this.#trustUntil ? this.#quality.addr : 0;
  }

  /** True while traffic goes to the peer's own address alone. */
  isDirect(now: number): boolean {
    return this.vni === 0 && this.trusted(now) !== 0;
  }

  /** Whether this is what is in use. */
  is({ addr, vni }: { addr: AddrId; vni: number }): boolean {
    return this.#quality?.addr === addr && this.#quality.vni === vni;
  }

  /** Milliseconds of trust that are left, 0 for none. */
  trustLeft(now: number): number {
    return this.#quality === undefined ? 0 : Math.max(0, this.#trustUntil - now);
  }

  get latencyMs(): number {
    return this.#quality?.latencyMs ?? Infinity;
  }

  /** A pong showed that this address works: it is taken when better, or when the present one is not trusted. */
  offer(pong: AddrQuality, now: number): void {
    if (now > this.#trustUntil || betterAddr(pong, this.#quality)) this.#quality = pong;
    if (this.#quality === undefined || !this.is(pong)) return;
    this.#quality = { ...this.#quality, latencyMs: pong.latencyMs };
    this.trust(now + TRUST_UDP_ADDR_MS);
  }

  /**
   * A new session at a relay server works. It replaces another at the same server, whichever is faster: the server takes
   * packets from the address that bound last, and from no other. `endpoint.udpRelayEndpointReady`.
   */
  offerRelay(pong: AddrQuality, now: number): void {
    if (pong.relay !== this.relay) return this.offer(pong, now);
    this.#quality = pong;
    this.trust(now + TRUST_UDP_ADDR_MS);
  }

  /** Uses an address that nothing is known of but that WireGuard data came, or is hoped to come, from it. */
  roam(addr: AddrId, ip: Uint8Array): void {
    this.#quality = { addr, vni: 0, relay: "", ip, latencyMs: 0, wireMtu: SAFE_WIRE_MTU };
  }

  trust(until: number): void {
    this.#trustUntil = until;
  }

  /** Keeps the address but no longer alone. */
  distrust(): void {
    this.#trustUntil = -Infinity;
  }

  clear(): void {
    this.#quality = undefined;
    this.#trustUntil = -Infinity;
  }

  /** True when a disco message padded to `size` bytes is known to pass. */
  fits(size: number): boolean {
    return this.#quality !== undefined && wireLength(size, this.#quality.ip, this.vni) <= this.#quality.wireMtu;
  }
}

/** Bytes of the IP packet that carries a disco message of `size` to `ip`; what every path carries when 0. */
export function wireLength(size: number, ip: Uint8Array, vni: number): number {
  return size === 0 ? SAFE_WIRE_MTU : size + (ip.length === 4 ? 20 : 40) + 8 + (vni === 0 ? 0 : GENEVE_LENGTH);
}
