// Port mappings by a real router: miniupnpd, asked by each protocol alone. What it maps leads here, and is gone at the end.

import assert from "node:assert/strict";
import { type LabNamespace, labUnavailable, programMissing } from "./lab.ts";
import { Internet } from "./matrix.ts";

const PROGRAM = new URL("./portmap_program.ts", import.meta.url).pathname;
/** What takes the other protocols away: NAT-PMP's version is 0, PCP's 2. */
const ALONE = {
  pmp: "udp dport 5351 @th,64,8 2 drop; udp dport 1900 drop;",
  pcp: "udp dport 5351 @th,64,8 0 drop; udp dport 1900 drop;",
  upnp: "udp dport 5351 drop;",
};

/** The rules that lead a port to the host. */
async function mapped(router: LabNamespace): Promise<string[]> {
  const rules = await router.must(["nft", "list", "chain", "inet", "miniupnpd", "mapped"]);
  return [...rules.matchAll(/dnat ip to (\S+)/g)].map(([, to]) => to);
}

const missing = labUnavailable() ?? ["nft", "miniupnpd"].map(programMissing).find((text) => text !== undefined);

for (const [by, rules] of Object.entries(ALONE)) {
  const name = `PortMapper maps a port at miniupnpd by ${by} alone and gives it back`;
  if (missing !== undefined) {
    if (Deno.env.get("CI") === "true") throw new Error(`Cannot skip under CI: ${missing}`);
    Deno.test({ name: `${name} [skipped: ${missing}]`, ignore: true, fn: () => {} });
    continue;
  }
  Deno.test(name, async () => {
    await using internet = await Internet.create();
    const { host, routers: [{ namespace: router }] } = await internet.site("portmap", "home");
    await router.nft(`table inet alone { chain input { type filter hook input priority -5; ${rules} }; }`);
    const child = host.spawn([Deno.execPath(), "run", "-A", "--no-lock", PROGRAM], { stdin: "piped", stdout: "piped" });
    const [writer, reader] = [
      child.stdin.getWriter(),
      child.stdout.pipeThrough(new TextDecoderStream()).getReader(),
    ];
    const ask = async (order: string) => {
      await writer.write(new TextEncoder().encode(`${order}\n`));
      return JSON.parse((await reader.read()).value!);
    };

    // A router that is slow to answer is asked again at the next round, as the daemon does.
    let { services, external, log } = await ask("go");
    for (let tries = 0; external === "" && tries < 10; tries++) ({ services, external, log } = await ask("go"));
    assert.deepEqual(services, { pmp: by === "pmp", pcp: by === "pcp", upnp: by === "upnp" });
    assert.equal(external, "20.0.1.2:41641", log.join("\n"));
    assert.match(log[0], new RegExp(`: ${by} 20.0.1.2:41641 for \\d+ s`));
    assert.deepEqual(await mapped(router), ["192.168.1.2:41641"]);

    // From the Internet, uninvited.
    await internet.core.must(["/bin/bash", "-c", "printf hello >/dev/udp/20.0.1.2/41641"]);
    for (let tries = 0; tries < 50 && (await ask("heard")).length === 0; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(await ask("heard"), ["hello"]);

    assert.deepEqual(await ask("end"), { external: "" });
    await child.status;
    assert.deepEqual(await mapped(router), []);
    await writer.close().catch(() => {});
    await reader.cancel();
  });
}
