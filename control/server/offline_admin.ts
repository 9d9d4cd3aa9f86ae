/** The operator's operations on the file itself, while no server runs. */
import { join } from "node:path";
import { Admin } from "./admin.ts";
import type { AdminOperations } from "./admin.ts";
import { keptKeyExpiry } from "./key_expiry_setting.ts";
import { Registration } from "./registration.ts";
import { openSqliteStore } from "./sqlite_store.ts";
import { ensureStateDir, STATE_FILES } from "./state_dir.ts";
import { systemRandom as random, systemScheduler as scheduler } from "../../base/system.ts";
import { Tailnet } from "./tailnet.ts";

/** Operations that hold the file's exclusive lock until `close()`. */
export interface OfflineAdmin {
  readonly admin: AdminOperations;
  close(): Promise<void>;
}

/**
 * Opens the state directory as a server would, without serving. A server that starts meanwhile waits, then refuses.
 * @throws StoreError when a server, or another command, has the file.
 */
export async function openOfflineAdmin(stateDir: string): Promise<OfflineAdmin> {
  ensureStateDir(stateDir);
  const store = openSqliteStore(join(stateDir, STATE_FILES.database));
  try {
    const tailnet = await Tailnet.load(store);
    const keyExpiryMs = await keptKeyExpiry(tailnet);
    // Approvals need no URL; nothing here answers a node.
    const registration = new Registration({ tailnet, scheduler, random, serverUrl: "", keyExpiryMs });
    return { admin: new Admin({ tailnet, registration, scheduler, random }), close: () => tailnet.close() };
  } catch (error) {
    await store.close();
    throw error;
  }
}
