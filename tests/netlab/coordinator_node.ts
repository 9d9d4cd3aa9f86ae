/** Our coordinator as a person runs it: `agent coordinator` as a process in a network namespace. */

import type { LabNamespace, RunResult } from "./lab.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

export interface CoordinatorNodeOptions {
  readonly namespace: LabNamespace;
  /** Where its state, its socket and its log go. */
  readonly dir: string;
  /** "ip:port" of control; the relay and STUN are beside it. */
  readonly listen: string;
  /** Of the files in `dir`. */
  readonly name?: string;
  /** More arguments. */
  readonly args?: readonly string[];
}

/** A running coordinator. */
export class CoordinatorNode implements AsyncDisposable {
  readonly url: string;
  readonly stateDir: string;
  readonly #options: CoordinatorNodeOptions;
  readonly #socket: string;
  readonly #log: string;
  #child: Deno.ChildProcess | undefined;

  private constructor(options: CoordinatorNodeOptions) {
    const { dir, name = "coordinator", listen } = options;
    this.#options = options;
    this.url = `http://${listen}`;
    this.stateDir = `${dir}/${name}`;
    this.#socket = `${dir}/${name}.sock`;
    this.#log = `${dir}/${name}.log`;
  }

  /** Starts it and waits until it serves. */
  static async start(options: CoordinatorNodeOptions): Promise<CoordinatorNode> {
    const node = new CoordinatorNode(options);
    await node.run();
    return node;
  }

  /** Starts it, again after `kill` or `stop`, on the same state and addresses. */
  async run(): Promise<void> {
    const { namespace, listen, args = [] } = this.#options;
    const argv = ["--listen", listen, "--statedir", this.stateDir, "--socket", this.#socket, ...args];
    const child = namespace.spawn([
      "/bin/sh",
      "-c",
      'log=$1; shift; exec "$@" >>"$log" 2>&1',
      "sh",
      this.#log,
      ...agentArgv("coordinator", ...argv),
    ], { stdin: "null", stdout: "null", stderr: "null" });
    this.#child = child;
    let ended = false;
    child.status.then(() => ended = true);
    for (let tries = 0; tries < 400 && !ended; tries++) {
      const { code } = await this.command("keys", "list");
      if (code === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`The coordinator did not start; its log:\n${await this.log()}`);
  }

  /** Runs `agent coordinator …` on its socket, to its end, whatever its exit code. */
  command(...args: string[]): Promise<RunResult> {
    return this.#options.namespace.run(agentArgv("coordinator", ...args, "--socket", this.#socket));
  }

  /** As `command`. @returns what it printed. @throws Error for an exit code other than 0. */
  async cli(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.command(...args);
    if (code === 0) return stdout;
    throw new Error(`agent coordinator ${args.join(" ")} ended with ${code}: ${stderr}${stdout}\n${await this.log()}`);
  }

  /** A new auth key. */
  async newKey(...flags: string[]): Promise<string> {
    return (await this.cli("keys", "create", ...flags)).trim();
  }

  /** What `nodes list --json` has under "nodes". */
  // deno-lint-ignore no-explicit-any
  async nodes(): Promise<any[]> {
    return JSON.parse(await this.cli("nodes", "list", "--json")).nodes;
  }

  /** Kills it at once, as a crash would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Asks it to end. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  async log(lines = 40): Promise<string> {
    const text = await Deno.readTextFile(this.#log).catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #end(signal: Deno.Signal): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    try {
      child.kill(signal);
    } catch {
      // It has ended by itself.
    }
    await child.status;
  }
}

function agentArgv(...args: string[]): string[] {
  return [Deno.execPath(), "run", "-A", "--no-lock", MAIN, ...args];
}
