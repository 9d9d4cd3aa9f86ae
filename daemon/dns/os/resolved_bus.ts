/** systemd-resolved and NetworkManager as they are on the system's D-Bus. Source: org.freedesktop.resolve1(5). */
import type { Scheduler, Timer } from "../../../base/clock.ts";
import type { NetworkManager } from "./mode.ts";
import { NotRunning } from "./resolved.ts";
import { busErrorName, callBus, watchOwner } from "./system_bus.ts";

const RESOLVED = { to: "org.freedesktop.resolve1", path: "/org/freedesktop/resolve1" };
const NETWORK_MANAGER = { to: "org.freedesktop.NetworkManager", path: "/org/freedesktop/NetworkManager" };

/** What the bus says when a name has no owner and may not be started. */
const NO_OWNER = ["org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.ServiceUnknown"];

/** A call of resolved's manager, if it runs. Signatures and bodies as D-Bus has them. @throws NotRunning, or another Error */
export async function callManager(member: string, signature: string, body: readonly unknown[]): Promise<void> {
  const method = { iface: "org.freedesktop.resolve1.Manager", member, signature, body };
  try {
    await callBus({ ...RESOLVED, ...method, onlyIfRunning: true });
  } catch (cause) {
    if (!NO_OWNER.includes(busErrorName(cause) ?? "")) throw cause;
    throw new NotRunning("systemd-resolved does not run; it is told when it does");
  }
}

/** Resolves when resolved is there, started by the bus if need be. @param real Of a test only a bus named by hand. */
export async function pingBus(real: boolean): Promise<void> {
  if (!real && Deno.env.get("DBUS_SYSTEM_BUS_ADDRESS") === undefined) throw new Error("no D-Bus in a test");
  await callBus({ ...RESOLVED, iface: "org.freedesktop.DBus.Peer", member: "Ping", signature: "", body: [] });
}

/** NetworkManager, if it runs. */
export async function findNetworkManager(): Promise<NetworkManager | undefined> {
  const get = async (path: string, iface: string, property: string): Promise<string> => {
    const method = {
      iface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      body: [iface, property],
    };
    const [variant] = await callBus({ to: NETWORK_MANAGER.to, path, ...method, onlyIfRunning: true });
    return String((variant as { value?: unknown } | undefined)?.value ?? "");
  };
  try {
    const version = await get(NETWORK_MANAGER.path, NETWORK_MANAGER.to, "Version");
    const dns = `${NETWORK_MANAGER.to}.DnsManager`;
    const mode = await get(`${NETWORK_MANAGER.path}/DnsManager`, dns, "Mode").catch(() => "");
    return { version, usesResolved: mode === "systemd-resolved" };
  } catch {
    return undefined;
  }
}

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;

/**
 * Calls `restarted` when resolved may have forgotten what it was told: another process answers to its name, or the bus
 * was away.
 *
 * ```
 *   connecting ──▶ watching ──another owner of the name──▶ restarted()
 *       ▲ │            │ broken
 *       │ └─ failed ─┐ │              after a break the first connection is a restart, too
 *       └──1, 2…30 s─┴─┘
 * ```
 */
export function watchResolved(scheduler: Scheduler, restarted: () => void): { close(): void } {
  let closed = false;
  let close = () => {};
  let timer: Timer | undefined;
  let retryMs = FIRST_RETRY_MS;

  const again = () => {
    if (closed) return;
    timer = scheduler.after(retryMs, () => void watch(true));
    retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
  };
  const watch = async (afterBreak: boolean) => {
    try {
      const watching = await watchOwner(RESOLVED.to, (owner) => owner !== "" && !closed && restarted());
      if (closed) return watching.close();
      close = watching.close;
      retryMs = FIRST_RETRY_MS;
      if (afterBreak) restarted();
      await watching.broken;
    } catch {
      again();
    }
  };
  void watch(false);
  return {
    close() {
      closed = true;
      timer?.cancel();
      close();
    },
  };
}
