/** One whole message from a stream that goes on as something else behind it. */
import type { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { concat } from "./bytes.ts";

/**
 * Waits until `parse` finds a message in what has come; what came behind it is put back, and the stream is paused.
 * Rejects with what was seen instead, or with the signal's reason; the stream stays the caller's to destroy.
 * @param parse undefined while `bytes` has no whole message, a text when it is none; bounds what is kept
 */
export function readMessage<T extends { readonly length: number }>(
  stream: Duplex,
  parse: (bytes: Uint8Array) => T | string | undefined,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let bytes: Uint8Array = new Uint8Array(0);
    const settle = (run: () => void) => {
      signal.removeEventListener("abort", onAbort);
      stream.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onError);
      run();
    };
    const onAbort = () => settle(() => reject(signal.reason));
    const onError = (error: Error) => settle(() => reject(error));
    const onEnd = () => settle(() => reject(new Error("the connection was closed before an answer")));
    const onData = (chunk: Buffer) => {
      bytes = concat(bytes, chunk);
      const seen = parse(bytes);
      if (seen === undefined) return;
      settle(() => {
        stream.pause();
        if (typeof seen === "string") return reject(new Error(seen));
        if (bytes.length > seen.length) stream.unshift(bytes.subarray(seen.length));
        resolve(seen);
      });
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onError);
    // The message before left it paused.
    stream.resume();
  });
}
