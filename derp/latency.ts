/**
 * The latency of a relay over HTTPS, for machines whose UDP is blocked: the time of one small request on a connection
 * that is already open, which a TLS proxy in between lengthens as it lengthens DERP itself.
 * Source: net/netcheck.measureHTTPSLatency.
 */
import type { Scheduler } from "../base/clock.ts";
import { utf8 } from "../base/bytes.ts";
import { readHttpHead } from "../base/http_head.ts";
import type { DERPNode, DERPRegion } from "./derp_map.ts";
import type { DerpDial } from "./stream.ts";

/**
 * Makes netcheck's port: milliseconds to one node, or undefined when it did not answer in time. An answer that is no 2xx
 * is that of something in between which lets nobody through. Never rejects.
 */
export function createHttpsLatency(
  dial: DerpDial,
  scheduler: Scheduler,
): (region: DERPRegion, node: DERPNode, timeoutMs: number) => Promise<number | undefined> {
  return async (_region, node, timeoutMs) => {
    const ended = new AbortController();
    const timer = scheduler.after(timeoutMs, () => ended.abort(new Error("timed out")));
    try {
      const { duplex, host } = await dial(node, ended.signal);
      duplex.on("error", () => {});
      try {
        const start = scheduler.monotonic();
        duplex.write(utf8(`GET /derp/latency-check HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
        const { status } = await readHttpHead(duplex, ended.signal);
        return status >= 200 && status < 300 ? scheduler.monotonic() - start : undefined;
      } finally {
        duplex.destroy();
      }
    } catch {
      return undefined;
    } finally {
      timer.cancel();
    }
  };
}
