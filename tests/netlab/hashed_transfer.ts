/** Transfers of a known pattern by TCP between two namespaces, held against their hashes (tcp_hash.ts). */
import assert from "node:assert/strict";
import { denoRun } from "./engine_nodes.ts";
import type { LabNamespace } from "./lab.ts";
import { AskedProgram } from "./line_reader.ts";

const PROGRAM = new URL("./tcp_hash.ts", import.meta.url).pathname;
const PORT = "7000";

export const MEGABYTE: number = 1 << 20;

/** Takes transfers in `namespace`, both families, until it is ended. */
export async function serveHashes(namespace: LabNamespace): Promise<AskedProgram> {
  const argv = denoRun(PROGRAM, "serve", "::", PORT);
  const server = new AskedProgram(namespace.spawn(argv, { stdin: "piped", stdout: "piped" }));
  assert.equal(await server.line(), "ready");
  return server;
}

/** What a transfer took. */
export interface TransferResult {
  readonly ms: number;
  /** The longest time without a byte either way, ms. */
  readonly silenceMs: number;
}

/**
 * Sends `up` bytes and takes `down` at once. @throws AssertionError when the hashes differ.
 * @param timeout ms for the whole of it.
 */
export async function transfer(
  from: LabNamespace,
  to: string,
  up: number,
  down: number,
  timeout = 60_000,
): Promise<TransferResult> {
  const argv = denoRun(PROGRAM, "ask", to, PORT, String(up), String(down));
  const result = JSON.parse(await from.must(argv, { timeout }));
  assert.equal(result.taken, result.sent);
  // Both ends use one pattern: equal lengths must give equal hashes.
  if (up === down) assert.equal(result.received, result.sent);
  return result;
}
