/**
 * Remembers own endpoints that STUN or the interfaces no longer show, and has them told to peers for another five
 * minutes: an endpoint that flaps is not withdrawn and announced again. For whoever collects local endpoints.
 *
 * Source: tailscale.com/wgengine/magicsock `endpointTracker`.
 */
import { parseAddrPort } from "../../base/ip.ts";
import { toHex } from "../../base/bytes.ts";
import type { LocalEndpoint } from "../config.ts";
import { ENDPOINT_TRACKER_LIFETIME_MS, ENDPOINT_TRACKER_MAX_PER_IP } from "./constants.ts";

interface Tracked {
  readonly endpoint: LocalEndpoint;
  until: number;
}

export class EndpointTracker {
  /** By IP address, oldest first. */
  readonly #byIp = new Map<string, Tracked[]>();

  /** The endpoints found now, first and in their order, then those seen within the last 5 min 10 s. */
  update(found: readonly LocalEndpoint[], now: number): LocalEndpoint[] {
    for (const endpoint of found) this.#remember(endpoint, now + ENDPOINT_TRACKER_LIFETIME_MS);
    const told = new Set(found.map((endpoint) => endpoint.addr));
    const all = [...found];
    for (const [ip, tracked] of this.#byIp) {
      const kept = tracked.filter((entry) => entry.until >= now).slice(-ENDPOINT_TRACKER_MAX_PER_IP);
      if (kept.length === 0) this.#byIp.delete(ip);
      else this.#byIp.set(ip, kept);
      for (const { endpoint } of kept) {
        if (told.has(endpoint.addr)) continue;
        told.add(endpoint.addr);
        all.push(endpoint);
      }
    }
    return all;
  }

  #remember(endpoint: LocalEndpoint, until: number): void {
    const parsed = parseAddrPort(endpoint.addr);
    if (parsed === undefined) return;
    const ip = toHex(parsed.ip);
    const others = (this.#byIp.get(ip) ?? []).filter(({ endpoint: old }) =>
      old.addr !== endpoint.addr || old.type !== endpoint.type
    );
    this.#byIp.set(ip, [...others, { endpoint, until }]);
  }
}
