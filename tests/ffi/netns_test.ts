import assert from "node:assert/strict";
import { FfiError } from "../../ffi/libc.ts";
import { createNetns, deleteNetns, inNetns, listNetns, netnsPath, openNetns, spawnInNetns } from "../../ffi/netns.ts";
import { Netlink } from "../../ffi/netlink.ts";
import { listLinks } from "../../ffi/rt_link.ts";
import { closeFd } from "../../ffi/libc.ts";
import { privilegedTest } from "../netlab/privileged.ts";

const here = () => Deno.readLinkSync("/proc/thread-self/ns/net");
const links = (netlink: Netlink) => listLinks(netlink).map(({ name }) => name);

async function withNetns(body: (name: string) => void | Promise<void>): Promise<void> {
  const name = `nstest${Deno.pid}`;
  createNetns(name);
  try {
    await body(name);
  } finally {
    deleteNetns(name);
  }
  assert.ok(!listNetns().includes(name));
}

privilegedTest("createNetns() makes a namespace others can open and leaves this thread where it was", () => {
  const home = here();
  return withNetns((name) => {
    assert.equal(here(), home);
    assert.ok(listNetns().includes(name));
    closeFd(openNetns(name));
    assert.throws(
      () => createNetns(name),
      (error) => error instanceof FfiError && /^Cannot .*create|EEXIST/.test(error.message),
    );
    assert.ok(Deno.statSync(netnsPath(name)).ino !== Deno.statSync("/proc/self/ns/net").ino);
  });
});

privilegedTest("inNetns() opens sockets inside and returns, also when the body throws", () => {
  const home = here();
  return withNetns((name) => {
    const inside = inNetns<string>(name, here);
    assert.notEqual(inside, home);
    assert.throws(() =>
      inNetns<void>(name, () => {
        throw new Error("from within");
      }), /from within/);
    assert.equal(here(), home);
    assert.throws(
      () => inNetns<void>("absent", () => {}),
      (error) => error instanceof FfiError && error.code === "ENOENT",
    );
    assert.equal(here(), home);
    using netlink = inNetns<Netlink>(name, () => new Netlink());
    assert.deepEqual(links(netlink), ["lo"], "the socket stays in its namespace after the thread has left");
  });
});

privilegedTest(
  "spawnInNetns() forks inside, every time, and its child's children are there too",
  () =>
    withNetns(async (name) => {
      const inside = inNetns<string>(name, here);
      for (let i = 0; i < 8; i++) {
        const argv = i % 2
          ? ["/bin/sh", "-c", "readlink /proc/self/ns/net"]
          : [Deno.execPath(), "eval", "console.log(Deno.readLinkSync('/proc/thread-self/ns/net'))"];
        const child = spawnInNetns(name, argv, { stdout: "piped" });
        assert.equal(new TextDecoder().decode((await child.output()).stdout).trim(), inside);
      }
      assert.throws(() => spawnInNetns(name, ["/no/such/program"]), Deno.errors.NotFound);
    }),
);

Deno.test("netnsPath() refuses a name that is a path or an option", () => {
  for (const name of ["", "../x", "a/b", "-a", ".", "a b", "a\0"]) assert.throws(() => netnsPath(name), TypeError);
});

privilegedTest("deleteNetns() says when there is none", () => {
  assert.equal(deleteNetns(`absent${Deno.pid}`), false);
});
