/**
 * How far a relay is when UDP does not get through: the time of one small HTTPS request on a connection that stands.
 * Source: netcheck.measureHTTPSLatency, derper's `/derp/latency-check`.
 */
import type { Scheduler } from "../base/clock.ts";
import { utf8 } from "../base/bytes.ts";
import type { DERPNode } from "../derp/derp_map.ts";
import type { DerpDial } from "../derp/stream.ts";

/** Milliseconds from request to first byte of the answer, or undefined when there is none in time. Never rejects. */
export async function httpsLatency(
  dial: DerpDial,
  scheduler: Scheduler,
  node: DERPNode,
  timeoutMs: number,
): Promise<number | undefined> {
  const gone = new AbortController();
  const timer = scheduler.after(timeoutMs, () => gone.abort(new Error("timed out")));
  try {
    const { duplex, host } = await dial(node, gone.signal);
    try {
      const began = scheduler.monotonic();
      const answered = new Promise<boolean>((resolve) => {
        duplex.once("data", (bytes: Uint8Array) => resolve(isAnswer(bytes)));
        for (const event of ["error", "close", "end"]) duplex.once(event, () => resolve(false));
        gone.signal.addEventListener("abort", () => resolve(false), { once: true });
      });
      duplex.write(utf8(`GET /derp/latency-check HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
      return await answered ? scheduler.monotonic() - began : undefined;
    } finally {
      duplex.on("error", () => {});
      duplex.destroy();
    }
  } catch {
    return undefined;
  } finally {
    timer.cancel();
  }
}

/** A relay without the path answers 404, which takes as long. */
function isAnswer(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(0, 9)) === "HTTP/1.1 ";
}
