/** Our relay with Tailscale's clients, and our pool with Tailscale's relay. */
import assert from "node:assert/strict";
import { NodePrivate } from "../../base/keys.ts";
import { parseDerpMap } from "../../derp/derp_map.ts";
import { createDerpDial } from "../../derp/dial.ts";
import { DerpPool } from "../../derp/pool.ts";
import { StunServer } from "../../derp/stun_server.ts";
import { EMPTY_REPORT, reportToJson } from "../../engine/netcheck/report.ts";
import { Relay, trueRandom, until } from "../support/derp_relay.ts";
import { realScheduler } from "../support/real_scheduler.ts";
import { LabProcess, runLab } from "./support/lab.ts";
import { labTest } from "./support/lab_test_case.ts";

interface Exchange {
  readonly there: number;
  readonly back: number;
  readonly peerGone: boolean;
  readonly serverKey: string;
  readonly tls: { readonly certificates: number };
}

for (const meta of [false, true]) {
  labTest(`Tailscale's DERP clients use our relay, ${meta ? "fast start" : "with the 101"}`, async (path) => {
    const relay = await Relay.start({ meta });
    const pin = relay.certificate.certName.slice("sha256-raw:".length);
    const url = `https://127.0.0.1:${relay.port}`;
    const [line] = await runLab<Exchange>({ path }, ["derp-client", "--url", url, "--pin", pin, "--count", "500"]);
    assert.equal(line.there, 500);
    assert.equal(line.back, 500);
    assert.equal(line.peerGone, true, "both reasons of PeerGone, and a pong");
    assert.equal(line.serverKey, relay.server.publicKey.toString());
    assert.equal(line.tls.certificates, meta ? 2 : 1);
    await relay.stop();
  });
}

labTest("Tailscale's STUN client is answered by our responder", async (path) => {
  const server = await StunServer.listen({ port: 0, addresses: ["127.0.0.1", "::1"] });
  for (const host of ["127.0.0.1", "[::1]"]) {
    const [line] = await runLab<{ mapped: string; local: string }>({ path }, [
      "stun",
      "--server",
      `${host}:${server.port}`,
    ]);
    assert.equal(line.mapped, line.local);
  }
  await server.close();
});

labTest("Tailscale's netcheck measures our relay, and prints the JSON we print", async (path) => {
  const relay = await Relay.start();
  const stun = await StunServer.listen({ port: 0, addresses: ["127.0.0.1"] });
  const region = relay.map.Regions["900"];
  const file = await Deno.makeTempFile({ suffix: ".json" });
  for (const stunPort of [stun.port, -1]) {
    const map = { Regions: { "900": { ...region, Nodes: [{ ...relay.node, STUNPort: stunPort }] } } };
    await Deno.writeTextFile(file, JSON.stringify(map));
    const [report] = await runLab<Record<string, unknown>>({ path }, ["netcheck", "--derp-map", file]);
    assert.equal(report.PreferredDERP, 900, stunPort < 0 ? "by HTTPS" : "by STUN");
    assert.equal(report.UDP, stunPort >= 0);
    assert.deepEqual(Object.keys(reportToJson(EMPTY_REPORT)), Object.keys(report));
  }
  await Deno.remove(file);
  await stun.close();
  await relay.stop();
});

for (const flags of [[], ["--derp-pin"], ["--derp-pin", "--derp-meta-cert=false"]]) {
  labTest(`our pools talk through Tailscale's relay ${flags.join(" ")}`, async (path) => {
    await using lab = await LabProcess.start<{ region: unknown }>({ path }, ["derp", "--region", "7", ...flags]);
    const { map, rejected } = parseDerpMap({ Regions: { "7": lab.ready.region } });
    assert.deepEqual(rejected, []);
    const received: string[][] = [[], []];
    const gone: string[][] = [[], []];
    const keys = [0, 1].map(() => NodePrivate.generate(trueRandom));
    const pools = keys.map((key, i) => {
      const pool = new DerpPool({
        privateKey: () => key,
        scheduler: realScheduler,
        random: trueRandom,
        dial: createDerpDial({ scheduler: realScheduler }),
        log: () => {},
        events: {
          received: (_region, peer, payload) => received[i].push(`${peer} ${payload.toHex()}`),
          peerGone: (_region, peer) => gone[i].push(peer),
          stateChanged: () => {},
          health: () => {},
        },
      });
      pool.setMap(map);
      pool.setHome(7);
      return pool;
    });
    await until(() => pools.every((pool) => pool.status()[0].kind === "connected"), "both connections");
    const want: string[] = [];
    for (let i = 0; i < 32; i++) {
      const payload = new Uint8Array(1200).fill(i);
      want.push(`${keys[0].public.hex} ${payload.toHex()}`);
      pools[0].send(7, keys[1].public.hex, payload);
      await until(() => received[1].length === i + 1, `packet ${i}`);
    }
    assert.deepEqual(received[1], want);
    assert.ok((await pools[0].ping(7))! < 1000);
    pools[0].close();
    await until(() => gone[1].length === 1, "PeerGone");
    assert.deepEqual(gone[1], [keys[0].public.hex]);
    pools[1].close();
  });
}
