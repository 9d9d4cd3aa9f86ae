import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { closeFd, FfiError } from "../../ffi/libc.ts";
import { peerCredentials, socketFd } from "../../ffi/peercred.ts";
import { privilegedTest } from "../netlab/privileged.ts";

/** Connects from this thread as `uid`, which a plain system call, unlike setresuid(3), changes for this thread alone. */
function connectAs(uid: number, path: string): number {
  const { symbols } = Deno.dlopen("libc.so.6", {
    syscall: { parameters: ["i32", "i32", "i32", "i32"], result: "i32" },
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  });
  const setresuid = Deno.build.arch === "x86_64" ? 117 : 147;
  const address = new Uint8Array(110);
  address[0] = 1;
  address.set(new TextEncoder().encode(path), 2);
  const fd = symbols.socket(1, 1, 0);
  assert.equal(symbols.syscall(setresuid, -1, uid, -1), 0);
  const result = symbols.connect(fd, address, 110);
  symbols.syscall(setresuid, -1, 0, -1);
  assert.equal(result, 0);
  return fd;
}

Deno.test("peerCredentials() of a node:http request's socket are the caller's pid, uid and gid", async () => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/sock`;
  const seen: unknown[] = [];
  const server = createHttpServer((request, response) => {
    const fd = socketFd(request.socket);
    assert.ok(fd !== undefined);
    seen.push(peerCredentials(fd));
    response.end();
  }).listen(path);
  await once(server, "listening");
  const code = `const c = await Deno.connect({ transport: "unix", path: ${JSON.stringify(path)} });
    await c.write(new TextEncoder().encode("GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"));
    for await (const _ of c.readable);`;
  const caller = new Deno.Command(Deno.execPath(), { args: ["eval", code] }).spawn();
  assert.equal((await caller.status).code, 0);
  assert.deepEqual(seen, [{ pid: caller.pid, uid: Deno.uid(), gid: Deno.gid() }]);
  await new Promise((resolve) => server.close(resolve));
  Deno.removeSync(directory, { recursive: true });
});

privilegedTest("peerCredentials() of a node:net socket name another user", async () => {
  const directory = Deno.makeTempDirSync();
  Deno.chmodSync(directory, 0o755);
  const path = `${directory}/sock`;
  const seen: unknown[] = [];
  const server = createServer((socket: Socket) => {
    seen.push(peerCredentials(socketFd(socket)!));
    socket.end();
  }).listen(path);
  await once(server, "listening");
  Deno.chmodSync(path, 0o666);
  const accepted = once(server, "connection");
  const fd = connectAs(65534, path);
  await accepted;
  assert.deepEqual(seen, [{ pid: Deno.pid, uid: 65534, gid: 0 }]);
  closeFd(fd);
  await new Promise((resolve) => server.close(resolve));
  Deno.removeSync(directory, { recursive: true });
});

Deno.test("peerCredentials() throws rather than guess", () => {
  assert.throws(() => peerCredentials(-1), (error) => error instanceof FfiError && error.code === "EBADF");
  assert.throws(() => peerCredentials(0));
});

Deno.test("socketFd() of what has none is undefined", () => {
  for (const thing of [undefined, null, {}, { _handle: null }, { _handle: { fd: -1 } }, { _handle: { fd: "3" } }]) {
    assert.equal(socketFd(thing), undefined);
  }
});
