/** The server's key expiry, kept in the store for the commands that work while the server is down. */
import { DEFAULTS } from "./coordinator_options.ts";
import type { Tailnet } from "./tailnet.ts";

/** -1 stands for no expiry, since a counter that was never set is 0. */
const KEY_EXPIRY = "key-expiry-ms";

/** Notes the server's key expiry in the store, so that an approval while it is down obeys it too. */
export async function keepKeyExpiry(tailnet: Tailnet, keyExpiryMs: number | undefined): Promise<void> {
  await tailnet.change(async (tx) => {
    if (await tx.counters.get(KEY_EXPIRY) !== (keyExpiryMs ?? -1)) await tx.counters.set(KEY_EXPIRY, keyExpiryMs ?? -1);
  });
}

/** The noted key expiry in ms, or the default when no server ran yet; undefined for none. */
export async function keptKeyExpiry(tailnet: Tailnet): Promise<number | undefined> {
  const kept = await tailnet.change((tx) => tx.counters.get(KEY_EXPIRY));
  return kept === -1 ? undefined : kept || DEFAULTS.keyExpiryMs;
}
