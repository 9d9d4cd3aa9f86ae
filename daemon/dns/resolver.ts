/**
 * A question's bytes in, its answer's bytes out.
 *
 * ```
 *   parse ─▶ zone ─┬─ ours: answer, or "no such name"
 *                  └─ not ours ─▶ longest suffix routed ─▶ forwarder
 *                                  none ─▶ SERVFAIL
 * ```
 * A name that belongs to a routed suffix goes to that suffix's servers and to nobody else, whether they answer or not;
 * a name of our zones, and one that stands for no host, goes to nobody (TS-2024-007).
 */
import {
  encodeAnswer,
  encodeName,
  formatError,
  parseQuery,
  RCODE,
  soaData,
  truncated,
  TYPE,
} from "../../base/dns_message.ts";
import type { IpBytes } from "../../base/ip.ts";
import { MAX_UDP_RESPONSE } from "../../base/dns_message.ts";
import type { Answer, Query } from "../../base/dns_message.ts";
import type { Forwarder } from "./forwarder.ts";
import { longestSuffix } from "./names.ts";
import type { DnsPlan } from "./plan.ts";
import { parseUpstream } from "./upstream.ts";
import type { Upstream } from "./upstream.ts";
import { isNeverForwarded, Zone } from "./zone.ts";
import type { LocalAnswer } from "./zone.ts";

/** Seconds a record, and the lack of one, may be kept (resolver.defaultTTL, negativeTTL). */
const TTL = 5;
const NEGATIVE_TTL = 10;
const CLASS_IN = 1;

/** What came of a question. */
export interface Resolved {
  readonly bytes: Uint8Array;
  /** Servers it was sent on to; empty when it was answered here. */
  readonly upstreams: readonly Upstream[];
}

/** Questions and answers by kind. */
export interface ResolverCounts {
  local: number;
  forwarded: number;
  malformed: number;
}

/** Answers by one plan after another. */
export class Resolver {
  readonly #forwarder: Forwarder;
  readonly #wall: () => number;
  #zone: Zone | undefined;
  #routes: ReadonlyMap<string, readonly Upstream[]> = new Map();
  readonly counts: ResolverCounts = { local: 0, forwarded: 0, malformed: 0 };

  /** @param wall Unix milliseconds; serials are made of it. */
  constructor(forwarder: Forwarder, wall: () => number) {
    this.#forwarder = forwarder;
    this.#wall = wall;
  }

  /** Answers by this plan from now on; undefined for none: every question is refused. */
  setPlan(plan: DnsPlan | undefined): void {
    this.#zone = plan === undefined ? undefined : new Zone(plan.zone);
    const usable = [...plan?.routes ?? []].map(([suffix, resolvers]) =>
      [suffix, resolvers.flatMap((resolver) => parseUpstream(resolver) ?? [])] as const
    );
    this.#routes = new Map(usable);
  }

  /** Undefined for what is not to be answered at all. */
  async resolve(bytes: Uint8Array, transport: "udp" | "tcp"): Promise<Resolved | undefined> {
    const query = parseQuery(bytes);
    if (query === undefined) return undefined;
    if (query === "malformed") {
      this.counts.malformed++;
      return { bytes: formatError(bytes), upstreams: [] };
    }
    const local = this.#answer(query);
    if (local !== undefined) {
      this.counts.local++;
      return { bytes: encodeAnswer(query, local), upstreams: [] };
    }
    this.counts.forwarded++;
    const upstreams = this.upstreams(query.question.name);
    const response = await this.#forwarder.forward(query, bytes, upstreams);
    const most = transport === "tcp" ? 0xffff : Math.min(query.udpSize, MAX_UDP_RESPONSE);
    return { bytes: response.length > most ? truncated(query, response) : response, upstreams };
  }

  /** Addresses of a name we answer for, whoever may ask for it. @param name canonical */
  addresses(name: string): readonly IpBytes[] {
    return [TYPE.A, TYPE.AAAA].flatMap((type) => {
      const found = this.#zone?.lookup(name, type);
      return found?.kind === "addresses" ? found.addresses : [];
    });
  }

  /** Servers of the longest routed suffix of a name. */
  upstreams(name: string): readonly Upstream[] {
    const suffix = longestSuffix(name, this.#routes);
    return suffix === undefined ? [] : this.#routes.get(suffix)!;
  }

  /** Our own answer; undefined for what is to be sent on. */
  #answer({ question: { name, type, class: cls } }: Query): Answer | undefined {
    if (this.#zone === undefined) return { rcode: RCODE.refused };
    if (cls !== CLASS_IN) return undefined;
    const found = this.#zone.lookup(name, type);
    if (found.kind !== "not-ours") return this.#encode(found);
    // A company's own `.local` is routed to its servers, and goes there alone.
    const routed = longestSuffix(name, this.#routes) || "";
    return routed === "" && isNeverForwarded(name) ? { rcode: RCODE.nameError } : undefined;
  }

  #encode(found: Exclude<LocalAnswer, { readonly kind: "not-ours" }>): Answer {
    switch (found.kind) {
      case "addresses":
        return {
          rcode: RCODE.success,
          authoritative: true,
          records: found.addresses.map((data) => ({ type: data.length === 4 ? TYPE.A : TYPE.AAAA, ttl: TTL, data })),
        };
      case "name": {
        const data = encodeName(found.name);
        if (data === undefined) return { rcode: RCODE.serverFailure };
        return { rcode: RCODE.success, authoritative: true, records: [{ type: TYPE.PTR, ttl: TTL, data }] };
      }
      case "no-data":
        return { rcode: RCODE.success, authoritative: true, ...this.#soa(found.zone) };
      case "no-name":
        return { rcode: RCODE.nameError, authoritative: true, ...this.#soa(found.zone) };
      case "not-implemented":
        return { rcode: RCODE.notImplemented };
    }
  }

  #soa(zone: string | undefined): Pick<Answer, "soa"> {
    const wire = zone === undefined ? undefined : encodeName(zone);
    if (wire === undefined) return {};
    const data = soaData(wire, Math.floor(this.#wall() / 1000), NEGATIVE_TTL);
    return { soa: { zone: wire, record: { type: TYPE.SOA, ttl: NEGATIVE_TTL, data } } };
  }
}
