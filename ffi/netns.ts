/**
 * Network namespaces, named as `ip netns` names them: a bind mount in /run/netns.
 *
 * A namespace belongs to a thread. JavaScript and synchronous FFI calls run on one thread of the process, so that thread
 * can step into a namespace, open what it needs there (a socket stays where it was opened, a child where it was
 * forked) and step back before anything else runs. No other thread of the process is moved.
 *
 * Source: namespaces(7), setns(2), ip-netns(8).
 */

import { check, closeFd, cString, EINVAL, ENOENT, errno, FfiError, libc, O_RDONLY, openFile } from "./libc.ts";

const DIRECTORY = "/run/netns";
const SELF = "/proc/thread-self/ns/net";
const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000n;
const MS_REC = 0x4000n;
const MS_SHARED = 0x100000n;
const MNT_DETACH = 2;

/** Where the namespace `name` is mounted. */
export function netnsPath(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) throw new TypeError(`Cannot name a namespace "${name}"`);
  return `${DIRECTORY}/${name}`;
}

/** Creates the namespace `name`, its loopback down. @throws FfiError: EEXIST, or EPERM without CAP_SYS_ADMIN. */
export function createNetns(name: string): void {
  const path = netnsPath(name);
  prepareDirectory();
  closeFd(openFile(path, O_RDONLY | 0o100 | 0o200, 0o444));
  const home = openFile(SELF, O_RDONLY);
  try {
    check(libc.unshare(CLONE_NEWNET), "unshare", `create network namespace ${name}`);
    check(libc.mount(cString(SELF), cString(path), cString("none"), MS_BIND, null), "mount", `mount ${path}`);
  } catch (error) {
    Deno.removeSync(path);
    throw error;
  } finally {
    returnTo(home);
  }
}

/** Deletes the name; the namespace goes when the last process or descriptor in it does. @returns false if there was none. */
export function deleteNetns(name: string): boolean {
  const path = netnsPath(name);
  if (libc.umount2(cString(path), MNT_DETACH) < 0 && errno() !== EINVAL) {
    if (errno() === ENOENT) return false;
    throw new FfiError("umount2", errno(), `unmount ${path}`);
  }
  Deno.removeSync(path);
  return true;
}

/** Names of all namespaces in /run/netns. */
export function listNetns(): string[] {
  try {
    return [...Deno.readDirSync(DIRECTORY)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** A descriptor of the namespace `name`, for `LinkChanges.netns` and `addVeth`. Close it. @throws FfiError */
export function openNetns(name: string): number {
  return openFile(netnsPath(name), O_RDONLY);
}

/**
 * Runs `body` with this thread in the namespace `name`, and steps back. `body` must be synchronous: what it opens or
 * spawns belongs to the namespace, what it leaves to later does not. It must not start work on other threads (an
 * asynchronous file or name operation): a thread born meanwhile stays in the namespace.
 */
export function inNetns<T>(name: string, body: () => T extends PromiseLike<unknown> ? never : T): T {
  const home = openFile(SELF, O_RDONLY);
  let target = -1;
  try {
    target = openNetns(name);
    check(libc.setns(target, CLONE_NEWNET), "setns", `enter network namespace ${name}`);
    return body();
  } finally {
    if (target >= 0) closeFd(target);
    returnTo(home);
  }
}

/** Starts a child in the namespace `name`. The fork is made by the calling thread, so the child is born there. */
export function spawnInNetns(
  name: string,
  argv: readonly string[],
  options: Deno.CommandOptions = {},
): Deno.ChildProcess {
  const command = new Deno.Command(argv[0], { ...options, args: argv.slice(1) });
  return inNetns<Deno.ChildProcess>(name, () => command.spawn());
}

function returnTo(home: number): void {
  const result = libc.setns(home, CLONE_NEWNET);
  const code = errno();
  closeFd(home);
  // To go on in a foreign namespace would send this process's traffic through it.
  if (result < 0) throw new FfiError("setns", code, "return to the network namespace of the process");
}

/** /run/netns must be a shared mount, so that namespaces mounted here are seen elsewhere too, as `ip netns` does it. */
function prepareDirectory(): void {
  Deno.mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  const directory = cString(DIRECTORY);
  if (libc.mount(cString(""), directory, cString("none"), MS_SHARED | MS_REC, null) === 0) return;
  if (errno() !== EINVAL) throw new FfiError("mount", errno(), `share ${DIRECTORY}`);
  check(libc.mount(directory, directory, cString("none"), MS_BIND | MS_REC, null), "mount", `mount ${DIRECTORY}`);
  check(libc.mount(cString(""), directory, cString("none"), MS_SHARED | MS_REC, null), "mount", `share ${DIRECTORY}`);
}
