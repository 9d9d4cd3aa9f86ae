// A real tailscaled with a TUN device, as a person has it on a server: the daemon as a process in a network namespace, and
// Tailscale's command line beside it.

import type { LabNamespace, RunResult } from "../../netlab/lab.ts";
import { until } from "./agent.ts";
import { buildTailscaleCli, buildTailscaled } from "./build.ts";
import type { GoJson } from "./control.ts";

const START_TIMEOUT_MS = 60_000;

/** /etc is the machine's: what tailscaled writes there goes with it. Overlays need an upper layer that is no overlay. */
const OWN_ETC = `
  mkdir -p "$1/etc" && mount -t tmpfs tmpfs "$1/etc" && mkdir "$1/etc/upper" "$1/etc/work"
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc/upper,workdir=$1/etc/work" /etc
  log=$2; shift 2; exec "$@" >>"$log" 2>&1
`;

export interface TailscaledOptions {
  readonly namespace: LabNamespace;
  /** Where state, socket and log go. */
  readonly dir: string;
  /** Of the files in `dir`, and the host name it joins by. */
  readonly name: string;
  /** How it reaches the packet filter; what it finds by default. */
  readonly firewall?: "nftables" | "iptables";
}

/** A running tailscaled. Its device is `tailscale0`. */
export class TailscaledNode implements AsyncDisposable {
  readonly name: string;
  readonly namespace: LabNamespace;
  readonly #options: TailscaledOptions;
  readonly #dir: string;
  readonly #daemon: string;
  readonly #cli: string;
  #child: Deno.ChildProcess | undefined;

  private constructor(options: TailscaledOptions, daemon: string, cli: string) {
    this.#options = options;
    this.name = options.name;
    this.namespace = options.namespace;
    this.#dir = `${options.dir}/${options.name}`;
    this.#daemon = daemon;
    this.#cli = cli;
  }

  /** Starts it and waits until its LocalAPI answers. @throws Error without a Go that can build it. */
  static async start(options: TailscaledOptions): Promise<TailscaledNode> {
    const [daemon, cli] = await Promise.all([buildTailscaled(), buildTailscaleCli()]);
    if (daemon.kind === "skip") throw new Error(daemon.reason);
    if (cli.kind === "skip") throw new Error(cli.reason);
    const node = new TailscaledNode(options, daemon.path, cli.path);
    await Deno.mkdir(node.#dir, { recursive: true });
    await node.run();
    return node;
  }

  /** Starts it, again after `stop` or `kill`, on the same state. */
  async run(): Promise<void> {
    const { firewall } = this.#options;
    const argv = [
      ...["unshare", "-m", "sh", "-euc", OWN_ETC, "sh", this.#dir, this.#log, this.#daemon],
      ...["--statedir", this.#dir, "--socket", this.#socket, "--tun", "tailscale0", "--port", "0"],
      ...["--no-logs-no-support", "--verbose", "1"],
    ];
    const env: Record<string, string> = firewall === undefined ? {} : { TS_DEBUG_FIREWALL_MODE: firewall };
    const child = this.namespace.spawn(argv, { stdin: "null", stdout: "null", stderr: "null", env });
    this.#child = child;
    let ended = false;
    child.status.then(() => ended = true);
    await until(`tailscaled of ${this.name} answers`, START_TIMEOUT_MS, async () => {
      if (ended) throw new Error(`tailscaled of ${this.name} ended; its log:\n${await this.log()}`);
      return (await this.command("debug", "prefs")).code === 0;
    }, 100);
  }

  /** Runs Tailscale's command line on it, to its end, whatever its exit code. */
  command(...args: string[]): Promise<RunResult> {
    return this.namespace.run([this.#cli, "--socket", this.#socket, ...args], { timeout: 60_000 });
  }

  /** As `command`. @returns what it printed. @throws Error for an exit code other than 0, with the end of the log. */
  async cli(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.command(...args);
    if (code === 0) return stdout;
    throw new Error(`tailscale ${args.join(" ")} ended with ${code}: ${stderr}${stdout}\n${await this.log()}`);
  }

  /** Joins by an auth key and waits until it is connected. */
  up(server: string, authKey: string, ...args: string[]): Promise<string> {
    const login = ["--login-server", server, "--auth-key", authKey, "--hostname", this.name];
    return this.cli("up", ...login, "--accept-dns=false", "--timeout", "40s", ...args);
  }

  /** ipnstate.Status. */
  async status(): Promise<GoJson> {
    return JSON.parse(await this.cli("status", "--json"));
  }

  /** Its tailnet addresses: IPv4, IPv6. */
  async ips(): Promise<string[]> {
    return (await this.status()).TailscaleIPs ?? [];
  }

  /** Asks it to end, as systemd would: it takes its rules away. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Kills it at once, as a crash would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** The end of the log, for the message of a failing test. */
  async log(lines = 25): Promise<string> {
    const text = await Deno.readTextFile(this.#log).catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
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
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await child.status;
    clearTimeout(timer);
  }

  get #socket(): string {
    return `${this.#dir}/tailscaled.sock`;
  }

  get #log(): string {
    return `${this.#dir}.log`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
