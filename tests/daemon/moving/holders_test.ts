import assert from "node:assert/strict";
import { holdersOf, namesOf } from "../../../daemon/moving/holders.ts";

/** A state directory and a /proc of these processes; `open` are files they have open. */
function world(
  processes: readonly { pid: number; comm?: string; cmdline?: readonly string[]; open?: readonly string[] }[],
): { state: string; proc: string; [Symbol.dispose](): void } {
  const root = Deno.makeTempDirSync({ prefix: "holders-" });
  const [state, proc] = [`${root}/state`, `${root}/proc`];
  Deno.mkdirSync(`${state}/certs`, { recursive: true });
  Deno.writeTextFileSync(`${state}/tailscaled.log1.txt`, "");
  Deno.writeTextFileSync(`${state}/certs/a.pem`, "");
  Deno.mkdirSync(`${root}/elsewhere`);
  Deno.writeTextFileSync(`${root}/elsewhere/file`, "");
  Deno.mkdirSync(`${proc}/self`, { recursive: true });
  for (const { pid, comm = "x", cmdline = [comm], open = [] } of processes) {
    Deno.mkdirSync(`${proc}/${pid}/fd`, { recursive: true });
    Deno.writeTextFileSync(`${proc}/${pid}/comm`, `${comm}\n`);
    Deno.writeTextFileSync(`${proc}/${pid}/cmdline`, cmdline.map((arg) => `${arg}\0`).join("").replaceAll("@", root));
    open.forEach((path, fd) => Deno.symlinkSync(path.replace("@", root), `${proc}/${pid}/fd/${fd}`));
  }
  return { state, proc, [Symbol.dispose]: () => Deno.removeSync(root, { recursive: true }) };
}

Deno.test("holdersOf() finds who has a file of the directory open, at any depth and under any name", () => {
  using it = world([
    { pid: 7, comm: "myserver", open: ["socket:[1]", "@/state/tailscaled.log1.txt"] },
    { pid: 8, comm: "acme", open: ["@/state/certs/a.pem"] },
    { pid: 9, comm: "other", open: ["@/elsewhere/file", "/dev/null", "@/gone"] },
  ]);
  const holders = holdersOf(it.state, it.proc).sort((a, b) => a.pid - b.pid);
  assert.deepEqual(holders, [{ pid: 7, name: "myserver" }, { pid: 8, name: "acme" }]);
  assert.equal(namesOf(holders), "myserver (process 7), acme (process 8)");
});

Deno.test("holdersOf() finds a tailscaled that logs nowhere by its command line", () => {
  const tailscaled = (pid: number, ...args: string[]) => ({
    pid,
    comm: "tailscaled",
    cmdline: ["/usr/sbin/tailscaled", ...args],
  });
  using it = world([
    tailscaled(1, "--state=@/state/tailscaled.state", "--port=41641"),
    tailscaled(2, "-statedir", "@/state"),
    tailscaled(3, "--state", "mem:", "--statedir=@/state"),
    tailscaled(4, "--state=@/elsewhere/tailscaled.state"),
    tailscaled(5),
    tailscaled(6, "--state=mem:"),
    { pid: 10, comm: "vi", cmdline: ["vi", "--state=@/state/tailscaled.state"] },
  ]);
  assert.deepEqual(holdersOf(it.state, it.proc).map(({ pid }) => pid).sort(), [1, 2, 3]);
});

Deno.test("holdersOf() says nobody for a directory that is not there, and leaves this process out", () => {
  using it = world([{ pid: Deno.pid, open: ["@/state/tailscaled.log1.txt"] }]);
  assert.deepEqual(holdersOf(`${it.state}/none`, it.proc), []);
  assert.deepEqual(holdersOf(it.state, it.proc), []);
});
