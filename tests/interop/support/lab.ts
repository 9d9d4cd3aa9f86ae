// Starts subcommands of the lab program, waits for their ready line, and gives orders over their admin socket.
//
//   spawn ─▶ starting ─ ready line ─▶ serving ─ dispose, or stdin closed ─▶ gone
//                └─ exit or timeout ─▶ error that carries the end of stderr

import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

/** Turns a command line into one that runs elsewhere, as in a network namespace: ["ip", "netns", "exec", "red"]. */
export type CommandPrefix = readonly string[] | ((argv: readonly string[]) => readonly string[]);

export interface LabOptions {
  /** The lab program, from buildLab(). */
  readonly path: string;
  readonly prefix?: CommandPrefix;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with each line of the program's log. */
  readonly log?: (line: string) => void;
  /** To the ready line; 40 s unless given. */
  readonly readyTimeoutMs?: number;
}

function argvFor(options: LabOptions, args: readonly string[]): [string, ...string[]] {
  const argv = [options.path, ...args];
  const { prefix } = options;
  const whole = typeof prefix === "function" ? prefix(argv) : [...(prefix ?? []), ...argv];
  return whole as [string, ...string[]];
}

/** A long-lived subcommand. `Ready` is its ready line, `send` gives an order to its admin socket. */
export class LabProcess<Ready> implements AsyncDisposable {
  readonly ready: Ready;
  /** A directory of its own, removed at the end. */
  readonly dir: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #exited: Promise<number | null>;
  readonly #stderr: string[];

  private constructor(
    ready: Ready,
    dir: string,
    child: ChildProcessByStdio<Writable, Readable, Readable>,
    exited: Promise<number | null>,
    stderr: string[],
  ) {
    this.ready = ready;
    this.dir = dir;
    this.#child = child;
    this.#exited = exited;
    this.#stderr = stderr;
  }

  /**
   * Spawns `lab <args> --admin unix:…` and waits until it serves. `args` may be computed from the process's directory.
   * Throws when the program ends or stays silent first; the message ends with its last log lines.
   */
  static async start<Ready>(
    options: LabOptions,
    args: readonly string[] | ((dir: string) => readonly string[]),
  ): Promise<LabProcess<Ready>> {
    const dir = await mkdtemp(join(tmpdir(), "lab-"));
    const own = typeof args === "function" ? args(dir) : args;
    const [file, ...rest] = argvFor(options, [...own, "--admin", `unix:${join(dir, "admin")}`]);
    const child = spawn(file, rest, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...Deno.env.toObject(), ...options.env },
    });
    child.stdin.on("error", () => {});
    const stderr: string[] = [];
    readLines(child.stderr, (line) => {
      stderr.push(line);
      if (stderr.length > 200) stderr.shift();
      options.log?.(line);
    });
    const exited = new Promise<number | null>((resolve) => {
      child.once("error", (e) => {
        stderr.push(e.message);
        resolve(null);
      });
      child.once("close", (code) => resolve(code));
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const line = await Promise.race([
        new Promise<string>((resolve) => readLines(child.stdout, resolve)),
        exited.then((code) => {
          throw new Error(`lab ${own[0]} ended with status ${code} before it was ready`);
        }),
        new Promise<never>((_, reject) => {
          const ms = options.readyTimeoutMs ?? 40_000;
          timer = setTimeout(() => reject(new Error(`lab ${own[0]} is not ready after ${ms} ms`)), ms);
        }),
      ]);
      return new LabProcess<Ready>(JSON.parse(line) as Ready, dir, child, exited, stderr);
    } catch (e) {
      await end(child, exited);
      await rm(dir, { recursive: true, force: true });
      throw new Error(`${(e as Error).message}\n${stderr.slice(-20).join("\n")}`);
    } finally {
      clearTimeout(timer);
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** The last lines of the log, for the message of a failing test. */
  get log(): string {
    return this.#stderr.join("\n");
  }

  /** Sends one order ("POST /ping") to the admin socket. Throws an Error with the program's own words when refused. */
  send<Answer>(order: string, body?: unknown): Promise<Answer> {
    const [method, path] = order.split(" ");
    const payload = body === undefined ? "" : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const req = request({
        socketPath: join(this.dir, "admin"),
        method,
        path,
        headers: { "content-length": new TextEncoder().encode(payload).length },
      }, (res) => {
        const parts: Uint8Array[] = [];
        res.on("data", (d: Uint8Array) => parts.push(d));
        res.on("error", reject);
        res.on("end", () => {
          const text = new TextDecoder().decode(concat(parts));
          if (res.statusCode === 200) return resolve(JSON.parse(text) as Answer);
          const words = text.startsWith("{") ? (JSON.parse(text) as { error: string }).error : text;
          reject(new Error(`lab ${order}: ${words}`));
        });
      });
      req.on(
        "error",
        (e: Error) => reject(new Error(`lab ${order}: ${e.message}\n${this.#stderr.slice(-20).join("\n")}`)),
      );
      req.end(payload);
    });
  }

  /** Kills it at once, as a crash would. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** Ends it, waits until it is gone, and removes its directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child, this.#exited);
    await rm(this.dir, { recursive: true, force: true });
  }
}

async function end(child: ChildProcessByStdio<Writable, Readable, Readable>, exited: Promise<unknown>): Promise<void> {
  child.stdin.end();
  const timer = setTimeout(() => child.kill("SIGKILL"), 6_000);
  await exited;
  clearTimeout(timer);
}

/** Calls `each` with every line of a stream, without its end. */
function readLines(stream: Readable, each: (line: string) => void): void {
  const decoder = new TextDecoder();
  let rest = "";
  stream.on("data", (d: Uint8Array) => {
    const lines = (rest + decoder.decode(d, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(each);
  });
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/**
 * Runs a short subcommand (local, tsp, derp-client, stun, netcheck) to its end and returns its JSON lines. Throws with
 * its last words when its exit status is not 0.
 */
export function runLab<Line>(options: LabOptions, args: readonly string[], timeoutMs = 60_000): Promise<Line[]> {
  const [file, ...rest] = argvFor(options, args);
  const env = { ...Deno.env.toObject(), ...options.env };
  return new Promise((resolve, reject) => {
    execFile(file, rest, { env, timeout: timeoutMs, maxBuffer: 256 << 20 }, (error, stdout, stderr) => {
      if (error !== null) return reject(new Error(`lab ${args.join(" ")}: ${stderr.trim() || error.message}`));
      resolve(stdout.split("\n").filter((l) => l !== "").map((l) => JSON.parse(l) as Line));
    });
  });
}
