import assert from "node:assert/strict";
import { isPortals, portalProbes } from "../../../engine/netcheck/captive_portal.ts";
import { mapOf, region, World } from "./world.ts";

const PORT_80 = { CanPort80: true };

Deno.test("portalProbes() asks relays of the home region, then others, then Tailscale, five at most", () => {
  const map = mapOf(
    region(1, {}, PORT_80),
    region(2, {}, PORT_80),
    region(3, { Avoid: true }, PORT_80),
    region(4),
    region(5, {}, { CanPort80: true, IPv4: "x\r\ny" }),
  );
  assert.deepEqual(portalProbes(map, 2).map(({ url }) => url), [
    "http://192.0.2.2/generate_204",
    "http://192.0.2.1/generate_204",
    "http://controlplane.tailscale.com/generate_204",
    "http://login.tailscale.com/generate_204",
  ]);
  const many = mapOf(...[1, 2, 3, 4, 5, 6].map((id) => region(id, {}, PORT_80)));
  assert.equal(portalProbes(many, 6).length, 5);
  assert.equal(portalProbes(many, 6)[0].challenge, "ts_192.0.2.6");
});

Deno.test("isPortals() takes an empty answer for a relay's only with its challenge", () => {
  const relay = { url: "http://192.0.2.1/generate_204", challenge: "ts_192.0.2.1" };
  const tailscale = { url: "http://login.tailscale.com/generate_204", challenge: "" };
  assert.equal(isPortals(relay, { status: 204, response: "response ts_192.0.2.1" }), false);
  assert.equal(isPortals(relay, { status: 204, response: "" }), true);
  assert.equal(isPortals(relay, { status: 302, response: "response ts_192.0.2.1" }), true);
  assert.equal(isPortals(tailscale, { status: 204, response: "" }), false);
  assert.equal(isPortals(tailscale, { status: 200, response: "" }), true);
});

Deno.test("netcheck finds a captive portal where STUN is silent, and looks for one in every run until it is gone", async () => {
  const world = new World();
  world.web = () => ({ status: 302, response: "" });
  const map = mapOf(region(1, {}, PORT_80));
  const first = await world.run(map);
  assert.deepEqual([first.udp, first.captivePortal], [false, true]);
  assert.equal(world.askedWeb[0].at, 200);
  assert.match(world.askedWeb[0].url, /^http:\/\/192\.0\.2\.1\/generate_204\?t=\d+$/);
  assert.equal((await world.run(map)).captivePortal, true);
  world.web = (challenge) => ({ status: 204, response: challenge && `response ${challenge}` });
  world.answers(1, 300);
  const gone = await world.run(map);
  assert.deepEqual([gone.udp, gone.captivePortal], [true, false]);
  assert.equal((await world.run(map)).captivePortal, undefined);
  assert.equal(world.scheduler.pending, 0, "no timer is left");
});

Deno.test("netcheck asks no web server where STUN answers at once, unless a person waits; silence is no portal", async () => {
  const world = new World();
  world.answers(1, 20);
  const map = mapOf(region(1, {}, PORT_80));
  assert.equal((await world.run(map)).captivePortal, undefined);
  assert.deepEqual(world.askedWeb, []);
  const verbose = await world.run(map, { full: true, verbose: true });
  assert.deepEqual([verbose.captivePortal, world.askedWeb.length], [false, 3]);
  assert.ok(verbose.took >= 3200 && verbose.took < 3300, `${verbose.took} ms`);
  assert.equal(world.scheduler.pending, 0, "no timer is left");
});
