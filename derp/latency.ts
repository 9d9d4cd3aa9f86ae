/**
 * The latency of a relay over HTTPS, for machines whose UDP is blocked: the time of one small request on a connection
 * that is already open, which a TLS proxy in between lengthens as it lengthens DERP itself.
 * Source: net/netcheck.measureHTTPSLatency.
 */
import type { Duplex } from "node:stream";
import type { Scheduler } from "../base/clock.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import type { DERPNode, DERPRegion } from "./derp_map.ts";
import type { DerpDial } from "./stream.ts";

const MAX_HEAD = 8192;

/** Makes netcheck's port: milliseconds to one node, or undefined when it did not answer in time. Never rejects. */
export function createHttpsLatency(
  dial: DerpDial,
  scheduler: Scheduler,
): (region: DERPRegion, node: DERPNode, timeoutMs: number) => Promise<number | undefined> {
  return async (_region, node, timeoutMs) => {
    const ended = new AbortController();
    const timer = scheduler.after(timeoutMs, () => ended.abort(new Error("timed out")));
    try {
      const { duplex, host } = await dial(node, ended.signal);
      const start = scheduler.monotonic();
      const answered = await request(duplex, host, ended.signal);
      return answered ? scheduler.monotonic() - start : undefined;
    } catch {
      return undefined;
    } finally {
      timer.cancel();
    }
  };
}

/** True when the answer's status is 2xx; anything else comes from something other than the relay. */
function request(duplex: Duplex, host: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let head = "";
    const settle = (run: () => void) => {
      signal.removeEventListener("abort", onAbort);
      duplex.destroy();
      run();
    };
    const onAbort = () => settle(() => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) return onAbort();
    duplex.on("error", (error: Error) => settle(() => reject(error)));
    duplex.on("close", () => settle(() => resolve(false)));
    duplex.on("data", (chunk: Uint8Array) => {
      head += fromUtf8(chunk) ?? "";
      if (!head.includes("\r\n") && head.length < MAX_HEAD) return;
      settle(() => resolve(/^HTTP\/1\.[01] 2\d\d/.test(head)));
    });
    duplex.write(utf8(`GET /derp/latency-check HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
  });
}
