import assert from "node:assert/strict";
import { ServiceStatus, statusLine, takeServiceEnvironment } from "../../daemon/service_status.ts";
import { check, closeFd, libc } from "../../ffi/libc.ts";
import { notifyAddress, openNotifySocket } from "../../ffi/notify_socket.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";

function environment(values: Record<string, string>) {
  const env = new Map(Object.entries(values));
  const taken = takeServiceEnvironment({ get: (name) => env.get(name), delete: (name) => void env.delete(name) }, 42);
  return { ...taken, left: [...env.keys()] };
}

Deno.test("takeServiceEnvironment() takes what systemd said to this process, and leaves none of it to its children", () => {
  assert.deepEqual(
    environment({ NOTIFY_SOCKET: "/run/n", WATCHDOG_USEC: "30000000", WATCHDOG_PID: "42", HOME: "/" }),
    { socket: "/run/n", watchdogMs: 30_000, left: ["HOME"] },
  );
  assert.equal(environment({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "43" }).watchdogMs, undefined);
  assert.equal(environment({ WATCHDOG_USEC: "soon" }).watchdogMs, undefined);
  assert.deepEqual(environment({}), { socket: undefined, watchdogMs: undefined, left: [] });
});

Deno.test("WATCHDOG is sent for each heartbeat the worker answered, and not while it hangs", async () => {
  const scheduler = new FakeScheduler();
  const sent: string[] = [];
  const asked: PromiseWithResolvers<void>[] = [];
  const service = new ServiceStatus({
    send: (text) => void sent.push(text),
    watchdogMs: 30_000,
    heartbeat: () => {
      asked.push(Promise.withResolvers<void>());
      return asked.at(-1)!.promise;
    },
    scheduler,
  });
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  scheduler.advanceSync(60_000);
  assert.deepEqual(sent, [], "nothing before READY");
  service.ready();
  asked[0].resolve();
  await settle();
  assert.deepEqual(sent, ["READY=1", "WATCHDOG=1"]);
  scheduler.advanceSync(10_000);
  assert.equal(asked.length, 2);
  scheduler.advanceSync(60_000);
  await settle();
  assert.equal(asked.length, 2, "one heartbeat at a time");
  assert.equal(sent.length, 2, "a worker that hangs is not vouched for");
  asked[1].resolve();
  await settle();
  scheduler.advanceSync(10_000);
  assert.deepEqual([asked.length, sent.length], [3, 3]);
  service.status("one");
  service.status("one");
  service.status("two\nREADY=0");
  assert.deepEqual(sent.slice(3), ["STATUS=one", "STATUS=two READY=0"]);
  service.close();
  scheduler.advanceSync(60_000);
  assert.equal(asked.length, 3);
});

Deno.test("statusLine() says what an operator wants to know of each state", () => {
  const line = (state: Parameters<typeof statusLine>[0]["state"], authUrl = "") =>
    statusLine({ state, authUrl, view: undefined });
  assert.equal(line("NoState"), "Starting");
  assert.equal(line("NeedsLogin"), "Needs login: run 'agent up'");
  assert.equal(line("NeedsLogin", "https://login.example/a/1"), "Needs login: https://login.example/a/1");
  assert.equal(line("Stopped"), "Stopped: run 'agent up' to connect");
  const self = { Name: "web.tail.example.", Addresses: ["100.64.0.1/32", "fd7a::1/128"] };
  const view = { netmap: { self } } as unknown as Parameters<typeof statusLine>[0]["view"];
  assert.equal(
    statusLine({ state: "Running", authUrl: "", view }),
    "Connected; web.tail.example 100.64.0.1 fd7a::1",
  );
});

Deno.test("openNotifySocket() reaches a socket by path and by abstract name, and does not mind one that is gone", async () => {
  const dir = await Deno.makeTempDir();
  for (const name of [`${dir}/notify`, `@agent-test-${Deno.pid}`]) {
    const address = notifyAddress(name)!;
    const fd = check(libc.socket(1, 2, 0), "socket");
    check(libc.bind(fd, address, address.length), "bind");
    const socket = openNotifySocket(address);
    assert.equal(socket.send("READY=1\nSTATUS=ü"), true);
    const buffer = new Uint8Array(100);
    const length = check(libc.recv_buffer(fd, buffer, buffer.length, 0), "recv");
    assert.equal(new TextDecoder().decode(buffer.subarray(0, length)), "READY=1\nSTATUS=ü");
    closeFd(fd);
    assert.equal(socket.send("WATCHDOG=1"), false);
    socket.close();
  }
  for (const name of ["", "run/notify", "@", `/${"x".repeat(107)}`]) assert.equal(notifyAddress(name), undefined, name);
  await Deno.remove(dir, { recursive: true });
});
