/** The executable, attacked: what is around it must not change what it does, and what cannot work says why. */
import assert from "node:assert/strict";
import { VERSION } from "../../base/version.ts";
import { WORKERS } from "../../base/worker_url.ts";
import { privilegedTest } from "../netlab/privileged.ts";
import { build, builtAgent, copyCheckout } from "../support/built_agent.ts";

const NOBODY = 65534;
const AS_NOBODY = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A directory that goes away, and the executable in it. */
class Ground implements AsyncDisposable {
  readonly dir: string;
  /** For a test's own unpacking. */
  readonly cache: string;
  readonly agent: string;

  private constructor(dir: string) {
    this.dir = dir;
    this.cache = `${dir}/cache`;
    this.agent = `${dir}/agent`;
  }

  static async create(): Promise<Ground> {
    const ground = new Ground(await Deno.makeTempDir({ prefix: "agent-built-" }));
    await Deno.chmod(ground.dir, 0o755);
    await Deno.copyFile(`${await builtAgent()}/agent`, ground.agent);
    await Deno.chmod(ground.agent, 0o755);
    return ground;
  }

  /** Runs with no environment but `env`, in a directory that nobody may write to. */
  async run(argv: readonly string[], env: Record<string, string> = {}, cwd = "/proc"): Promise<Ran> {
    const { code, stdout, stderr } = await new Deno.Command(argv[0], {
      args: argv.slice(1),
      cwd,
      clearEnv: true,
      env: { AGENT_UNPACK_DIR: this.cache, ...env },
    }).output();
    const text = new TextDecoder();
    return { code, out: text.decode(stdout), err: text.decode(stderr) };
  }

  /** Runs a shell script in a mount namespace of its own. `$agent` is the executable. */
  async mounted(script: string): Promise<Ran> {
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", agent: this.agent, dir: this.dir, LC_ALL: "C" };
    return await this.run(["/usr/bin/unshare", "-m", "/bin/sh", "-euc", script], env);
  }

  /** What lies in the cache, names of locks and of unfinished copies too. */
  cached(cache = this.cache): string[] {
    return [...Deno.readDirSync(cache)].map(({ name }) => name).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** One line, beginning with the program's name, that says `what`. */
function assertOneLine({ code, err }: Ran, what: RegExp): void {
  assert.equal(code, 1, err);
  assert.match(err, /^agent: [^\n]*\n$/);
  assert.match(err, what);
}

privilegedTest(
  "the executable and its packages are the same bytes wherever, whenever and by whomever they are built",
  async () => {
    const dir = await Deno.makeTempDir({ prefix: "agent-elsewhere-" });
    try {
      await copyCheckout(`${dir}/deep/er`);
      const cache = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
      await Deno.symlink(cache, `${dir}/npm`);
      const env = { HOME: `${dir}/home`, DENO_DIR: `${dir}/npm`, TMPDIR: dir, TZ: "Asia/Tokyo" };
      await build(`${dir}/deep/er`, ["--self-extracting", `--output=${dir}/agent`], env);
      const hash = async (path: string) =>
        new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(path))).toHex();
      for (const file of ["agent", `agent-${VERSION}.deb`, `agent-${VERSION}.tar.gz`]) {
        assert.equal(await hash(`${dir}/${file}`), await hash(`${await builtAgent()}/${file}`), file);
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

privilegedTest("six first runs at once unpack one copy; no PATH, HOME or working directory is needed", async () => {
  await using ground = await Ground.create();
  const runs = await Promise.all(Array.from({ length: 6 }, () => ground.run([ground.agent, "version"])));
  for (const { code, out, err } of runs) assert.ok(code === 0 && out.startsWith(`${VERSION}\n  commit: `), err);
  const [version, lock, ...more] = ground.cached();
  assert.match(version, /^[0-9a-f]{16}$/);
  assert.equal(lock, `${version}.lock`);
  assert.deepEqual(more, [], "nothing unfinished is left");

  const sparse: Record<string, string>[] = [{ PATH: "" }, { HOME: "/nonexistent" }, { PATH: "/nonexistent", HOME: "" }];
  for (const env of sparse) {
    assert.equal((await ground.run([ground.agent, "version"], env)).code, 0);
  }
  assert.equal((await ground.run([ground.agent, "bogus"])).code, 2);
  for (const [name, start] of [["tailscale", /^tailscale /], ["tailscaled", /^Usage: tailscaled /]] as const) {
    await Deno.symlink(ground.agent, `${ground.dir}/${name}`);
    assert.match((await ground.run([`${ground.dir}/${name}`, "--help"])).out, start);
  }
  const plain = await ground.run([...AS_NOBODY, ground.agent, "version"]);
  assert.ok(plain.out.startsWith(VERSION), `a plain user runs root's copy: ${plain.err}`);
});

privilegedTest("a plain user without root's copy keeps one of their own; HOME may be unset", async () => {
  await using ground = await Ground.create();
  const own = `${ground.dir}/home`;
  await Deno.mkdir(own);
  await Deno.chown(own, NOBODY, NOBODY);
  const without = await ground.mounted(`
    # A machine on which root has run nothing.
    mount -t tmpfs none /var/cache
    install -m 0755 "$agent" /var/cache/executable
    mount -t tmpfs -o mode=1777 none /tmp
    ${AS_NOBODY.join(" ")} env -i /var/cache/executable version
    ls -ld /tmp/.agent-${NOBODY}
  `);
  assert.ok(without.out.startsWith(VERSION), without.err);
  assert.match(without.out, /^drwxr-xr-x .* nobody nogroup .*\/tmp\/\.agent-65534$/m);
  const set = await ground.run([...AS_NOBODY, ground.agent, "version"], { AGENT_UNPACK_DIR: `${own}/unpacked` });
  assert.equal(set.code, 0, set.err);
  assert.equal(Deno.statSync(`${own}/unpacked`).uid, NOBODY);
});

privilegedTest("what another could have written is not run: a link, another owner, a mode too wide", async () => {
  await using ground = await Ground.create();
  const { agent, cache, dir } = ground;
  assert.equal((await ground.run([agent, "version"])).code, 0);
  const [version] = ground.cached();
  const unlike = async (change: () => Promise<void>, undo: () => Promise<void>) => {
    await change();
    assertOneLine(await ground.run([agent, "version"]), /only you may write to; remove it|somebody else made it/);
    await undo();
    assert.equal((await ground.run([agent, "version"])).code, 0);
  };
  await unlike(() => Deno.chmod(cache, 0o777), () => Deno.chmod(cache, 0o755));
  await unlike(() => Deno.chmod(cache, 0o775), () => Deno.chmod(cache, 0o755));
  await unlike(() => Deno.chown(cache, NOBODY, null), () => Deno.chown(cache, 0, null));
  await unlike(() => Deno.chmod(`${cache}/${version}`, 0o777), () => Deno.chmod(`${cache}/${version}`, 0o755));
  await unlike(() => Deno.chown(`${cache}/${version}`, 1, null), () => Deno.chown(`${cache}/${version}`, 0, null));
  await unlike(
    async () => {
      await Deno.rename(cache, `${dir}/elsewhere`);
      await Deno.symlink(`${dir}/elsewhere`, cache);
    },
    async () => {
      await Deno.remove(cache);
      await Deno.rename(`${dir}/elsewhere`, cache);
    },
  );
});

privilegedTest("nothing of the environment or of the working directory changes what it does", async () => {
  await using ground = await Ground.create();
  const here = `${ground.dir}/here`;
  await Deno.mkdir(here);
  const broken = "{ this is no JSON";
  for (const name of ["deno.json", "package.json", "deno.lock", "tsconfig.json"]) {
    await Deno.writeTextFile(`${here}/${name}`, broken);
  }
  await Deno.writeTextFile(`${here}/.env`, "DENO_V8_FLAGS=--help\n");
  await Deno.writeTextFile(`${here}/.npmrc`, "registry=http://127.0.0.1:1/\n");
  const env = {
    DENO_DIR: `${ground.dir}/poisoned`,
    DENO_V8_FLAGS: "--help",
    DENO_TLS_CA_STORE: "bogus",
    DENO_AUTH_TOKENS: "a\nb@c",
    DENO_COMPAT: "1",
    NODE_OPTIONS: "--require /nonexistent.js",
    NODE_PATH: here,
    COMPLETE: "bash",
  };
  const ran = await ground.run([ground.agent, "version"], env, here);
  assert.ok(ran.code === 0 && ran.out.startsWith(VERSION), ran.err);
  assert.equal(ran.err, "");
  assert.equal([...Deno.readDirSync(ground.dir)].some(({ name }) => name === "poisoned"), false);
  assert.equal([...Deno.readDirSync(here)].length, 6, "nothing is written where it is run");
});

privilegedTest("noexec, a full disk, a damaged file, read-only: one line each, and nothing is left", async () => {
  await using ground = await Ground.create();
  await Deno.mkdir(`${ground.dir}/mount`);
  const on = (options: string) =>
    ground.mounted(`
      mount -t tmpfs -o ${options} none "$dir/mount"
      AGENT_UNPACK_DIR="$dir/mount" "$agent" version || code=$?
      ls -A "$dir/mount"
      exit "\${code:-0}"
    `);
  const noexec = await on("noexec,mode=755");
  assertOneLine(noexec, /mounted noexec; set AGENT_UNPACK_DIR/);
  assert.equal(noexec.out, "");
  const full = await on("size=20m,mode=755");
  assertOneLine(full, /cannot unpack .* for lack of space /);
  assert.equal(full.out, "");
  assertOneLine(await on("ro,mode=755"), /cannot write to .*; set AGENT_UNPACK_DIR/);

  const whole = await Deno.readFile(ground.agent);
  await Deno.writeFile(ground.agent, whole.subarray(0, whole.length / 2), { mode: 0o755 });
  assertOneLine(await ground.run([ground.agent, "version"]), /the file is damaged/);
  assert.deepEqual(ground.cached(), []);
});

privilegedTest("musl, an old glibc and another machine are each told in one line", async () => {
  await using ground = await Ground.create();
  const runtimes: readonly [string, Uint8Array, RegExp][] = [
    ["musl", new TextEncoder().encode("#!/lib/ld-nonexistent.so\n"), /no glibc \(musl\?\): glibc 2\.27 or newer/],
    [
      "old",
      new TextEncoder().encode("#!/bin/sh\necho \"version 'GLIBC_2.27' not found\" >&2; exit 1\n"),
      /C library is too old: glibc 2\.27/,
    ],
    // An ELF header for a machine that there is none of.
    [
      "other",
      Uint8Array.from([0x7f, 69, 76, 70, 2, 1, 1, ...Array(9).fill(0), 2, 0, 0xff, 0xff]),
      /this file is for x86_64/,
    ],
  ];
  await copyCheckout(`${ground.dir}/source`);
  for (const [name, runtime, said] of runtimes) {
    const path = `${ground.dir}/${name}`;
    await Deno.writeFile(path, runtime);
    await build(`${ground.dir}/source`, [
      ...[
        "--self-extracting",
        `--output=${path}.agent`,
        `--runtime=${path}`,
        "--target=x86_64-unknown-linux-gnu",
        "--no-packages",
      ],
    ]);
    assertOneLine(await ground.run([`${path}.agent`, "version"]), said);
    assert.deepEqual(ground.cached(), []);
  }
});

privilegedTest("old versions go when a new one is unpacked, but none that a running process holds", async () => {
  await using ground = await Ground.create();
  const { agent, cache } = ground;
  assert.equal((await ground.run([agent, "version"])).code, 0);
  const [first] = ground.cached();
  // Something that runs for long, without a daemon: a wait for one.
  const running = new Deno.Command(agent, {
    args: ["--socket", `${ground.dir}/none.sock`, "wait", "--timeout", "60s"],
    env: { AGENT_UNPACK_DIR: cache },
    stdout: "null",
    stderr: "null",
  }).spawn();
  while (
    await Deno.readTextFile(`/proc/${running.pid}/cmdline`).then((text) => !text.includes("main.js"), () => true)
  ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const next = `${ground.dir}/next`;
  await Deno.copyFile(`${await builtAgent("0.1.1")}/agent`, next);
  await Deno.chmod(next, 0o755);
  assert.ok((await ground.run([next, "version"])).out.startsWith("0.1.1"));
  assert.ok(ground.cached().includes(first), "held by the process that runs");
  running.kill("SIGTERM");
  await running.status;
  const second = ground.cached().find((name) => name !== first && /^[0-9a-f]{16}$/.test(name))!;
  await Deno.remove(`${cache}/${second}`, { recursive: true });
  assert.equal((await ground.run([next, "version"])).code, 0);
  assert.deepEqual(ground.cached().filter((name) => !name.endsWith(".lock")), [second], "let go, and gone");
});

privilegedTest(
  "the heap's limit follows the lowest memory limit above the process, of both kinds of cgroup",
  async () => {
    await using ground = await Ground.create();
    const heap = async (files: Readonly<Record<string, string>>) => {
      const made = Object.entries(files).map(([path, text]) =>
        `mkdir -p "$(dirname /sys/fs/cgroup/${path})"; echo ${text} >/sys/fs/cgroup/${path}`
      );
      const { out, err } = await ground.mounted(`
      mount -t tmpfs none /sys/fs/cgroup
      ${made.join("\n")}
      printf '%s\\n' 7:cpu:/ 4:cpu,memory:/a/b 0::/a/b >"$dir/cgroup"
      mount --bind "$dir/cgroup" /proc/$$/cgroup
      # The header is read by this very process, whose file was replaced.
      set -- daemon --version
      sed 's/^exec .*/echo "heap $heap"; exit/' "$agent" >"$dir/asks"
      self=$dir/asks; . "$dir/asks"
    `);
      return Number(/^heap (\d+)$/m.exec(out)?.[1] ?? assert.fail(out + err));
    };
    await ground.run([ground.agent, "version"]);
    const mib = (count: number) => String(count * 1048576);
    assert.equal(await heap({}), 1024);
    assert.equal(await heap({ "memory.max": "max", "a/memory.max": mib(300), "a/b/memory.max": mib(400) }), 300 - 96);
    assert.equal(await heap({ "memory/a/b/memory.limit_in_bytes": mib(256) }), 256 - 96);
    assert.equal(await heap({ "memory/memory.limit_in_bytes": "9223372036854771712" }), 1024);
    assert.equal(await heap({ "a/b/memory.max": mib(64) }), 48, "never too little to start");
  },
);

Deno.test("a compiled executable has every worker; its runtime is a stand-in here", async () => {
  const dir = await Deno.makeTempDir({ prefix: "agent-compiled-" });
  try {
    await copyCheckout(`${dir}/source`);
    await Deno.copyFile("/bin/true", `${dir}/runtime`);
    const printed = await build(`${dir}/source`, [`--output=${dir}/agent`, "--no-packages"], {
      DENORT_BIN: `${dir}/runtime`,
    });
    assert.match(printed, /: compiled for /);
    const text = new TextDecoder("latin1").decode(await Deno.readFile(`${dir}/agent`));
    for (const worker of [...Object.values(WORKERS), "engine/dataplane/kernels/kernels_wasm"]) {
      // Its first long line is its marker: no other file has it.
      const source = await Deno.readTextFile(`${dir}/source/${worker}.ts`);
      const marker = source.split("\n").find((line) => line.length > 40)!.trim();
      assert.ok(text.includes(marker), `${worker}: "${marker}" is not in the executable`);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("every worker of the program is started by workerUrl() and built", async () => {
  const root = new URL("../..", import.meta.url).pathname;
  const { FOLDERS } = await import("../../tools/build/stage.ts");
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(`${root}/${folder}`)) {
      const path = `${folder}/${name}`;
      if (isDirectory) await walk(path);
      else if (path.endsWith("_worker.ts")) found.push(path.slice(0, -3));
      if (!path.endsWith(".ts")) continue;
      for (const [, argument] of (await Deno.readTextFile(`${root}/${path}`)).matchAll(/new Worker\(\s*(\w+)/g)) {
        assert.equal(argument, "workerUrl", `${path} finds a worker by itself`);
      }
    }
  };
  for (const folder of FOLDERS) await walk(folder);
  assert.deepEqual(found.sort(), Object.values(WORKERS).toSorted());
});

Deno.test("a verb that is no server gives up native code before it is loaded", async () => {
  const script = `
    const { runCommandLine } = await import("./cli/run.ts");
    await runCommandLine(["version"], "agent");
    console.log(Deno.permissions.querySync({ name: "ffi" }).state);
  `;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", script],
    cwd: new URL("../..", import.meta.url).pathname,
  }).output();
  assert.equal(new TextDecoder().decode(stdout).trim().split("\n").at(-1), "prompt");
});
