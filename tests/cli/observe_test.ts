/** `metrics`, `bugreport` and `debug log-level` as processes against a LocalAPI that plays the daemon. */
import assert from "node:assert/strict";
import { answer, program, run, withLocalApi } from "./fake_local_api.ts";
import type { Answers, Ran, Seen } from "./fake_local_api.ts";

async function ask(args: readonly string[], answers: Answers): Promise<Ran & { readonly seen: Seen[] }> {
  let result: (Ran & { readonly seen: Seen[] }) | undefined;
  await withLocalApi(answers, async (socket, seen) => {
    result = { ...await run(["--socket", socket, ...args]), seen };
  });
  return result!;
}

const METRICS = { "GET usermetrics": () => new Response("# TYPE tailscaled_x counter\ntailscaled_x 1\n") };

Deno.test("metrics prints them, and writes them to a file whole or not at all", async () => {
  assert.equal((await ask(["metrics"], METRICS)).out, "# TYPE tailscaled_x counter\ntailscaled_x 1\n");
  assert.equal((await ask(["metrics", "print"], METRICS)).code, 0);
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/tailscaled.prom`;
    await Deno.writeTextFile(path, "old\n");
    assert.equal((await ask(["metrics", "write", path], METRICS)).code, 0);
    assert.match(await Deno.readTextFile(path), /tailscaled_x 1/);
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o644);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["tailscaled.prom"]);
    const failed = await ask(["metrics", "write", `${directory}/none/x.prom`], METRICS);
    assert.equal(failed.code, 1);
    assert.match(failed.err, /^Cannot write .*none\/x\.prom: No such file/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  for (const bad of [["metrics", "write"], ["metrics", "print", "x"], ["metrics", "graph"]]) {
    assert.equal((await ask(bad, METRICS)).code, 2, bad.join(" "));
  }
});

const REPORT = {
  Marker: "BUG-aa-20260101000000Z-bb",
  Files: { "summary.txt": "version: 1\n", "log.txt": "a line\n", "../escape.txt": "no\n" },
};

Deno.test("bugreport prints the marker and makes a directory that only its owner may read", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const output = `${directory}/report`;
    const answers = { "POST agent/bugreport": () => answer(REPORT) };
    const made = await ask(["bugreport", "--diagnose", "--output", output, "it stalls"], answers);
    assert.deepEqual([made.code, made.out], [0, `${REPORT.Marker}\n`]);
    assert.equal(made.err, `The report is in ${output}. It stays here; look through it before you pass it on.\n`);
    assert.equal(made.seen[0].path, "agent/bugreport?note=it+stalls&diagnose=true");
    assert.equal((await Deno.stat(output)).mode! & 0o777, 0o700);
    assert.deepEqual([...Deno.readDirSync(output)].map(({ name }) => name).sort(), ["log.txt", "summary.txt"]);
    assert.equal((await Deno.stat(`${output}/log.txt`)).mode! & 0o777, 0o600);
    const again = await ask(["bugreport", "--output", output], answers);
    assert.deepEqual([again.code, again.out], [1, `${REPORT.Marker}\n`]);
    assert.match(again.err, /^Cannot write the report to .*report: .*exists.*--output/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("bugreport gives a user who may not see the report the marker", async () => {
  const asked = await ask(["bugreport"], {
    "POST agent/bugreport": () => new Response("bugreport access denied\n", { status: 403 }),
    "POST bugreport": () => new Response("BUG-x\n"),
  });
  assert.deepEqual([asked.code, asked.out], [0, "BUG-x\n"]);
  assert.match(asked.err, /for root and the operator/);
});

Deno.test("bugreport --record ends with the program, however that ends: the daemon sees the connection close", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/api.sock`;
  using listener = Deno.listen({ transport: "unix", path });
  try {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const) {
      const process = program(["--socket", path, "bugreport", "--record", "it stalls"], {}, "piped");
      using daemon = await listener.accept();
      const buffer = new Uint8Array(4096);
      const asked = new TextDecoder().decode(buffer.subarray(0, await daemon.read(buffer) ?? 0));
      assert.match(asked, /^POST \/localapi\/v0\/bugreport\?note=it\+stalls&record=true HTTP\/1\.1\r\n/);
      assert.match(asked, /\r\nTransfer-Encoding: chunked\r\n/);
      await daemon.write(
        new TextEncoder().encode("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nBUG-x\n\r\n"),
      );
      const reader = process.stdout.getReader();
      let out = "";
      while (!out.includes("press Enter")) out += new TextDecoder().decode((await reader.read()).value);
      assert.match(out, /^BUG-x\nRecording started; /);
      process.kill(signal);
      assert.equal(await daemon.read(buffer), null, `${signal}: the body stayed open to the end, and no longer`);
      await reader.cancel();
      await Promise.all([process.stderr.cancel(), process.stdin.close(), process.status]);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("debug log-level shows and sets the level", async () => {
  const answers = {
    "GET agent/log-level": () => answer({ Level: "info" }),
    "POST agent/log-level": () => answer({ Level: "debug", Until: new Date(Date.now() + 600_000).toISOString() }),
  };
  assert.equal((await ask(["debug", "log-level"], answers)).out, "info\n");
  const set = await ask(["debug", "log-level", "--for", "10m", "debug"], answers);
  assert.match(set.out, /^debug for (10m0s|9m59s) more\n$/);
  assert.equal(set.seen[0].path, "agent/log-level?level=debug&secs=600");
});

Deno.test("debug daemon-logs prints the log as it comes, debug lines when asked for", async () => {
  const lines = [
    { text: "[logtap connected]\n" },
    { logtail: { client_time: "2026-01-01T00:00:00.000Z" }, text: "up\n" },
    { logtail: { client_time: "2026-01-01T00:00:01.000Z" }, v: 1, text: "deep\n" },
  ];
  const answers = { "GET logtap": () => new Response(lines.map((line) => `${JSON.stringify(line)}\n`).join("")) };
  assert.equal((await ask(["debug", "daemon-logs"], answers)).out, "[logtap connected]\nup\n");
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const [, named] = /^\| follow the log; with all details.*`… (daemon-logs[^`]*)`/m.exec(readme)!;
  assert.match((await ask(["debug", ...named.split(" ")], answers)).out, /^deep$/m, "as the README says");
  const all = await ask(["debug", "daemon-logs", "--time", "--verbose=1"], answers);
  assert.equal(all.out, "[logtap connected]\n2026-01-01T00:00:00.000Z up\n2026-01-01T00:00:01.000Z deep\n");
});
