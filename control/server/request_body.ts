/** The body of a request, bounded. */
import type { Readable } from "node:stream";
import { concat } from "../../base/bytes.ts";

/** Largest body of a node's request. Source: Tailscale's control takes 1 MiB. */
export const MAX_BODY = 1 << 20;

/** All bytes of the stream; undefined when there are more than `limit`. Rejects when the stream breaks off. */
export function readBody(stream: Readable, limit = MAX_BODY): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Uint8Array) => {
      length += chunk.length;
      if (length <= limit) chunks.push(chunk);
      else resolve(undefined);
    });
    stream.once("end", () => resolve(concat(...chunks)));
    stream.once("error", reject);
    stream.once("close", () => reject(new Error("Cannot read a request: it broke off")));
  });
}
