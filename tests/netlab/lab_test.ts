import assert from "node:assert/strict";
import { Lab, privilegedTest, programMissing } from "./lab.ts";
import { listNetns } from "../../ffi/netns.ts";

privilegedTest(
  "Lab routes between namespaces over IPv4 and IPv6, drops UDP on demand, and leaves nothing",
  async () => {
    const lab = await Lab.create();
    const a = lab.namespace("a"), gate = lab.namespace("gate"), b = lab.namespace("b");
    try {
      lab.link(a, ["10.9.1.2/24", "fd09:1::2/64"], gate, ["10.9.1.1/24", "fd09:1::1/64"]);
      const { aDevice } = lab.link(gate, ["10.9.2.1/24", "fd09:2::1/64"], b, ["10.9.2.2/24", "fd09:2::2/64"], {
        mtu: 1400,
      });
      lab.router(gate);
      a.route("0.0.0.0/0", "10.9.1.1");
      a.route("::/0", "fd09:1::1");
      b.route("10.9.1.0/24", "10.9.2.1");
      b.route("::/0", "fd09:2::1");

      const echo = new URL("./udp_echo.ts", import.meta.url).pathname;
      const server = b.spawn([Deno.execPath(), "run", "-A", echo, "serve"], { stdout: "piped" });
      const reader = server.stdout.getReader();
      assert.match(new TextDecoder().decode((await reader.read()).value), /ready/);
      const ask = async (ip: string) => (await a.run([Deno.execPath(), "run", "-A", echo, "ask", ip])).stdout.trim();
      assert.match(await ask("10.9.2.2"), /^echo from 10\.9\.2\.2, seen as 10\.9\.1\.2$/);
      assert.match(await ask("fd09:2::2"), /^echo from fd09:2::2, seen as fd09:1::2$/);

      if (programMissing("nft") === undefined) {
        const undo = await gate.dropForwardedUdp();
        assert.equal(await ask("10.9.2.2"), "nothing");
        await undo();
        const plain = await gate.masquerade(aDevice);
        assert.match(await ask("10.9.2.2"), /seen as 10\.9\.2\.1$/);
        await plain();
        assert.match(await ask("10.9.2.2"), /seen as 10\.9\.1\.2$/);
      } else console.log(`not checked: ${programMissing("nft")}`);
      await reader.cancel();
    } finally {
      await lab.dispose();
    }
    assert.deepEqual(listNetns().filter((name) => name.startsWith(lab.prefix)), []);
  },
);

privilegedTest("Lab.dispose() ends grandchildren that left their parent", async () => {
  const lab = await Lab.create();
  const a = lab.namespace("a");
  await a.must(["/bin/sh", "-c", "sleep 987.5 >/dev/null 2>&1 & sleep 0.1"]);
  const sleeping = () =>
    [...Deno.readDirSync("/proc")].filter(({ name }) => {
      try {
        return Deno.readTextFileSync(`/proc/${name}/cmdline`).includes("987.5") && name !== "self";
      } catch {
        return false;
      }
    });
  assert.ok(sleeping().length > 0);
  await lab.dispose();
  for (let tries = 0; sleeping().length > 0 && tries < 50; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(sleeping().length, 0);
});
