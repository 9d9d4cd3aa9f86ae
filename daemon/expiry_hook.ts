/**
 * The operator's program for the end of a node key (`--expiry-hook`): it mails somebody, or renews the key by
 * `agent --socket "$AGENT_SOCKET" renew --auth-key file:/etc/agent/auth-key`.
 *
 *   AGENT_EVENT                 expiring, expired
 *   AGENT_KEY_EXPIRY            when, RFC 3339
 *   AGENT_KEY_EXPIRY_SECONDS    seconds until then, 0 when it is over
 *   AGENT_NODE, AGENT_NODE_KEY  name and key of the node
 *   AGENT_SOCKET                of the daemon's LocalAPI
 *
 * It runs as the daemon does, in the sandbox of its service, with nothing else of its environment and what it prints
 * beside the daemon's log; one at a time, and no longer than ten minutes.
 */
import type { KeyNotice } from "./key_expiry.ts";
import type { Log } from "./log.ts";

const TIMEOUT_MS = 600_000;
/** What a program that is told to end has for it. */
const GRACE_MS = 10_000;

/** What of a notice the program is given. */
export function hookEnvironment(notice: KeyNotice, socket: string): Record<string, string> {
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LC_ALL: "C",
    AGENT_EVENT: notice.event,
    AGENT_KEY_EXPIRY: new Date(notice.expiry).toISOString(),
    AGENT_KEY_EXPIRY_SECONDS: String(Math.floor(notice.leftMs / 1000)),
    AGENT_NODE: notice.node,
    AGENT_NODE_KEY: notice.nodeKey,
    AGENT_SOCKET: socket,
  };
}

/** Runs the program at a path for each notice, unless the one before still runs. */
export function expiryHook(path: string, socket: string, log: Log): (notice: KeyNotice) => void {
  let running = false;
  return (notice) => {
    if (running) return log.warn(`expiry hook: ${path} still runs; it is not told of '${notice.event}'`);
    running = true;
    run(path, hookEnvironment(notice, socket))
      .then((problem) => {
        if (problem === "") log.info(`expiry hook: ${path} has been told of '${notice.event}'`);
        else log.error(`expiry hook: ${path} ${problem}`);
      })
      .finally(() => running = false);
  };
}

/** @returns what went wrong, "" for nothing. */
async function run(path: string, env: Record<string, string>): Promise<string> {
  try {
    const child = new Deno.Command(path, {
      clearEnv: true,
      env,
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    const timers = (["SIGTERM", "SIGKILL"] as const).map((signal, i) =>
      setTimeout(() => end(child, signal), TIMEOUT_MS + i * GRACE_MS)
    );
    const { code, signal } = await child.status.finally(() => timers.forEach(clearTimeout));
    return code === 0 ? "" : signal === null ? `ended with ${code}` : `was ended by ${signal}`;
  } catch (cause) {
    return `cannot be run: ${cause instanceof Error ? cause.message : cause}`;
  }
}

function end(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It ended just now.
  }
}
