/**
 * A TCP transfer with hashes, run inside a namespace.
 *
 * tcp_hash.ts serve ADDRESS PORT            accepts for ever; each connection: `u32le receive, u32le send` byte counts,
 *                                           then takes and gives that many bytes at once and says what it took
 *                                           and ends with its input
 * tcp_hash.ts ask ADDRESS PORT UP DOWN      prints {"sent", "taken", "received", "ms", "silenceMs"}: SHA-256 in hex of what
 *                                           we sent, of what the server took, of what we received; the longest silence
 * The bytes are a fixed pattern, so both ends know the hash that must come out.
 */
import { createHash } from "node:crypto";

const CHUNK = 64 << 10;
let movedAt = performance.now();
let silenceMs = 0;
/** Bytes moved: the silence before them is over. */
function moved(): void {
  const now = performance.now();
  silenceMs = Math.max(silenceMs, now - movedAt);
  movedAt = now;
}

const pattern = Uint8Array.from({ length: CHUNK }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

async function give(connection: Deno.Conn, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  for (let left = bytes; left > 0;) {
    const part = pattern.subarray(0, Math.min(left, CHUNK));
    hash.update(part);
    for (let at = 0; at < part.length;) at += await connection.write(part.subarray(at));
    moved();
    left -= part.length;
  }
  return hash.digest("hex");
}

async function take(connection: Deno.Conn, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(256 << 10);
  for (let left = bytes; left > 0;) {
    const count = await connection.read(buffer.subarray(0, Math.min(left, buffer.length)));
    if (count === null) throw new Error(`connection ended ${left} bytes early`);
    moved();
    hash.update(buffer.subarray(0, count));
    left -= count;
  }
  return hash.digest("hex");
}

const [verb, hostname, port, up, down] = Deno.args;
if (verb === "serve") {
  const listener = Deno.listen({ hostname, port: Number(port) });
  (async () => {
    for await (const _ of Deno.stdin.readable) continue;
    Deno.exit(0);
  })();
  console.log("ready");
  for await (const connection of listener) {
    (async () => {
      const header = new Uint8Array(8);
      for (let at = 0; at < 8;) at += await connection.read(header.subarray(at)) ?? 8;
      const view = new DataView(header.buffer);
      const [taken] = await Promise.all([
        take(connection, view.getUint32(0, true)),
        give(connection, view.getUint32(4, true)),
      ]);
      await connection.write(new TextEncoder().encode(taken));
      connection.close();
    })().catch((error) => console.error(String(error)));
  }
} else {
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const startedAt = performance.now();
  moved();
  silenceMs = 0;
  await connection.write(new Uint8Array(Uint32Array.of(Number(up), Number(down)).buffer));
  const [sent, received] = await Promise.all([give(connection, Number(up)), take(connection, Number(down))]);
  const taken = new Uint8Array(64);
  for (let at = 0; at < 64;) at += await connection.read(taken.subarray(at)) ?? 64;
  console.log(
    JSON.stringify({
      sent,
      taken: new TextDecoder().decode(taken),
      received,
      ms: Math.round(performance.now() - startedAt),
      silenceMs: Math.round(silenceMs),
    }),
  );
  connection.close();
}
