import assert from "node:assert/strict";
import { connect } from "node:net";
import { peerCredentials, socketFd } from "../../../ffi/peercred.ts";
import { createLog } from "../../../daemon/log.ts";
import { isLocalRequest, LocalApiServer, MAX_BODY } from "../../../daemon/localapi/server.ts";
import type { LocalApiOptions } from "../../../daemon/localapi/server.ts";
import { BadRequest, json, requireWrite } from "../../../daemon/localapi/reply.ts";
import type { Handler } from "../../../daemon/localapi/reply.ts";
import { SocketError } from "../../../daemon/localapi/socket_file.ts";
import { unixHttp, UnixStream } from "../../support/unix_http.ts";

const QUIET = createLog({ verbose: 0, wall: () => 0, write: () => {} });

async function withServer(options: Partial<LocalApiOptions>, run: (path: string) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "agent-api-" });
  const path = `${directory}/sub/a.sock`;
  const server = await LocalApiServer.listen({
    path,
    version: "1.2.3",
    capabilityVersion: 113,
    routes: { echo: async (request) => json({ method: request.method, body: await request.json() }) },
    credentials: () => ({ uid: 0, pid: 1 }),
    canWrite: (uid) => uid === 0,
    log: QUIET,
    ...options,
  });
  try {
    await run(path);
  } finally {
    await server.close();
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("LocalApiServer serves its socket to everybody and says its version", () =>
  withServer({}, async (path) => {
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o666);
    const root = await unixHttp(path, { path: "/" });
    assert.deepEqual([root.status, root.body], [200, "tailscaled\n"]);
    assert.equal(root.headers.get("tailscale-version"), "1.2.3");
    assert.equal(root.headers.get("tailscale-cap"), "113");
    assert.equal(root.headers.get("x-frame-options"), "DENY");
    const answer = await unixHttp(path, { method: "POST", path: "/localapi/v0/echo?x=1", body: '{"a":1}' });
    assert.deepEqual(JSON.parse(answer.body), { method: "POST", body: { a: 1 } });
    for (
      const unknown of ["/localapi/v0/nothing", "/localapi/v0/", "/other", "/localapi/v0/toString", "/localapi/v1/echo"]
    ) {
      assert.equal((await unixHttp(path, { path: unknown })).status, 404, unknown);
    }
  }));

Deno.test("LocalApiServer refuses what may come from a web page (TS-2022-004)", () =>
  withServer({}, async (path) => {
    const status = async (headers: string[], host?: string | undefined) =>
      (await unixHttp(path, { path: "/", headers, ...(host !== undefined && { host }) })).status;
    assert.equal(await status([]), 200);
    assert.equal(await status([], ""), 200);
    assert.equal(await status(["Referer: http://evil/"]), 403);
    assert.equal(await status(["rEFERER: x"]), 403);
    assert.equal(await status(["Origin: null"]), 403);
    assert.equal(await status([], "localhost:41112"), 403);
    assert.equal(await status([], "evil.example.com"), 403);
    assert.equal(await status([], "local-tailscaled.sock.evil.com"), 403);
    const body = (await unixHttp(path, { path: "/", headers: ["Origin: http://x"] })).body;
    assert.equal(body, "invalid localapi request\n");
  }));

Deno.test("isLocalRequest() looks at every spelling and repetition of a header", () => {
  const local = ["Host", "local-tailscaled.sock"];
  assert.ok(isLocalRequest(local));
  assert.ok(isLocalRequest([]));
  assert.ok(isLocalRequest([...local, "Origin", ""]));
  assert.ok(!isLocalRequest([...local, "HOST", "evil"]));
  assert.ok(!isLocalRequest([...local, "Origin", "", "origin", "x"]));
});

Deno.test("LocalApiServer refuses a caller the kernel does not name", () =>
  withServer({
    credentials: () => {
      throw new Error("no credentials");
    },
  }, async (path) => {
    assert.equal((await unixHttp(path, { path: "/" })).status, 403);
  }));

Deno.test("LocalApiServer knows its caller by SO_PEERCRED", async () => {
  let seen: unknown;
  await withServer({
    credentials: (socket) => peerCredentials(socketFd(socket) ?? -1),
    routes: {
      who: ({ caller }) => {
        seen = caller;
        return json({});
      },
    },
  }, async (path) => {
    assert.equal((await unixHttp(path, { path: "/localapi/v0/who" })).status, 200);
  });
  assert.deepEqual(seen, { uid: Deno.uid(), pid: Deno.pid, canWrite: Deno.uid() === 0 });
});

Deno.test("LocalApiServer answers with the status of a refusal, and 500 for what nobody foresaw", () =>
  withServer({
    credentials: () => ({ uid: 1000, pid: 1 }),
    routes: {
      write: (request) => {
        requireWrite(request, "write access denied");
        return json({});
      },
      broken: () => {
        throw new Error("it broke");
      },
      refused: () => {
        throw new BadRequest(400, "want POST");
      },
    },
  }, async (path) => {
    const get = (name: string) => unixHttp(path, { path: `/localapi/v0/${name}` });
    assert.deepEqual([(await get("write")).status, (await get("write")).body], [403, "write access denied\n"]);
    assert.deepEqual([(await get("broken")).status, (await get("refused")).status], [500, 400]);
  }));

Deno.test("LocalApiServer limits bodies and names malformed ones", () =>
  withServer({}, async (path) => {
    const post = async (body: string) =>
      (await unixHttp(path, { method: "POST", path: "/localapi/v0/echo", body })).status;
    assert.equal(await post("{"), 400);
    assert.equal(await post(""), 400);
    assert.equal(await post(`"${"x".repeat(MAX_BODY)}"`), 413);
  }));

Deno.test("LocalApiServer tells a caller who still writes its body why it was refused", () => {
  const write: Handler = (request) => {
    requireWrite(request, "write access denied");
    return json({});
  };
  return withServer({ canWrite: () => false, routes: { write } }, async (path) => {
    using connection = await Deno.connect({ transport: "unix", path });
    const send = (text: string) => connection.write(new TextEncoder().encode(text));
    await send("PATCH /localapi/v0/write HTTP/1.1\r\nHost: local-tailscaled.sock\r\nContent-Length: 40\r\n\r\n");
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.equal(await send("0123456789"), 10);
    }
    const buffer = new Uint8Array(4096);
    const answer = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
    assert.match(answer, /^HTTP\/1\.1 403/);
  });
});

Deno.test("LocalApiServer survives 300 malformed requests (TS-2026-008)", () =>
  withServer({}, async (path) => {
    for (let i = 0; i < 300; i++) {
      using connection = await Deno.connect({ transport: "unix", path });
      const bytes = crypto.getRandomValues(new Uint8Array(i % 90));
      const texts = [
        "GET ",
        "GET /%%% HTTP/1.1\r\n\r\n",
        "POST / HTTP/9\r\n",
        "GET /localapi/v0/echo?%ff%00 HTTP/1.1\r\n\r\n",
      ];
      await connection.write(i % 2 === 0 ? bytes : new TextEncoder().encode(texts[i % texts.length]));
    }
    assert.equal((await unixHttp(path, { path: "/" })).status, 200);
  }));

Deno.test("LocalApiServer streams lines at once and ends its source when the caller hangs up", async () => {
  const ended = Promise.withResolvers<void>();
  async function* source() {
    try {
      for (let n = 0;; n++) {
        yield `{"n":${n}}\n`;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    } finally {
      ended.resolve();
    }
  }
  await withServer({ routes: { stream: () => ({ kind: "stream", lines: source() }) } }, async (path) => {
    {
      using stream = await UnixStream.open(path, { path: "/localapi/v0/stream" });
      assert.deepEqual([await stream.next(), await stream.next()], [{ n: 0 }, { n: 1 }]);
    }
    await ended.promise;
  });
});

Deno.test("LocalApiServer.listen() refuses a socket another daemon answers on, a file, and a path too long", () =>
  withServer({}, async (path) => {
    const busy = (error: unknown) => error instanceof SocketError && error.busy && /another daemon/.test(error.message);
    await assert.rejects(LocalApiServer.listen(quietOptions(path)), busy);
    assert.equal((await unixHttp(path, { path: "/" })).status, 200);
    Deno.writeTextFileSync(`${path}.file`, "precious");
    await assert.rejects(LocalApiServer.listen(quietOptions(`${path}.file`)), /something else is there/);
    assert.equal(Deno.readTextFileSync(`${path}.file`), "precious");
    await assert.rejects(LocalApiServer.listen(quietOptions(`/tmp/${"x".repeat(110)}`)), /longer than 107/);
    const nowhere = (error: unknown) =>
      error instanceof SocketError &&
      /^Cannot use socket .*\/x\/a\.sock: its directory cannot be made \(.*\); give --socket/.test(error.message);
    await assert.rejects(LocalApiServer.listen(quietOptions(`${path}.file/x/a.sock`)), nowhere);
    await assert.rejects(LocalApiServer.listen(quietOptions("/proc/x/a.sock")), nowhere);
  }));

Deno.test("LocalApiServer.listen() takes over a socket file that nobody answers on", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "agent-api-" });
  const path = `${directory}/a.sock`;
  // A process that is killed leaves its socket file behind.
  const script = `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} }); Deno.kill(Deno.pid, "SIGKILL");`;
  await new Deno.Command(Deno.execPath(), { args: ["eval", script], stderr: "null" }).output();
  assert.ok(Deno.lstatSync(path).isSocket);
  const server = await LocalApiServer.listen(quietOptions(path));
  assert.equal((await unixHttp(path, { path: "/" })).status, 200);
  await server.close();
  assert.ok(!exists(path));
  Deno.removeSync(directory, { recursive: true });
});

function quietOptions(path: string): LocalApiOptions {
  return {
    path,
    version: "",
    capabilityVersion: 0,
    routes: {},
    credentials: () => ({ uid: 0, pid: 0 }),
    canWrite: () => true,
    log: QUIET,
  };
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** A server with one path that joins its caller to a TCP listener of the test. */
async function withUpgrade(run: (path: string, far: Promise<Deno.TcpConn>) => Promise<void>): Promise<void> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  accepted.catch(() => {});
  const routes: Record<string, Handler> = {
    dial: ({ upgrade, header }) => {
      if (upgrade !== "test") return json({ upgrade, host: header("dial-host") });
      return { kind: "upgrade", protocol: "test", to: connect({ port: listener.addr.port, allowHalfOpen: true }) };
    },
  };
  await withServer({ routes }, (path) => run(path, accepted));
}

function asking(path: string, ...headers: string[]): string {
  return [`POST ${path} HTTP/1.1`, "Host: local-tailscaled.sock", ...headers, "", ""].join("\r\n");
}

/** Reads until the text is there, or the end. */
async function readText(from: Deno.Conn, until = "\0"): Promise<string> {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(4096);
  for (let text = "";;) {
    if (text.includes(until)) return text;
    const count = await from.read(chunk);
    if (count === null) return text;
    text += decoder.decode(chunk.subarray(0, count));
  }
}

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("LocalApiServer joins a caller to another connection, and passes on the end of each direction", async () => {
  for (const first of ["caller", "far"] as const) {
    await withUpgrade(async (path, accepted) => {
      using caller = await Deno.connect({ transport: "unix", path });
      await caller.write(encode(`${asking("/localapi/v0/dial", "Connection: upgrade", "Upgrade: test")}early `));
      assert.match(await readText(caller, "\r\n\r\n"), /^HTTP\/1\.1 101 [^]*Upgrade: test\r\n/);
      using far = await accepted;
      await caller.write(encode("bird"));
      assert.equal(await readText(far, "bird"), "early bird");
      const [one, other] = first === "caller" ? [caller, far] : [far, caller];
      await one.closeWrite();
      assert.equal(await readText(other), "", "the end arrives");
      await other.write(encode("still here"));
      await other.closeWrite();
      assert.equal(await readText(one), "still here");
    });
  }
});

Deno.test("LocalApiServer closes the far connection when its caller is gone, and at its own end", async () => {
  await withUpgrade(async (path, accepted) => {
    const caller = await Deno.connect({ transport: "unix", path });
    await caller.write(encode(asking("/localapi/v0/dial", "Connection: upgrade", "Upgrade: test")));
    await readText(caller, "\r\n\r\n");
    using far = await accepted;
    caller.close();
    assert.equal(await readText(far), "");
  });
  let far: Deno.TcpConn | undefined;
  let caller: Deno.UnixConn | undefined;
  await withUpgrade(async (path, accepted) => {
    caller = await Deno.connect({ transport: "unix", path });
    await caller.write(encode(asking("/localapi/v0/dial", "Connection: upgrade", "Upgrade: test")));
    await readText(caller, "\r\n\r\n");
    far = await accepted;
  });
  assert.equal(await readText(far!).catch(() => ""), "");
  assert.equal(await readText(caller!).catch(() => ""), "");
  far!.close();
  caller!.close();
});

Deno.test("LocalApiServer answers as ever when another protocol is asked for and not had", async () => {
  await withUpgrade(async (path) => {
    const answer = async (target: string, ...headers: string[]) => {
      using caller = await Deno.connect({ transport: "unix", path });
      await caller.write(encode(asking(target, "Connection: Upgrade", "Upgrade: websocket", ...headers)));
      return await readText(caller);
    };
    const dial = await answer("/localapi/v0/dial", "Dial-Host: web");
    assert.match(dial, /^HTTP\/1\.1 200 /);
    assert.deepEqual(JSON.parse(dial.split("\r\n\r\n")[1]), { upgrade: "websocket", host: "web" });
    assert.match(await answer("/localapi/v0/nothing"), /^HTTP\/1\.1 404 /);
    assert.match(
      await answer("/localapi/v0/dial", "Origin: http://evil"),
      /^HTTP\/1\.1 403 [^]*invalid localapi request/,
    );
    // Without the word in Connection there is no other protocol.
    using caller = await Deno.connect({ transport: "unix", path });
    await caller.write(encode(asking("/localapi/v0/dial", "Connection: close", "Upgrade: test", "Content-Length: 0")));
    assert.match(await readText(caller), /"upgrade": ""/);
  });
});
