import assert from "node:assert/strict";
import { hostname, release } from "node:os";
import { formatPrefix, parseIp } from "../../base/ip.ts";
import { icmpEcho, internetChecksum } from "../../ffi/icmp.ts";
import { lockFile } from "../../ffi/flock.ts";
import { check, cString, errnoName, FfiError, libc, openFile } from "../../ffi/libc.ts";
import { bootId, distribution, localAddresses, uname } from "../../ffi/sysinfo.ts";
import { userByName, userByUid } from "../../ffi/user.ts";
import { Lab, privilegedTest } from "../netlab/lab.ts";

Deno.test("check() names the call, the error and what could not be done", () => {
  assert.equal(check(3, "read"), 3);
  assert.throws(() => openFile("/no/such/file", 0), (error) => {
    assert.ok(error instanceof FfiError);
    assert.equal(error.message, "Cannot open /no/such/file: ENOENT, No such file or directory");
    assert.deepEqual([error.syscall, error.errno, error.code], ["open", 2, "ENOENT"]);
    return true;
  });
  assert.equal(errnoName(-11), "EAGAIN");
  assert.equal(errnoName(4095), "E4095");
  assert.throws(() => cString("a\0b"), TypeError);
});

Deno.test("errno survives another thread's failures", async () => {
  libc.close(-1);
  await libc.poll_async(new Uint8Array(8), 1, 0);
  assert.throws(() => check(libc.close(-1), "close"), /EBADF/);
});

Deno.test("lockFile() is exclusive, between processes and within one, and released by close", async () => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/lock`;
  const lock = lockFile(path);
  assert.ok(lock !== undefined);
  assert.equal(lockFile(path), undefined);
  const other = async () => {
    const module = new URL("../../ffi/flock.ts", import.meta.url).href;
    const code = `import { lockFile } from ${JSON.stringify(module)}; console.log(lockFile(${
      JSON.stringify(path)
    }) !== undefined);`;
    const output = await new Deno.Command(Deno.execPath(), { args: ["eval", code] }).output();
    return new TextDecoder().decode(output.stdout).trim();
  };
  assert.equal(await other(), "false");
  lock.release();
  lock.release();
  assert.equal(await other(), "true", "and a lock ends with its process");
  lockFile(path)!.release();
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  assert.throws(() => lockFile(`${directory}/no/lock`), FfiError);
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("TS-2026-006, -009: userByName() finds names and nothing that only looks like one", () => {
  assert.deepEqual(userByName("root"), { name: "root", uid: 0, gid: 0, home: "/root" });
  assert.deepEqual(userByUid(0), userByName("root"));
  for (const name of ["0", "-0", "", "root\0x", " root", "no such user", "65534"]) {
    assert.equal(userByName(name), undefined, name);
  }
  assert.equal(userByUid(3_999_999_999), undefined);
});

Deno.test("uname(), bootId() and distribution() tell what the machine says elsewhere", () => {
  assert.equal(uname().release, release());
  assert.equal(uname().hostname, hostname());
  assert.equal(uname().system, "Linux");
  assert.equal(uname().machine, Deno.build.arch);
  assert.match(bootId(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(typeof distribution().id, "string");
});

Deno.test("localAddresses() includes loopback", () => {
  const loopback = localAddresses().filter((address) => address.loopback);
  assert.ok(loopback.some(({ prefix, device, up }) => formatPrefix(prefix) === "127.0.0.1/8" && device === "lo" && up));
});

Deno.test("internetChecksum() is RFC 1071's, for odd lengths too", () => {
  assert.equal(internetChecksum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)), ~0xddf2 & 0xffff);
  assert.equal(internetChecksum(Uint8Array.of(1)), 0xfeff);
  const message = Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4, 5);
  new DataView(message.buffer).setUint16(2, internetChecksum(message));
  assert.equal(internetChecksum(message), 0);
});

privilegedTest(
  "icmpEcho() measures a neighbour over IPv4 and IPv6, and is undefined for one that is silent",
  async () => {
    await using lab = await Lab.create();
    const [a, b] = [lab.namespace("a"), lab.namespace("b")];
    lab.link(a, ["10.7.0.1/24", "fd07::1/64"], b, ["10.7.0.2/24", "fd07::2/64"]);
    const ping = (text: string, timeoutMs: number) =>
      a.within<{ answer: Promise<number | undefined> }>(() => ({ answer: icmpEcho({ ip: parseIp(text)!, timeoutMs }) }))
        .answer;
    for (const range of [undefined, "0 2147483647"]) {
      if (range !== undefined) a.sysctl("net/ipv4/ping_group_range", range);
      for (const ip of ["10.7.0.2", "fd07::2"]) {
        const ms = await ping(ip, 2000);
        assert.ok(ms !== undefined && ms < 1000, `${ip}: ${ms}`);
      }
      assert.equal(await ping("10.7.0.3", 100), undefined);
    }
    await assert.rejects(
      ping("203.0.113.1", 100),
      (error) => error instanceof FfiError && error.code === "ENETUNREACH",
    );
  },
);
