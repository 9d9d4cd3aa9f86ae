/** The UDP address of a peer in use, and how long it is trusted to carry traffic without DERP's help. */
import type { AddrId } from "../ports.ts";
import { type AddrQuality, betterAddr } from "./better_addr.ts";
import { SAFE_WIRE_MTU, TRUST_UDP_ADDR_MS } from "./constants.ts";

/** `bestAddr`, `trustBestAddrUntil` of tailscale.com/wgengine/magicsock, and the rules that move them. */
export class BestPath {
  #quality: AddrQuality | undefined;
  #trustUntil = -Infinity;

  /** 0 for none. */
  get addr(): AddrId {
    return this.#quality?.addr ?? 0;
  }

  /** The address while it is trusted, otherwise 0. */
  trusted(now: number): AddrId {
    return this.#quality !== undefined && now <= this.#trustUntil ? this.#quality.addr : 0;
  }

  get latencyMs(): number {
    return this.#quality?.latencyMs ?? Infinity;
  }

  /** A pong showed that this address works: it is taken when better, or when the present one is not trusted. */
  offer(pong: AddrQuality, now: number): void {
    if (now > this.#trustUntil || betterAddr(pong, this.#quality)) this.#quality = pong;
    if (this.#quality?.addr !== pong.addr) return;
    this.#quality = { ...this.#quality, latencyMs: pong.latencyMs };
    this.trust(now + TRUST_UDP_ADDR_MS);
  }

  /** Uses an address that nothing is known of but that WireGuard data came, or is hoped to come, from it. */
  roam(addr: AddrId, ip: Uint8Array): void {
    this.#quality = { addr, ip, latencyMs: 0, wireMtu: SAFE_WIRE_MTU };
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
    return this.#quality !== undefined && wireLength(size, this.#quality.ip) <= this.#quality.wireMtu;
  }
}

/** Bytes of the IP packet that carries a disco message of `size` to `ip`; what every path carries when 0. */
export function wireLength(size: number, ip: Uint8Array): number {
  return size === 0 ? SAFE_WIRE_MTU : size + (ip.length === 4 ? 20 : 40) + 8;
}
