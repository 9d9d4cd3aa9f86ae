/**
 * A network of namespaces for one test, by netlink and nothing else.
 *
 *   const lab = await Lab.create();
 *   const a = lab.namespace("a"), gate = lab.namespace("gate"), b = lab.namespace("b");
 *   lab.link(a, ["10.9.1.2/24", "fd09:1::2/64"], gate, ["10.9.1.1/24", "fd09:1::1/64"]);
 *   lab.link(gate, "10.9.2.1/24", b, "10.9.2.2/24");
 *   lab.router(gate);
 *   a.route("0.0.0.0/0", "10.9.1.1");
 *   await a.run(["ping", "-c1", "10.9.2.2"]);
 *   await lab.dispose();
 *
 * `dispose` ends every process in the namespaces and deletes them; a crash, SIGINT and SIGTERM do the same.
 */

import { parseIp, parsePrefix, type Prefix } from "../../base/ip.ts";
import { closeFd } from "../../ffi/libc.ts";
import { Netlink } from "../../ffi/netlink.ts";
import { createNetns, deleteNetns, inNetns, netnsPath, openNetns, spawnInNetns } from "../../ffi/netns.ts";
import { addAddress } from "../../ffi/rt_addr.ts";
import { addVeth, linkByName, setLink } from "../../ffi/rt_link.ts";
import { replaceRoute } from "../../ffi/rt_route.ts";

export { labUnavailable, privilegedTest, programMissing } from "./privileged.ts";

/** What a program printed, and how it ended. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly input?: string;
  /** Milliseconds after which it is killed; 30 s by default. */
  readonly timeout?: number;
}

export class Lab implements AsyncDisposable {
  readonly prefix: string;
  readonly #namespaces: LabNamespace[] = [];
  readonly #onSignal: () => void;
  #disposed = false;

  /** @param options.prefix Of the namespaces' names; unique to this lab by default. */
  static create(options: { prefix?: string } = {}): Promise<Lab> {
    // Test files run side by side as threads of one process, so the process's number alone is not enough.
    const unique = crypto.getRandomValues(new Uint8Array(4)).toHex();
    return Promise.resolve(new Lab(options.prefix ?? `lab${Deno.pid}-${unique}`));
  }

  private constructor(prefix: string) {
    this.prefix = prefix;
    this.#onSignal = () => {
      this.#deleteAll();
      Deno.exit(130);
    };
    Deno.addSignalListener("SIGINT", this.#onSignal);
    Deno.addSignalListener("SIGTERM", this.#onSignal);
    globalThis.addEventListener("unload", this.#deleteAll);
  }

  /** A new namespace, its loopback up. */
  namespace(name: string): LabNamespace {
    const namespace = new LabNamespace(`${this.prefix}-${name}`);
    this.#namespaces.push(namespace);
    return namespace;
  }

  /** Joins two namespaces by a veth pair with these addresses, each one or several "address/bits". */
  link(
    a: LabNamespace,
    aAddresses: string | readonly string[],
    b: LabNamespace,
    bAddresses: string | readonly string[],
    { mtu }: { mtu?: number } = {},
  ): LabLink {
    const [aDevice, bDevice] = [a.nextDevice(), b.nextDevice()];
    const peer = openNetns(b.name);
    try {
      addVeth(a.netlink, aDevice, bDevice, peer);
    } finally {
      closeFd(peer);
    }
    a.configure(aDevice, [aAddresses].flat(), mtu);
    b.configure(bDevice, [bAddresses].flat(), mtu);
    a.awaitReady(aDevice, [aAddresses].flat());
    b.awaitReady(bDevice, [bAddresses].flat());
    return { aDevice, bDevice, setUp: (up) => a.setUp(aDevice, up) };
  }

  /** Makes a namespace forward IPv4 and IPv6. */
  router(namespace: LabNamespace): void {
    namespace.sysctl("net/ipv4/ip_forward", "1");
    namespace.sysctl("net/ipv6/conf/all/forwarding", "1");
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#namespaces.map((namespace) => namespace.endProcesses()));
    this.#deleteAll();
    Deno.removeSignalListener("SIGINT", this.#onSignal);
    Deno.removeSignalListener("SIGTERM", this.#onSignal);
    globalThis.removeEventListener("unload", this.#deleteAll);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  readonly #deleteAll = (): void => {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const namespace of this.#namespaces) namespace.delete();
  };
}

export interface LabLink {
  readonly aDevice: string;
  readonly bDevice: string;
  /** Pulls the plug, or puts it back. Routes through the link are lost with it. */
  setUp(up: boolean): void;
}

/** One host of the lab. */
export class LabNamespace {
  /** As `ip netns` would show it. */
  readonly name: string;
  readonly netlink: Netlink;
  readonly #children: { process: Deno.ChildProcess; ended: boolean }[] = [];
  #devices = 0;

  constructor(name: string) {
    this.name = name;
    createNetns(name);
    this.netlink = inNetns<Netlink>(name, () => new Netlink());
    setLink(this.netlink, linkByName(this.netlink, "lo")!.index, { up: true });
    // Without, link-local addresses are tentative for a second, and routers cannot ask for neighbours meanwhile.
    for (const which of ["all", "default"]) this.sysctl(`net/ipv6/conf/${which}/accept_dad`, "0");
  }

  /** Runs synchronous code in the namespace: what it opens belongs there. */
  within<T>(body: () => T extends PromiseLike<unknown> ? never : T): T {
    return inNetns(this.name, body);
  }

  /** Starts a program that lives at most as long as the lab. */
  spawn(argv: readonly string[], options: Deno.CommandOptions = {}): Deno.ChildProcess {
    const process = spawnInNetns(this.name, argv, options);
    const child = { process, ended: false };
    this.#children.push(child);
    process.status.then(() => child.ended = true);
    return process;
  }

  /** Runs a program to its end. Does not throw for an exit code; @throws Error when it takes too long. */
  async run(argv: readonly string[], { env, input, timeout = 30_000 }: RunOptions = {}): Promise<RunResult> {
    const process = this.spawn(argv, {
      env,
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      process.kill("SIGKILL");
    }, timeout);
    try {
      const output = process.output();
      if (input !== undefined) {
        const writer = process.stdin.getWriter();
        await writer.write(new TextEncoder().encode(input));
        await writer.close();
      }
      const { code, stdout, stderr } = await output;
      if (late) throw new Error(`Cannot run ${argv.join(" ")}: not done after ${timeout} ms`);
      const text = new TextDecoder();
      return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
    } finally {
      clearTimeout(timer);
    }
  }

  /** As `run`, and @throws Error for an exit code other than 0. @returns what it printed. */
  async must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(argv, options);
    if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Sends `destination` ("0.0.0.0/0" for all) to the neighbour `via`. */
  route(destination: string, via: string): void {
    const gateway = parseIp(via);
    if (gateway === undefined) throw new TypeError(`Cannot route via "${via}"`);
    replaceRoute(this.netlink, { destination: prefix(destination), via: gateway });
  }

  /** Writes /proc/sys/`path`, which shows the network namespace of who opens it. */
  sysctl(path: string, value: string): void {
    this.within(() => Deno.writeTextFileSync(`/proc/sys/${path}`, value));
  }

  setUp(device: string, up: boolean): void {
    setLink(this.netlink, linkByName(this.netlink, device)!.index, { up });
  }

  /** Loads nftables rules. Needs the program `nft`: see `programMissing`. */
  async nft(rules: string): Promise<void> {
    await this.must(["nft", "-f", "-"], { input: `${rules}\n` });
  }

  /** Drops what this router would forward of UDP (both ways), so that peers must relay. @returns the undoing. */
  async dropForwardedUdp(): Promise<() => Promise<void>> {
    await this.nft(
      "table inet lab_udp { chain forward { type filter hook forward priority 0; meta l4proto udp drop; }; }",
    );
    return () => this.nft("delete table inet lab_udp");
  }

  /**
   * Masquerades what leaves by `device`, as a home router does: "easy" keeps one port for one inner address and port
   * where it can, "hard" takes a new one for each destination. @returns the undoing.
   */
  async masquerade(device: string, kind: "easy" | "hard" = "easy"): Promise<() => Promise<void>> {
    const how = kind === "easy" ? "masquerade" : "masquerade fully-random";
    const rule = `oifname "${device}" ${how};`;
    await this.nft(`table ip lab_nat { chain post { type nat hook postrouting priority 100; ${rule} }; }`);
    return () => this.nft("delete table ip lab_nat");
  }

  /** The name of the next interface made here. */
  nextDevice(): string {
    return `eth${this.#devices++}`;
  }

  configure(device: string, addresses: readonly string[], mtu?: number): void {
    const { index } = linkByName(this.netlink, device)!;
    setLink(this.netlink, index, { mtu, up: true });
    for (const address of addresses) addAddress(this.netlink, index, prefix(address));
  }

  /**
   * Blocks until `device` carries packets. The kernel notices a new carrier a little later and drops until then, and joins
   * the group that neighbour solicitations of an IPv6 address are sent to (RFC 4291 2.7.1) in the background.
   */
  awaitReady(device: string, addresses: readonly string[]): void {
    const groups = addresses.map(prefix).filter(({ ip }) => ip.length === 16).map(({ ip }) =>
      `1ff${ip.slice(13).toHex()}`
    );
    const ready = () =>
      linkByName(this.netlink, device)!.running &&
      groups.every((group) => this.within(() => Deno.readTextFileSync("/proc/thread-self/net/igmp6")).includes(group));
    const cell = new Int32Array(new SharedArrayBuffer(4));
    for (let tries = 0; !ready(); tries++) {
      if (tries === 2000) throw new Error(`${device} of ${this.name} does not come up`);
      Atomics.wait(cell, 0, 0, 1);
    }
  }

  /** Asks the children to end, and makes them after 2 s. */
  async endProcesses(): Promise<void> {
    await Promise.all(
      this.#children.filter(({ ended }) => !ended).map(async ({ process }) => {
        kill(process.pid, "SIGTERM");
        const timer = setTimeout(() => kill(process.pid, "SIGKILL"), 2000);
        await process.status;
        clearTimeout(timer);
      }),
    );
  }

  /** Kills whatever still runs in the namespace, daemonised grandchildren too, and deletes it. */
  delete(): void {
    this.netlink.close();
    for (const pid of processesIn(this.name)) kill(pid, "SIGKILL");
    deleteNetns(this.name);
  }
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new TypeError(`Cannot use "${text}": want address/bits`);
  return parsed;
}

function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof TypeError)) throw error;
  }
}

function processesIn(name: string): number[] {
  const { dev, ino } = Deno.statSync(netnsPath(name));
  const own = Deno.statSync("/proc/self/ns/net").ino;
  if (ino === own) return [];
  return [...Deno.readDirSync("/proc")].map((entry) => Number(entry.name)).filter(Number.isInteger).filter((pid) => {
    try {
      const at = Deno.statSync(`/proc/${pid}/ns/net`);
      return at.ino === ino && at.dev === dev;
    } catch {
      return false;
    }
  });
}
