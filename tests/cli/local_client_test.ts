import assert from "node:assert/strict";
import { CliError } from "../../cli/exit_codes.ts";
import { LocalApiError, LocalClient, reasonHeader } from "../../cli/local_client.ts";
import { socketOf, startCommand } from "../../cli/start_command.ts";
import { answer, FakeBus, withLocalApi } from "./fake_local_api.ts";

/** A server that reads a request's head and writes `parts` one after the other, then closes. */
async function withRawServer(parts: readonly string[], use: (client: LocalClient) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  const socket = `${dir}/raw.sock`;
  const listener = Deno.listen({ transport: "unix", path: socket });
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(4096));
      for (const part of parts) {
        await connection.write(new TextEncoder().encode(part)).catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      connection.close();
    }
  })();
  try {
    await use(new LocalClient(socket));
  } finally {
    listener.close();
    await serving;
    await Deno.remove(dir, { recursive: true });
  }
}

const LENGTH = 'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"a":"größe"}';
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n';
const UNTIL_END = 'HTTP/1.0 200 OK\r\n\r\n{"a":2}';

Deno.test("LocalClient reads bodies by length, in chunks and to the end, in pieces of every size", async () => {
  const cases: [string, unknown][] = [[LENGTH, { a: "größe" }], [CHUNKED, { a: 1 }], [UNTIL_END, { a: 2 }]];
  for (const [text, value] of cases) {
    await withRawServer([text], async (client) => assert.deepEqual(await client.json("GET", "x"), value));
  }
  await withRawServer([...CHUNKED], async (client) => assert.deepEqual(await client.json("GET", "x"), { a: 1 }));
});

Deno.test("LocalClient says in one line that an answer is no answer", async () => {
  const cases: [string, RegExp][] = [
    ["", /closed the connection before it answered/],
    ["SSH-2.0-OpenSSH\r\n", /does not speak HTTP/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", /in the middle of its answer/],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", /in the middle of its answer/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", /not JSON/],
  ];
  for (const [text, error] of cases) {
    await withRawServer([text], async (client) => {
      await assert.rejects(
        client.json("GET", "x"),
        (thrown) => thrown instanceof CliError && error.test(thrown.message),
      );
    });
  }
});

Deno.test("LocalClient names itself, carries a body and a reason, and passes on what was refused", async () => {
  await withLocalApi({
    "PATCH prefs": () => answer({}),
    "POST start": () => answer({ Error: "Cannot start: no." }, 500),
    "GET whois": () => new Response("no match for IP:port\n", { status: 404 }),
    "POST logout": () => new Response("logout access denied\n", { status: 403 }),
  }, async (socket, seen) => {
    const client = new LocalClient(socket, "tailscale");
    await client.json("PATCH", "prefs", { Hostname: "größe" }, { headers: reasonHeader("día") });
    assert.deepEqual(seen[0].body, { Hostname: "größe" });
    assert.equal(seen[0].host, "local-tailscaled.sock");
    assert.equal(atob(seen[0].reason!), "d\xc3\xada");
    await assert.rejects(
      client.text("POST", "start", {}),
      /^Error: Cannot start: no\.$/,
    );
    await assert.rejects(
      client.text("GET", "whois?addr=1.2.3.4"),
      (error) => error instanceof LocalApiError && error.status === 404 && error.message === "no match for IP:port",
    );
    await assert.rejects(client.text("POST", "logout"), /Access denied: logout access denied\n\nUse 'sudo tailscale/);
    await assert.rejects(
      new LocalClient(socket, "agent", "work").text("POST", "logout"),
      /Use 'sudo agent --instance work …', .*: sudo agent --instance work set --operator=\$USER$/,
    );
  });
});

Deno.test("LocalClient tells how to start a daemon that is not there", async () => {
  const programs = [["agent", "agent --socket /nonexistent/x.sock daemon"], ["tailscale", "tailscaled"]] as const;
  for (const [program, command] of programs) {
    await assert.rejects(
      new LocalClient("/nonexistent/x.sock", program).text("GET", "status"),
      new RegExp(`The daemon is not running \\(nothing answers on /nonexistent/x.sock\\).* root with: ${command}$`),
    );
  }
});

Deno.test("startCommand() is systemd's where it has a unit, and always for the node that was meant", async () => {
  const root = await Deno.makeTempDir();
  const command = (instance?: string, socket = socketOf("agent", instance)) =>
    startCommand(socket, "agent", instance, root);
  try {
    assert.equal(command(), "agent daemon");
    assert.equal(command("work"), "agent --instance work daemon");
    await Deno.mkdir(`${root}/usr/lib/systemd/system`, { recursive: true });
    for (const unit of ["agent", "agent@"]) {
      await Deno.writeTextFile(`${root}/usr/lib/systemd/system/${unit}.service`, "");
    }
    assert.equal(command(), "systemctl start agent");
    assert.equal(command("work"), "systemctl start agent@work");
    assert.equal(command("work", "/tmp/a b"), "agent --socket '/tmp/a b' --instance work daemon");
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("LocalClient.stream() gives values as they come and ends when told", async () => {
  const bus = new FakeBus({ State: 2 });
  await withLocalApi({ "GET watch-ipn-bus": () => bus.response() }, async (socket) => {
    const end = new AbortController();
    const values: unknown[] = [];
    const stream = await new LocalClient(socket).stream("watch-ipn-bus?mask=2", end.signal);
    for await (const value of stream) {
      values.push(value);
      if (values.length === 1) bus.send({ State: 5, text: "x".repeat(200_000) });
      else end.abort();
    }
    assert.equal(values.length, 2);
    await assert.rejects(new LocalClient(socket).stream("nosuch"), LocalApiError);
  });
});

Deno.test("LocalClient gives up when its signal fires", async () => {
  const held: ((response: Response) => void)[] = [];
  await withLocalApi({ "POST ping": () => new Promise((resolve) => held.push(resolve)) }, async (socket) => {
    const signal = AbortSignal.timeout(30);
    await assert.rejects(new LocalClient(socket).text("POST", "ping", undefined, { signal }), { name: "TimeoutError" });
    for (const resolve of held) resolve(new Response());
  });
});
