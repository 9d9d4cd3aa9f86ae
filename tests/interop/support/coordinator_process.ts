// Our coordinator as a person runs it: a process in a network namespace, and its commands beside it.

import type { NodeSummary } from "../../../control/server/admin.ts";
import type { LabNamespace } from "../../netlab/lab.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

export interface CoordinatorProcessOptions {
  readonly namespace: LabNamespace;
  /** Where state and log go. */
  readonly dir: string;
  /** Address of the namespace it listens on. */
  readonly host: string;
  /** What to run instead of the sources. */
  readonly program?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** More arguments of the server. */
  readonly args?: readonly string[];
}

/** A running `agent coordinator`. */
export class CoordinatorProcess implements AsyncDisposable {
  readonly url: string;
  readonly #options: CoordinatorProcessOptions;
  #child: Deno.ChildProcess | undefined;

  private constructor(options: CoordinatorProcessOptions) {
    this.#options = options;
    this.url = `http://${options.host}:9080`;
  }

  static async start(options: CoordinatorProcessOptions): Promise<CoordinatorProcess> {
    const process = new CoordinatorProcess(options);
    await process.run();
    return process;
  }

  /** Starts it, again after `kill`, on the same state and ports; resolves once it serves. */
  async run(): Promise<void> {
    const { namespace, host, args = [] } = this.#options;
    const argv = this.#argv(
      ...["--listen", `${host}:9080`, "--derp-listen", `${host}:9443`, "--stun-listen", `${host}:9478`, ...args],
    );
    const script = 'log=$1; shift; exec "$@" >>"$log" 2>&1';
    const started = (await this.log()).length;
    this.#child = namespace.spawn(["/bin/sh", "-c", script, "sh", this.#log, ...argv], {
      stdin: "null",
      stdout: "null",
      stderr: "null",
      env: { ...this.#options.env },
    });
    for (let tries = 0; tries < 200; tries++) {
      if ((await this.log()).slice(started).includes("serving ")) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`The coordinator did not start; its log:\n${await this.log()}`);
  }

  /** Runs `agent coordinator …` beside it. @throws Error with what it printed, for another exit code than 0. */
  async command(...args: string[]): Promise<string> {
    return await this.#options.namespace.must(this.#argv(...args), { env: { ...this.#options.env } });
  }

  async createKey(...args: string[]): Promise<string> {
    return (await this.command("keys", "create", ...args)).trim();
  }

  async nodes(): Promise<NodeSummary[]> {
    return JSON.parse(await this.command("nodes", "list", "--json")).nodes;
  }

  async log(): Promise<string> {
    return await Deno.readTextFile(this.#log).catch(() => "");
  }

  /** Kills it at once, as a crash would. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.status;
    this.#child = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    try {
      child?.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    await child?.status;
  }

  get #log(): string {
    return `${this.#options.dir}/coordinator.log`;
  }

  #argv(...args: string[]): string[] {
    const program = this.#options.program ?? [Deno.execPath(), "run", "-A", "--no-lock", MAIN];
    return [...program, "coordinator", ...args, "--statedir", `${this.#options.dir}/coordinator`];
  }
}
