/** A netcheck over real sockets: our STUN responder and relay on the loopback. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { parseAddrPort } from "../../../base/ip.ts";
import { createDerpDial } from "../../../derp/dial.ts";
import type { DERPMap } from "../../../derp/derp_map.ts";
import { createHttpsLatency } from "../../../derp/latency.ts";
import { StunServer } from "../../../derp/stun_server.ts";
import { Netcheck } from "../../../engine/netcheck/netcheck.ts";
import { Relay, trueRandom } from "../../support/derp_relay.ts";
import { realScheduler } from "../../support/real_scheduler.ts";

Deno.test("netcheck finds a relay on the loopback by STUN, and by HTTPS when STUN is silent", async () => {
  const relay = await Relay.start();
  const stun = await StunServer.listen({ port: 0, addresses: ["127.0.0.1"] });
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
  const netcheck = new Netcheck({
    scheduler: realScheduler,
    random: trueRandom,
    sendStun(to, payload) {
      const { port } = parseAddrPort(to)!;
      socket.send(payload, port, "127.0.0.1");
    },
    onStun(handler) {
      const listener = (payload: Uint8Array, from: { address: string; port: number }) =>
        handler(payload, `${from.address}:${from.port}`);
      socket.on("message", listener);
      return () => socket.off("message", listener);
    },
    resolve: async (host, family) => (await lookup(host, { family, all: true })).map(({ address }) => address),
    httpsLatency: createHttpsLatency(createDerpDial({ scheduler: realScheduler }), realScheduler),
    localFamilies: () => ({ v4: true, v6: false, osHasIpv6: false }),
  });
  const mapWith = (stunPort: number): DERPMap => {
    const region = relay.map.Regions["900"];
    return { Regions: { "900": { ...region, Nodes: [{ ...relay.node, STUNPort: stunPort }] } } };
  };
  const byStun = await netcheck.run(mapWith(stun.port));
  assert.equal(byStun.udp, true);
  assert.equal(byStun.preferredDerp, 900);
  assert.equal(byStun.globalV4, `127.0.0.1:${socket.address().port}`);
  assert.ok(byStun.regionLatency.get(900)! < 100);
  const byHttps = await netcheck.run(mapWith(-1), { full: true });
  assert.equal(byHttps.udp, false);
  assert.equal(byHttps.preferredDerp, 900);
  assert.equal(byHttps.ipv4, true);
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  await stun.close();
  await relay.stop();
});
