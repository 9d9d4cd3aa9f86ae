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
 * It runs as the daemon does, in the sandbox of its service, with nothing else of its environment and what it prints in
 * the daemon's log, errors as warnings; one at a time, and no longer than ten minutes.
 */
import { sleep } from "../base/clock.ts";
import { reasonOf } from "../base/reason.ts";
import type { Scheduler } from "../base/clock.ts";
import type { KeyNotice } from "./key_expiry.ts";
import type { Log } from "./log.ts";
import { tellLines } from "./program_output.ts";

const TIMEOUT_MS = 600_000;
/** What a program that is told to end has for it. */
const GRACE_MS = 10_000;
/** How long its last words are waited for where something it started holds them back. */
const LAST_WORDS_MS = 1_000;

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

/** What a hook needs of the daemon. */
export interface HookPorts {
  /** Of its LocalAPI. */
  readonly socket: string;
  readonly log: Log;
  readonly scheduler: Scheduler;
}

/** Runs the program at a path for each notice, unless the one before still runs. */
export function expiryHook(path: string, ports: HookPorts): (notice: KeyNotice) => void {
  const log = ports.log.child("expiry hook");
  let running = false;
  // Its day is months away: a mistake is said at once. It may still be put there until then.
  const problem = whyNotRunnable(path);
  if (problem !== "") log.warn(`${path} could not be run now: ${problem}`);
  return (notice) => {
    if (running) return log.warn(`${path} still runs; it is not told of '${notice.event}'`);
    running = true;
    run(path, hookEnvironment(notice, ports.socket), log, ports.scheduler)
      .then((problem) => {
        if (problem === "") log.info(`${path} has been told of '${notice.event}'`);
        else log.error(`${path} ${problem}`);
      })
      .finally(() => running = false);
  };
}

/** @returns what is wrong with the program, "" for nothing */
function whyNotRunnable(path: string): string {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return !isFile ? "it is not a file" : ((mode ?? 0) & 0o111) === 0 ? "it is not executable (chmod +x)" : "";
  } catch (cause) {
    return reasonOf(cause);
  }
}

/** @returns what went wrong, "" for nothing. */
async function run(path: string, env: Record<string, string>, log: Log, scheduler: Scheduler): Promise<string> {
  try {
    const child = new Deno.Command(path, { clearEnv: true, env, stdin: "null", stdout: "piped", stderr: "piped" })
      .spawn();
    const output = Promise.all([
      tellLines(child.stdout, (line) => log.info(line)),
      tellLines(child.stderr, (line) => log.warn(line)),
    ]);
    const timers = (["SIGTERM", "SIGKILL"] as const).map((signal, i) =>
      scheduler.after(TIMEOUT_MS + i * GRACE_MS, () => end(child, signal))
    );
    const { code, signal } = await child.status.finally(() => timers.forEach((timer) => timer.cancel()));
    await untilSaid(output, scheduler);
    return code === 0 ? "" : signal === null ? `ended with ${code}` : `was ended by ${signal}`;
  } catch (cause) {
    return `cannot be run: ${reasonOf(cause)}`;
  }
}

/** A daemon that the program started may have its output still, and for ever. */
async function untilSaid(output: Promise<unknown>, scheduler: Scheduler): Promise<void> {
  const said = new AbortController();
  output.finally(() => said.abort());
  await sleep(scheduler, LAST_WORDS_MS, said.signal).catch(() => {});
}

function end(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It ended just now.
  }
}
