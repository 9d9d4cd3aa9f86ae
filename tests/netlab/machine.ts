/**
 * A whole Debian 12 machine for one test: systemd as process 1, dbus, systemd-resolved, run by systemd-nspawn in a
 * namespace of the lab.
 *
 *   debootstrap, once, kept in the user's cache ─▶ overlay, thrown away ─▶ systemd-nspawn --boot ─▶ nsenter for commands
 */
import { createHash } from "node:crypto";
import type { LabNamespace, RunResult } from "./lab.ts";
import { netnsPath } from "../../ffi/netns.ts";

const SUITE = "bookworm";
const PACKAGES = [
  ...["systemd", "systemd-sysv", "dbus", "systemd-resolved", "init-system-helpers"],
  ...["iproute2", "nftables", "iputils-ping", "ca-certificates", "openssh-server"],
];
/** Kept in /opt, not installed: they conflict with systemd-resolved, and with each other. */
const KEPT_PACKAGES = ["openresolv", "resolvconf"];

/** The programs a machine needs here, for `privilegedTest`. */
export const MACHINE_PROGRAMS = ["debootstrap", "systemd-nspawn"] as const;

const BOOT_TIMEOUT_MS = 90_000;

async function host(argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0], { args: argv.slice(1) }).output();
  const text = new TextDecoder();
  if (code === 0) return text.decode(stdout);
  throw new Error(`${argv.join(" ")} ended with ${code}: ${text.decode(stderr)}${text.decode(stdout).slice(-500)}`);
}

/** The root directory of the image, made where there is none. */
async function image(): Promise<string> {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  const key = createHash("sha256").update([SUITE, ...PACKAGES, ...KEPT_PACKAGES].join(" ")).digest("hex").slice(0, 12);
  const base = `${cache}/agent-debian`;
  const root = `${base}/${key}`;
  await Deno.mkdir(base, { recursive: true });
  using lock = await Deno.open(`${base}/lock`, { create: true, write: true });
  await lock.lock(true);
  if (await Deno.stat(root).then(() => true, () => false)) return root;
  const startedAt = performance.now();
  await Deno.remove(`${root}.new`, { recursive: true }).catch(() => {});
  await host(["debootstrap", "--variant=minbase", `--include=${PACKAGES.join(",")}`, SUITE, `${root}.new`]);
  await keepPackages(`${root}.new`);
  for (const folder of ["cache/apt/archives", "lib/apt/lists"]) {
    await Deno.remove(`${root}.new/var/${folder}`, { recursive: true });
  }
  await Deno.rename(`${root}.new`, root);
  console.log(`  a Debian image of ${SUITE} was made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  return root;
}

/** Downloads packages to /opt, by the image's own lists and this machine's resolver. */
async function keepPackages(root: string): Promise<void> {
  await host(["mv", `${root}/etc/resolv.conf`, `${root}/etc/resolv.conf.kept`]);
  await host(["cp", "-L", "/etc/resolv.conf", `${root}/etc/resolv.conf`]);
  const get = 'cd /opt && exec apt-get -q -o APT::Sandbox::User=root download "$@"';
  await host(["chroot", root, "sh", "-c", get, "sh", ...KEPT_PACKAGES]);
  await host(["mv", `${root}/etc/resolv.conf.kept`, `${root}/etc/resolv.conf`]);
}

export class Machine implements AsyncDisposable {
  readonly #root: string;
  readonly #dir: string;
  readonly #namespace: LabNamespace;
  readonly #share: string;
  #nspawn: Deno.ChildProcess | undefined;
  #leader = 0;

  private constructor(root: string, dir: string, namespace: LabNamespace, share: string) {
    this.#root = root;
    this.#dir = dir;
    this.#namespace = namespace;
    this.#share = share;
  }

  /** Boots one on the network of `namespace`. `share` is a directory of ours that it sees, read-only, as /share. */
  static async boot(namespace: LabNamespace, share: string): Promise<Machine> {
    const root = await image();
    const dir = await Deno.makeTempDir({ prefix: "agent-machine-" });
    for (const name of ["upper", "work", "root"]) await Deno.mkdir(`${dir}/${name}`);
    const machine = new Machine(root, dir, namespace, share);
    try {
      await machine.#boot();
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a program in it. Does not throw for an exit code. */
  async run(...argv: string[]): Promise<RunResult> {
    const env = [
      "env",
      "-i",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=/root",
      "LC_ALL=C",
    ];
    const { code, stdout, stderr } = await new Deno.Command("nsenter", {
      args: [
        "--all",
        "--target",
        String(this.#leader),
        "--",
        ...env,
        "SYSTEMD_PAGER=",
        "DEBIAN_FRONTEND=noninteractive",
        ...argv,
      ],
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
  }

  /** As `run`. @throws Error for an exit code other than 0. @returns what it printed, trimmed. */
  async must(...argv: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...argv);
    if (code === 0) return stdout.trim();
    const journal = (await this.run("journalctl", "-b", "-u", "agent", "-n", "40", "--no-pager")).stdout;
    throw new Error(`${argv.join(" ")} ended with ${code}: ${stderr}${stdout}\n${journal}`);
  }

  /** Runs a shell script in it, as `must`. */
  shell(script: string): Promise<string> {
    return this.must("sh", "-euc", script);
  }

  /** Properties of a unit, as `systemctl show` prints them. */
  async unit(name: string, ...properties: string[]): Promise<Record<string, string>> {
    const shown = await this.must("systemctl", "show", name, `--property=${properties.join(",")}`);
    return Object.fromEntries(
      shown.split("\n").map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1)];
      }),
    );
  }

  /** Restarts the whole machine, as `reboot` does. */
  async reboot(): Promise<void> {
    await this.run("systemctl", "reboot");
    // Without a service manager of its own, systemd-nspawn leaves starting again to its caller.
    await this.#nspawn?.status;
    await this.#boot();
  }

  /** Process numbers as this side sees them, of the threads of a process that its side calls `pid`. */
  async threads(pid: number): Promise<number[]> {
    // `NSpid` of each process of the machine ends with its number inside.
    for (const { name } of Deno.readDirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const status = await Deno.readTextFile(`/proc/${name}/status`).catch(() => "");
      const inside = /^NSpid:\t.*\t(\d+)$/m.exec(status)?.[1];
      if (inside !== String(pid) || !this.#isInside(name)) continue;
      return [...Deno.readDirSync(`/proc/${name}/task`)].map((task) => Number(task.name));
    }
    throw new Error(`The machine has no process ${pid}`);
  }

  /** Paths of files that were made, changed or removed in it, below `folder`. */
  async changed(folder: string): Promise<string[]> {
    const found = await host(["find", `${this.#dir}/upper/${folder}`, "!", "-type", "d", "-printf", "%P\n"]);
    return found.split("\n").filter((line) => line !== "").sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of [this.#leader, this.#nspawn?.pid ?? 0]) {
      try {
        if (pid > 0) Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    await this.#nspawn?.status;
    await Deno.remove(this.#dir, { recursive: true });
  }

  #isInside(pid: string): boolean {
    try {
      return Deno.readLinkSync(`/proc/${pid}/ns/pid`) === Deno.readLinkSync(`/proc/${this.#leader}/ns/pid`);
    } catch {
      return false;
    }
  }

  async #boot(): Promise<void> {
    // The overlay is mounted in a namespace of its own and goes with it, however this ends.
    const script = `
      mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
      exec systemd-nspawn --quiet --boot --register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off \\
        --console=pipe --machine="agent-$3" --directory="$2/root" --network-namespace-path="$4" \\
        --capability=CAP_NET_ADMIN,CAP_NET_RAW --bind=/dev/net/tun --bind-ro="$5:/share"
    `;
    const unique = crypto.getRandomValues(new Uint8Array(4)).toHex();
    const { name } = this.#namespace;
    const nspawn = new Deno.Command("unshare", {
      args: ["-m", "sh", "-euc", script, "sh", this.#root, this.#dir, unique, netnsPath(name), this.#share],
      env: { SYSTEMD_NSPAWN_API_VFS_WRITABLE: "network" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    this.#nspawn = nspawn;
    this.#leader = 0;
    let ended = false;
    nspawn.status.then(() => ended = true);
    const deadline = performance.now() + BOOT_TIMEOUT_MS;
    let seen = "nothing";
    while (performance.now() < deadline && !ended) {
      // unshare and sh have become nspawn, whose one child is the machine's process 1.
      const children = await Deno.readTextFile(`/proc/${nspawn.pid}/task/${nspawn.pid}/children`).catch(() => "");
      const child = Number(children.trim().split(" ")[0]);
      if (child > 0) {
        this.#leader = child;
        seen = (await this.run("systemctl", "is-system-running")).stdout.trim();
        if (seen === "running" || seen === "degraded") return;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`The machine does not boot: ${ended ? "systemd-nspawn ended" : `it says ${seen}`}`);
  }
}
