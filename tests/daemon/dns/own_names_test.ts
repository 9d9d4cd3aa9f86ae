import assert from "node:assert/strict";
import { encodeAnswer, RCODE, TYPE } from "../../../base/dns_message.ts";
import { formatIp, parseIp } from "../../../base/ip.ts";
import { ownNames } from "../../../daemon/dns/own_names.ts";
import { FakeServers, type Reaction } from "../../support/dns.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";

type System = string[] | "nothing" | "silent";

/** A machine whose resolver and servers behave as told. */
function machine(
  system: System,
  servers: Record<string, Reaction>,
  base: { nameservers: string[]; searchDomains?: string[] } = { nameservers: Object.keys(servers) },
) {
  const scheduler = new FakeScheduler();
  const transport = new FakeServers(servers);
  const state = { system, scheduler, transport, asked: 0 };
  const lookUp = ownNames({
    system: () => {
      state.asked++;
      if (state.system === "silent") return new Promise(() => {});
      if (state.system === "nothing") {
        return Promise.reject(Object.assign(new Error("not known"), { code: "ENOTFOUND" }));
      }
      return Promise.resolve(state.system);
    },
    base: () => Promise.resolve({ searchDomains: [], ...base }),
    serviceAddresses: ["100.100.100.100"],
    transport,
    scheduler,
    random: new SeededRandom(1).bytes,
  });
  const find = async (host: string) => {
    const outcome = lookUp(host).then((found) => found.map(formatIp).join(), (error) => error.message as string);
    for (let i = 0; i < 30; i++) await scheduler.advance(500);
    return await outcome;
  };
  return Object.assign(state, { lookUp, find });
}

Deno.test("ownNames(): what the machine's resolver says in time is the answer, and nobody else is asked", async () => {
  const { find, transport, lookUp } = machine(["fd00::1", "192.0.2.1"], { "10.0.0.53": "192.0.2.9" });
  assert.equal(await find("c.example"), "fd00::1,192.0.2.1");
  assert.deepEqual(transport.asked, []);
  assert.deepEqual(await lookUp("192.0.2.7"), [parseIp("192.0.2.7")]);
});

Deno.test("ownNames(): the servers from before us are asked after half a second of silence, or at once after a refusal", async () => {
  const silent = machine("silent", { "10.0.0.53": "192.0.2.9" });
  const outcome = silent.lookUp("c.example");
  await silent.scheduler.advance(499);
  assert.deepEqual(silent.transport.asked, []);
  await silent.scheduler.advance(1);
  assert.deepEqual(await outcome, [parseIp("192.0.2.9")]);
  assert.deepEqual(silent.transport.asked, ["10.0.0.53 udp c.example", "10.0.0.53 udp c.example"]);

  const refused = machine("nothing", { "10.0.0.53": "192.0.2.9" });
  const found = refused.lookUp("c.example");
  await refused.scheduler.advance(0);
  assert.deepEqual(await found, [parseIp("192.0.2.9")]);
});

Deno.test("ownNames(): both families are asked for; ourselves never; a short name by the search domains", async () => {
  const both = machine("nothing", {
    "10.0.0.53": (query) => {
      const { name, type } = query.question;
      if (name !== "relay.lan.example") return encodeAnswer(query, { rcode: RCODE.nameError });
      const data = parseIp(type === TYPE.AAAA ? "fd00::9" : "192.0.2.9")!;
      return encodeAnswer(query, { rcode: 0, records: [{ type, ttl: 60, data }] });
    },
    "100.100.100.100": "192.0.2.66",
  }, { nameservers: ["100.100.100.100", "10.0.0.53"], searchDomains: ["other.example", "lan.example"] });
  assert.equal(await both.find("relay"), "fd00::9,192.0.2.9");
  assert.ok(both.transport.asked.every((line) => line.startsWith("10.0.0.53 ")));
});

Deno.test("ownNames(): a public server is asked as it is named, not by HTTPS", async () => {
  const { find, transport } = machine("silent", { "8.8.8.8": "192.0.2.9" });
  assert.equal(await find("c.example"), "192.0.2.9");
  assert.ok(transport.asked.every((line) => line.startsWith("8.8.8.8 udp")));
});

Deno.test("ownNames(): the last good addresses stand when nobody answers, else what the machine's resolver said", async () => {
  const state = machine(["192.0.2.1"], { "10.0.0.53": RCODE.serverFailure });
  assert.equal(await state.find("c.example"), "192.0.2.1");
  state.system = "nothing";
  assert.equal(await state.find("c.example"), "192.0.2.1");
  assert.equal(await state.find("new.example"), "not known");
  state.system = "silent";
  const abort = new AbortController();
  const left = state.lookUp("new.example", abort.signal);
  abort.abort(new Error("enough"));
  await assert.rejects(left, /^Error: enough$/);
});

Deno.test("ownNames(): one look-up serves all who ask meanwhile", async () => {
  const state = machine(["192.0.2.1"], {});
  await Promise.all([state.lookUp("c.example"), state.lookUp("c.example")]);
  assert.equal(state.asked, 1);
});
