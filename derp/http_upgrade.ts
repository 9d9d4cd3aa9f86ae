/** The HTTP/1.1 request that turns a connection into a DERP stream, and its answer. */
import { concat, utf8 } from "../base/bytes.ts";
import { parseHttpHead } from "../base/http_head.ts";

/** Says that the client will not wait for a 101 (`derp.FastStartHeader`). */
export const FAST_START_HEADER = "Derp-Fast-Start";
/** Names the node the client would have liked to reach (`derp.IdealNodeHeader`). */
export const IDEAL_NODE_HEADER = "Ideal-Node";

/** What varies in the request. */
export interface UpgradeRequest {
  readonly host: string;
  /** Name of the region's first node when connecting to another one. */
  readonly idealNode?: string;
  readonly fastStart: boolean;
}

/** The request's bytes, or undefined when a name from the DERP map would break out of its line. */
export function encodeUpgradeRequest(request: UpgradeRequest): Uint8Array<ArrayBuffer> | undefined {
  const { host, idealNode, fastStart } = request;
  const lines = ["GET /derp HTTP/1.1", `Host: ${host}`, "Connection: Upgrade", "Upgrade: DERP", "User-Agent: agent"];
  if (idealNode !== undefined) lines.push(`${IDEAL_NODE_HEADER}: ${idealNode}`);
  if (fastStart) lines.push(`${FAST_START_HEADER}: 1`);
  // deno-lint-ignore no-control-regex -- these are what must not be in a header
  if (lines.some((line) => /[\x00-\x1f\x7f]/.test(line))) return undefined;
  return utf8(lines.join("\r\n") + "\r\n\r\n");
}

/** What the answer's bytes amount to so far. */
export type UpgradeAnswer =
  | { readonly kind: "more" }
  /** The stream is DERP's from `rest` on. */
  | { readonly kind: "switched"; readonly rest: Uint8Array }
  | { readonly kind: "refused"; readonly status: string };

/** Collects an answer that may come in pieces; bounded. */
export class UpgradeReader {
  #bytes: Uint8Array = new Uint8Array(0);

  push(chunk: Uint8Array): UpgradeAnswer {
    this.#bytes = concat(this.#bytes, chunk);
    const head = parseHttpHead(this.#bytes);
    if (head === undefined) return { kind: "more" };
    if (typeof head === "string") return { kind: "refused", status: `something else: ${head}` };
    if (head.status !== 101) return { kind: "refused", status: head.line };
    return { kind: "switched", rest: this.#bytes.subarray(head.length) };
  }
}
