/** The HTTP/1.1 request that turns a connection into a DERP stream, and its answer. */
import { fromUtf8, utf8 } from "../base/bytes.ts";

/** Most bytes of an answer's head. */
const MAX_HEAD = 8192;

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
  #head = new Uint8Array(0);

  push(chunk: Uint8Array): UpgradeAnswer {
    const head = new Uint8Array(this.#head.length + chunk.length);
    head.set(this.#head);
    head.set(chunk, this.#head.length);
    this.#head = head;
    const end = endOfHead(head.subarray(0, MAX_HEAD));
    if (end < 0) {
      return head.length < MAX_HEAD ? { kind: "more" } : { kind: "refused", status: `a head over ${MAX_HEAD} bytes` };
    }
    const line = (fromUtf8(head.subarray(0, end)) ?? "").split("\r\n", 1)[0];
    if (!/^HTTP\/1\.1 101(?: |$)/.test(line)) return { kind: "refused", status: line.slice(0, 100) };
    return { kind: "switched", rest: head.subarray(end) };
  }
}

/** Index after the empty line, or -1. */
function endOfHead(bytes: Uint8Array): number {
  for (let i = 3; i < bytes.length; i++) {
    if (bytes[i] === 10 && bytes[i - 1] === 13 && bytes[i - 2] === 10 && bytes[i - 3] === 13) return i + 1;
  }
  return -1;
}
