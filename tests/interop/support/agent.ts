// Our own node as a person runs it: the daemon as a process in a network namespace, and the command line beside it.

import { LocalClient } from "../../../cli/local_client.ts";
import type { LabNamespace, RunResult } from "../../netlab/lab.ts";
import type { GoJson } from "./control.ts";
import { RunningCommand } from "./running_command.ts";
import { KernelTraffic } from "./traffic.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

/** Two seconds are enough on an idle machine; suites that run side by side on two cores need more. */
const START_TIMEOUT_MS = 60_000;

export interface AgentOptions {
  readonly namespace: LabNamespace;
  /** Where the state file, the socket and the log go. */
  readonly dir: string;
  /** Of the files in `dir`, and the host name it joins by. */
  readonly name: string;
  /** Name of the TUN device; "agent0" by default. */
  readonly tun?: string;
  /** UDP port; 0 picks one. */
  readonly port?: number;
  /** What to run instead of the sources. */
  readonly program?: readonly string[];
  /** More arguments of Deno, for the daemon. */
  readonly denoArgs?: readonly string[];
  /** More arguments of the daemon. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A running `agent daemon`. */
export class AgentNode implements AsyncDisposable {
  readonly name: string;
  readonly namespace: LabNamespace;
  readonly socket: string;
  readonly logPath: string;
  readonly #options: AgentOptions;
  readonly #client: LocalClient;
  #child: Deno.ChildProcess | undefined;
  #traffic: KernelTraffic | undefined;

  private constructor(options: AgentOptions) {
    this.#options = options;
    this.name = options.name;
    this.namespace = options.namespace;
    this.socket = `${options.dir}/${options.name}.sock`;
    this.logPath = `${options.dir}/${options.name}.log`;
    this.#client = new LocalClient(this.socket);
  }

  /** Starts the daemon and waits until its LocalAPI answers. */
  static async start(options: AgentOptions): Promise<AgentNode> {
    const node = new AgentNode(options);
    await node.run();
    return node;
  }

  /** Starts the daemon, again after `kill` or `stop`, on the same state. The log goes on in the same file. */
  async run(more: readonly string[] = []): Promise<void> {
    const { dir, name, port = 0, denoArgs = [], args = [], env, program } = this.#options;
    const argv = [
      "daemon",
      "--state",
      `${dir}/${name}.state`,
      "--socket",
      this.socket,
      "--tun",
      this.#options.tun ?? "agent0",
    ];
    const child = this.namespace.spawn([
      "/bin/sh",
      "-c",
      'log=$1; shift; exec "$@" >>"$log" 2>&1',
      "sh",
      this.logPath,
      ...program ?? [Deno.execPath(), "run", "-A", "--no-lock", ...denoArgs, MAIN],
      ...[...argv, "--port", String(port), "--verbose", "1", ...args, ...more],
    ], { stdin: "null", stdout: "null", stderr: "null", env: { AGENT_TEST_ETC: await this.#etc(), ...env } });
    this.#child = child;
    let ended = false;
    child.status.then(() => ended = true);
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < deadline && !ended) {
      const answers = await this.#client.request("GET", "status").then(() => true, () => false);
      if (answers) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`The daemon ${name} did not start; its log:\n${await this.log()}`);
  }

  /** Stands for /etc: the machine's own is not the tests' to change. */
  async #etc(): Promise<string> {
    const path = `${this.#options.dir}/${this.name}.etc`;
    await Deno.mkdir(path, { recursive: true });
    return path;
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  /** Runs a command of ours in the node's namespace, to its end, whatever its exit code. */
  command(...args: string[]): Promise<RunResult> {
    return this.namespace.run(this.#argv(...args), { timeout: 60_000, env: this.#commandEnv() });
  }

  /** As `command`, with this on its standard input and in its environment. */
  commandWith(options: { readonly input?: string; readonly env?: Record<string, string> }, ...args: string[]) {
    const env = { ...this.#commandEnv(), ...options.env };
    return this.namespace.run(this.#argv(...args), { timeout: 60_000, ...options, env });
  }

  /** Begins a command that waits for something, as `up` does for a login. */
  begin(...args: string[]): RunningCommand {
    const env = this.#commandEnv();
    return new RunningCommand(
      this.namespace.spawn(this.#argv(...args), { env, stdin: "null", stdout: "piped", stderr: "piped" }),
      `agent ${args.join(" ")}`,
    );
  }

  /** As `command`. @returns what it printed. @throws Error for an exit code other than 0, with the end of the log. */
  async cli(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.command(...args);
    if (code === 0) return stdout;
    throw new Error(`agent ${args.join(" ")} ended with ${code}: ${stderr}${stdout}\n${await this.log()}`);
  }

  /** Joins by an auth key and waits until it is connected. */
  up(server: string, authKey: string, ...args: string[]): Promise<string> {
    return this.cli("up", "--login-server", server, "--auth-key", authKey, "--hostname", this.name, ...args);
  }

  /** The JSON of a LocalAPI path, as "status" or "ping?ip=…&type=disco". */
  local(path: string, method = "GET", body?: unknown): Promise<GoJson> {
    return this.#client.json<GoJson>(method, path, body);
  }

  /** A LocalAPI debug action: rebind, restun, break-derp-conns. @returns what it says, "done". */
  debug(action: string): Promise<string> {
    return this.#client.text("POST", `debug?action=${action}`);
  }

  /** Its counters, in Prometheus text. */
  metrics(): Promise<string> {
    return this.#client.text("GET", "metrics");
  }

  /** ipnstate.Status. */
  status(): Promise<GoJson> {
    return this.local("status");
  }

  /** Its tailnet addresses: IPv4, IPv6. */
  async ips(): Promise<string[]> {
    return (await this.status()).TailscaleIPs ?? [];
  }

  /** Waits until the netmap has a peer with the address. @returns ipnstate.PeerStatus. */
  async awaitPeer(ip: string, timeoutMs = 20_000): Promise<GoJson> {
    return await until(
      `${this.name} has a peer ${ip}`,
      timeoutMs,
      async () => await this.peer(ip).catch(() => undefined),
    );
  }

  /** ipnstate.PeerStatus of the peer with the address. */
  async peer(ip: string): Promise<GoJson> {
    const { Peer } = await this.status();
    const found = Object.values(Peer ?? {}).find((peer: GoJson) => peer.TailscaleIPs?.includes(ip));
    if (found === undefined) throw new Error(`${this.name} has no peer ${ip}`);
    return found;
  }

  /** Connections by the namespace's kernel, through the TUN device. */
  async traffic(): Promise<KernelTraffic> {
    return this.#traffic ??= await KernelTraffic.start(this.namespace);
  }

  /** The end of the log, for the message of a failing test. */
  async log(lines = 40): Promise<string> {
    const text = await Deno.readTextFile(this.logPath).catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** Kills it at once, as a crash would. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.status;
    this.#child = undefined;
  }

  /** Asks it to end, as systemd would. @returns the exit code. */
  async stop(): Promise<number> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return 0;
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    const { code } = await child.status;
    clearTimeout(timer);
    return code;
  }

  /** A program unpacks where its daemon did; from source, a command lives in no other time or library than ours. */
  #commandEnv(): Record<string, string> {
    return this.#options.program === undefined ? {} : { ...this.#options.env };
  }

  #argv(...args: string[]): string[] {
    const program = this.#options.program ?? [Deno.execPath(), "run", "-A", "--no-lock", MAIN];
    return [...program, "--socket", this.socket, ...args];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#traffic?.[Symbol.asyncDispose]();
    await this.stop();
  }
}

/** Polls until `probe` gives something. @throws Error after `timeoutMs`. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined | false>,
  everyMs = 50,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
