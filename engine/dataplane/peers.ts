/**
 * Who the peers are. Most of a large tailnet never speak to this node, so they sleep: a record outside the garbage-collected
 * heap, a name in one table or two, and numbers in the routes. Ten thousand peers as objects made collections of 60 to
 * 150 ms, for which every packet waited.
 *
 * ```
 *   upsert ─▶ asleep ──── a packet for one of its prefixes (`at`), a handshake it proved to be its own (`byKey`),
 *               │         disco that its disco key sealed (`wakeDisco`), a command that names it (`byKey`)
 *               ▼
 *             awake: `PlanePeer`, its WireGuard and its paths, until it is removed
 * ```
 * A peer has a number from 1 as long as it is known, which is what its prefixes belong to.
 */
import { parsePrefix } from "../../base/ip.ts";
import type { PeerConfig } from "../config.ts";
import { sameTexts } from "../diff.ts";
import { AllowedIps } from "../wg/allowed_ips.ts";
import type { PlanePeer } from "./plane_peer.ts";
import { decodeJson } from "./records.ts";
import type { Command } from "./records.ts";
import { RecordStore } from "./record_store.ts";

/** Makes a peer that can be spoken to. @param number what it is known by in the routes */
export type WakePeer = (config: PeerConfig, number: number) => PlanePeer;

/** The peers of one plane, and whose an inner address is. */
export class Peers {
  readonly #wake: WakePeer;
  readonly #routes = new AllowedIps();
  readonly #numbers = new Map<string, number>();
  /** By number: who is awake, and the record of who is not. */
  readonly #awake: (PlanePeer | undefined)[] = [undefined];
  readonly #asleep: number[] = [0];
  /** Several nodes may have one disco key: the first of each, and by number the next, 0 for none. */
  readonly #byDisco = new Map<string, number>();
  readonly #sameDisco: number[] = [0];
  readonly #free: number[] = [];
  readonly #store = new RecordStore();

  constructor(wake: WakePeer) {
    this.#wake = wake;
  }

  /** How many are known, and how many of them are awake. */
  get counts(): { readonly known: number; readonly awake: number } {
    return { known: this.#numbers.size, awake: [...this.awake()].length };
  }

  /**
   * Adds a peer or changes what is known of it.
   * @param record the command that says so, borrowed
   * @returns the peer when it was awake, for its owner to tell it
   */
  upsert(record: Uint8Array, config: PeerConfig): PlanePeer | undefined {
    const known = this.#numbers.get(config.key);
    const number = known ?? this.#add(config.key);
    const before = known === undefined ? undefined : this.#config(number);
    if (before === undefined || !sameTexts(before.allowedIps, config.allowedIps)) {
      this.#route(number, config.allowedIps);
    }
    if (before?.disco !== config.disco) {
      if (before !== undefined) this.#unlist(before.disco, number);
      this.#list(config.disco, number);
    }
    const awake = this.#awake[number];
    if (awake !== undefined) awake.config = config;
    else this.#keep(number, record);
    // A relay server is looked for among those who are awake; those of one disco key wake together.
    if (config.relay?.serves === true) this.#rouse(number);
    if (this.#anyAwake(config.disco)) this.wakeDisco(config.disco);
    return awake;
  }

  /** Forgets a peer. @returns it, when it was awake, for its owner to end */
  remove(key: string): PlanePeer | undefined {
    const number = this.#numbers.get(key);
    if (number === undefined) return undefined;
    this.#unlist(this.#config(number).disco, number);
    this.#numbers.delete(key);
    this.#routes.removeOwner(number);
    const awake = this.#awake[number];
    this.#awake[number] = undefined;
    this.#keep(number, undefined);
    this.#free.push(number);
    return awake;
  }

  /** The peer of a number, woken; undefined for 0. */
  at(number: number): PlanePeer | undefined {
    const awake = this.#awake[number];
    if (awake !== undefined || number === 0) return awake;
    const peer = this.#rouse(number);
    this.wakeDisco(peer.config.disco);
    return peer;
  }

  /** The peer of a node key, woken. @param key 64 hex digits */
  byKey(key: string): PlanePeer | undefined {
    return this.at(this.#numbers.get(key) ?? 0);
  }

  /** The peer of a node key unless it sleeps. @param key 64 hex digits */
  awakeByKey(key: string): PlanePeer | undefined {
    return this.#awake[this.#numbers.get(key) ?? 0];
  }

  /** Whether there is such a peer, awake or not. @param key 64 hex digits */
  knows(key: string): boolean {
    return this.#numbers.has(key);
  }

  /** Whether some peer has this disco key. @param disco 64 hex digits */
  knowsDisco(disco: string): boolean {
    return this.#byDisco.has(disco);
  }

  /** Wakes every peer of a disco key. @param disco 64 hex digits */
  wakeDisco(disco: string): void {
    for (let at = this.#byDisco.get(disco) ?? 0; at !== 0; at = this.#sameDisco[at]) this.#rouse(at);
  }

  /** Those who are awake. */
  *awake(): IterableIterator<PlanePeer> {
    for (const peer of this.#awake) if (peer !== undefined) yield peer;
  }

  /** Number of the peer that owns an IPv4 address, 0 for none. */
  owner4(ip: number): number {
    return this.#routes.lookup4(ip);
  }

  /** Number of the peer that owns an IPv6 address, 0 for none. */
  owner6(a: number, b: number, c: number, d: number): number {
    return this.#routes.lookup6(a, b, c, d);
  }

  /** The peer that owns an inner address of 4 or 16 bytes, woken. */
  ownerOf(ip: Uint8Array): PlanePeer | undefined {
    const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
    const word = (i: number) => view.getUint32(i * 4);
    return this.at(ip.length === 4 ? this.owner4(word(0)) : this.owner6(word(0), word(1), word(2), word(3)));
  }

  #add(key: string): number {
    const number = this.#free.pop() ?? this.#awake.length;
    this.#awake[number] = undefined;
    this.#asleep[number] = this.#sameDisco[number] = 0;
    this.#numbers.set(key, number);
    return number;
  }

  #route(number: number, allowedIps: readonly string[]): void {
    this.#routes.removeOwner(number);
    for (const text of allowedIps) {
      const prefix = parsePrefix(text);
      if (prefix !== undefined) this.#routes.insert(prefix, number);
    }
  }

  #config(number: number): PeerConfig {
    const awake = this.#awake[number];
    if (awake !== undefined) return awake.config;
    return decodeJson<Command & { kind: "peer" }>(this.#store.get(this.#asleep[number])).peer;
  }

  #rouse(number: number): PlanePeer {
    const awake = this.#awake[number];
    if (awake !== undefined) return awake;
    const config = this.#config(number);
    this.#keep(number, undefined);
    return this.#awake[number] = this.#wake(config, number);
  }

  /** Replaces the record of a peer that sleeps; undefined for one that does no more. */
  #keep(number: number, record: Uint8Array | undefined): void {
    if (this.#asleep[number] !== 0) this.#store.free(this.#asleep[number]);
    this.#asleep[number] = record === undefined ? 0 : this.#store.put(record);
  }

  #anyAwake(disco: string): boolean {
    for (let at = this.#byDisco.get(disco) ?? 0; at !== 0; at = this.#sameDisco[at]) {
      if (this.#awake[at] !== undefined) return true;
    }
    return false;
  }

  /** @param disco "" for a peer without */
  #list(disco: string, number: number): void {
    if (disco === "") return;
    this.#sameDisco[number] = this.#byDisco.get(disco) ?? 0;
    this.#byDisco.set(disco, number);
  }

  #unlist(disco: string, number: number): void {
    const next = this.#sameDisco[number];
    this.#sameDisco[number] = 0;
    const first = this.#byDisco.get(disco) ?? 0;
    if (first === number) {
      if (next === 0) this.#byDisco.delete(disco);
      else this.#byDisco.set(disco, next);
      return;
    }
    for (let at = first; at !== 0; at = this.#sameDisco[at]) {
      if (this.#sameDisco[at] === number) this.#sameDisco[at] = next;
    }
  }
}
