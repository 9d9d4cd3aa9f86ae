/** What this machine's ChaCha20-Poly1305 allows: the fastest provider, full packets, nothing else. */
import { createArena } from "../../ffi/arena.ts";
import { selectProvider } from "../../ffi/crypto_provider.ts";

const WARM_UP_MS = 300;
const LASTS_MS = 700;
/** Packets in the buffer: as many as one turn of the worker has, so that the caches are as warm as they would be. */
const PACKETS = 128;

/** How fast packets of `length` bytes can be sealed by one CPU, GB/s, and by what. */
export function sealingRate(length: number): { provider: string; gigabytes: number } {
  const arena = createArena(4 << 20);
  const { provider } = selectProvider({ arena });
  const key = provider.createKey(new Uint8Array(32).fill(7), "seal");
  const stride = (length + 32 + 15) & ~15;
  const at = arena.reserve(PACKETS * stride);
  const run = (ms: number): number => {
    const start = performance.now();
    let packets = 0;
    while (performance.now() - start < ms) {
      for (let i = 0; i < PACKETS; i++) provider.seal(key, at + i * stride, length, packets + i, 0);
      packets += PACKETS;
    }
    return packets * length / ((performance.now() - start) * 1e6);
  };
  run(WARM_UP_MS);
  return { provider: provider.name, gigabytes: run(LASTS_MS) };
}
