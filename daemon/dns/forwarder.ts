/**
 * Sends a question on to servers and takes the first good answer.
 *
 * ```
 *   known public server ─▶ HTTPS at once; plain after 500 ms; its second address 200 ms after the first
 *   plain:  UDP ─▶ cut short? ─▶ TCP
 *             └─▶ 2 s without an answer ─▶ TCP beside it
 *   SERVFAIL, REFUSED, silence of one server: the next one's answer counts; of all: SERVFAIL, or REFUSED by all
 * ```
 * Never fails: the worst is SERVFAIL. Each question goes out with a number and a port of its own (RFC 5452), and what
 * comes back counts only if it answers that question. Source: net/dns/resolver/forwarder.go.
 */
import { encodeAnswer, RCODE, responseTo } from "../../base/dns_message.ts";
import type { Query } from "../../base/dns_message.ts";
import { sleep } from "../../base/clock.ts";
import type { Scheduler } from "../../base/clock.ts";
import { formatIp } from "../../base/ip.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { dohOf } from "./upstream.ts";
import type { DohServer, Upstream } from "./upstream.ts";

/** How messages travel; `dns_transport.ts` is the machine's. All reject when the signal fires. */
export interface DnsTransport {
  /** The first datagram that `accept` takes. */
  udp(
    to: AddrPort,
    query: Uint8Array,
    accept: (bytes: Uint8Array) => boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  tcp(to: AddrPort, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  https(to: DohServer, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** What a forwarder works with. */
export interface ForwarderOptions {
  readonly transport: DnsTransport;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** Asks known public servers as they are named too, by plain DNS alone. */
  readonly plainOnly?: boolean;
  /** All servers of a question failed, by their texts; or undefined when one answered again. */
  readonly failing?: (servers: string | undefined) => void;
}

/** Questions on their way at once; one more is answered with SERVFAIL (resolver.maxActiveQueries). */
export const MAX_ACTIVE = 256;
const DOH_HEAD_START_MS = 500;
const SECOND_ADDRESS_MS = 200;
const UDP_RACE_MS = 2_000;
const TOTAL_MS = 10_000;

interface Attempt {
  readonly delayMs: number;
  readonly run: (signal: AbortSignal) => Promise<Uint8Array>;
}

/** The forwarder. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  #active = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** Questions on their way. */
  get active(): number {
    return this.#active;
  }

  /** The answer of the first of these servers that has one, as bytes for the asker. @param bytes the query as it came */
  async forward(query: Query, bytes: Uint8Array, upstreams: readonly Upstream[]): Promise<Uint8Array> {
    if (upstreams.length === 0 || this.#active >= MAX_ACTIVE) {
      return encodeAnswer(query, { rcode: RCODE.serverFailure });
    }
    this.#active++;
    try {
      return await this.#race(query, bytes, upstreams);
    } finally {
      this.#active--;
    }
  }

  async #race(query: Query, bytes: Uint8Array, upstreams: readonly Upstream[]): Promise<Uint8Array> {
    const { scheduler, random, failing } = this.#options;
    const id = random(2);
    const sent = bytes.slice();
    sent.set(id);
    const asked = { ...query, id: id[0] << 8 | id[1] };
    const race = new AbortController();
    const deadline = scheduler.after(TOTAL_MS, () => race.abort(new Error("no answer")));
    const refusals: Uint8Array[] = [];
    let failures = 0;
    try {
      const attempts = this.#attempts(asked, sent, upstreams);
      const answer = await Promise.any(attempts.map(async ({ delayMs, run }) => {
        try {
          if (delayMs > 0) await sleep(scheduler, delayMs, race.signal);
          const response = await run(race.signal);
          const read = responseTo(asked, response);
          if (read === undefined) throw new Error("not an answer to the question");
          if (read.rcode === RCODE.refused) refusals.push(response);
          if (read.rcode === RCODE.refused || read.rcode === RCODE.serverFailure) throw new Error("refused");
          return response;
        } catch (cause) {
          failures++;
          throw cause;
        }
      }));
      failing?.(undefined);
      return restored(answer, query);
    } catch {
      if (refusals.length > 0 && refusals.length === failures) return restored(refusals[0], query);
      failing?.(upstreams.map(({ text }) => text).join(", "));
      return encodeAnswer(query, { rcode: RCODE.serverFailure });
    } finally {
      deadline.cancel();
      race.abort(new Error("another server answered"));
    }
  }

  #attempts(query: Query, bytes: Uint8Array, upstreams: readonly Upstream[]): Attempt[] {
    const { transport, plainOnly } = this.#options;
    const attempts: Attempt[] = [];
    const seen = new Map<string, number>();
    const https = (server: DohServer): Attempt => ({
      delayMs: 0,
      run: async (signal) => {
        // RFC 8484 4.1: 0, so that caches on the way serve all askers alike.
        const neutral = bytes.slice();
        neutral.set([0, 0]);
        const response = (await transport.https(server, neutral, signal)).slice();
        if (response.length >= 2) response.set(bytes.subarray(0, 2));
        return response;
      },
    });
    for (const upstream of upstreams) {
      if (upstream.kind === "doh") {
        attempts.push(https(upstream.server));
        continue;
      }
      const { server } = upstream;
      const doh = server.port === 53 && !plainOnly ? dohOf(formatIp(server.ip)) : undefined;
      let delayMs = 0;
      if (doh !== undefined) {
        const before = seen.get(doh.url) ?? 0;
        if (before === 0) attempts.push(https(doh));
        seen.set(doh.url, before + 1);
        delayMs = DOH_HEAD_START_MS + before * SECOND_ADDRESS_MS;
      }
      attempts.push({ delayMs, run: (signal) => this.#plain(query, bytes, server, signal) });
    }
    return attempts;
  }

  /** UDP, and TCP where UDP's answer is cut short or does not come. */
  async #plain(query: Query, bytes: Uint8Array, server: AddrPort, outer: AbortSignal): Promise<Uint8Array> {
    const { transport, scheduler } = this.#options;
    const accept = (response: Uint8Array) => responseTo(query, response) !== undefined;
    const own = new AbortController();
    const signal = AbortSignal.any([outer, own.signal]);
    let cut: Uint8Array | undefined;
    const failed = new AbortController();
    const byUdp = (async () => {
      try {
        const response = await transport.udp(server, bytes, accept, signal);
        if (responseTo(query, response)?.cut !== true) return response;
        cut = response;
        throw new Error("cut short");
      } catch (cause) {
        failed.abort();
        throw cause;
      }
    })();
    const byTcp = (async () => {
      await sleep(scheduler, UDP_RACE_MS, AbortSignal.any([failed.signal, signal])).catch(() => {});
      signal.throwIfAborted();
      return await transport.tcp(server, bytes, signal);
    })();
    try {
      return await Promise.any([byUdp, byTcp]);
    } catch (error) {
      // Half an answer, marked so, is better than none.
      if (cut !== undefined) return cut;
      throw error;
    } finally {
      own.abort(new Error("answered"));
    }
  }
}

/** With the number the asker gave. */
function restored(response: Uint8Array, query: Query): Uint8Array {
  const out = response.slice();
  out.set([query.id >> 8, query.id & 0xff]);
  return out;
}
