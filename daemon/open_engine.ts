/** The engine as the daemon's flags want it, or why this machine cannot have it. */
import type { Engine } from "../engine/engine.ts";
import { startEngine } from "./engine_host.ts";
import type { EngineInbox } from "./engine_inbox.ts";
import type { DaemonFlags } from "./flags.ts";
import type { Log } from "./log.ts";

/** The machine does not give what a node needs. */
export class SystemError extends Error {
  override readonly name = "SystemError";
}

/** Opens it. @throws SystemError */
export async function openEngine(
  flags: DaemonFlags,
  timestamps: SharedArrayBuffer,
  inbox: EngineInbox,
  log: Log,
): Promise<Engine> {
  try {
    const engine = await startEngine({
      tunName: flags.tun,
      port: flags.port,
      mark: flags.instance.bypassMark,
      timestamps,
      events: inbox.events,
      crypto: Deno.env.get("AGENT_CRYPTO"),
      cryptoWorkers: Deno.env.get("AGENT_CRYPTO_WORKERS"),
    });
    for (const { name, failure } of engine.refusedProviders) {
      log.warn(`crypto provider ${name} cannot be used: ${failure}`);
    }
    return engine;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const hint = Deno.uid() === 0 ? "" : "; the daemon has to run as root";
    throw new SystemError(`${text}${hint}`, { cause });
  }
}
