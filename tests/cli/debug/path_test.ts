import assert from "node:assert/strict";
import { formatPath } from "../../../cli/debug/path.ts";
import type { PathAnswer } from "../../../cli/debug/path.ts";
import { answer, run, withLocalApi } from "../fake_local_api.ts";
import type { Ran } from "../fake_local_api.ts";
import { peer, status } from "../fixtures.ts";

const ANSWER: PathAnswer = {
  Name: "two.tail.test",
  Endpoints: [{ addr: "198.51.100.1:41641", type: 2 }, { addr: "10.0.0.1:41641", type: 1 }],
  NetInfo: { WorkingUDP: true, MappingVariesByDestIP: true },
  Path: {
    best: "203.0.113.7:41641",
    trustedForMs: 6_200,
    latencyMs: 12.34,
    derp: 1,
    active: true,
    sentAgoMs: 100,
    receivedAgoMs: 90,
    candidates: [
      {
        address: "203.0.113.7:41641",
        sources: ["configured", "heard"],
        latencyMs: 12.34,
        pingedAgoMs: 300,
        best: true,
      },
      {
        ...{ address: "[2001:db8::7]:41641", sources: ["announced"], latencyMs: 30, pingedAgoMs: 4_000, best: false },
        points: { own: 10, best: 59 },
      },
      { address: "10.0.0.7:41641", sources: ["configured"], pingedAgoMs: 20_000, best: false },
    ],
    events: [
      { kind: "ping", path: "10.0.0.7:41641", firstAgoMs: 60_000, lastAgoMs: 20_000, count: 9 },
      { kind: "call-me-maybe-sent", path: "derp-1", firstAgoMs: 59_000, lastAgoMs: 59_000, count: 1 },
      { kind: "pong", path: "203.0.113.7:41641", firstAgoMs: 300, lastAgoMs: 300, count: 1, latencyMs: 12.34 },
      { kind: "path", path: "203.0.113.7:41641", firstAgoMs: 299, lastAgoMs: 299, count: 1 },
    ],
  },
};

Deno.test("debug path tells what is used, what else was tried, and what happened", () => {
  assert.equal(
    formatPath(ANSWER),
    `peer     two.tail.test
in use   direct, 203.0.113.7:41641, answers in 12 ms; trusted for another 6.2 s
traffic  sent 0.1 s ago, received 0.1 s ago
network  UDP passes; the NAT takes another port for each destination (hard)
own      198.51.100.1:41641 (STUN), 10.0.0.1:41641 (local)
candidates, * the best
  * 203.0.113.7:41641    configured, heard  12 ms           pinged 0.3 s ago
    [2001:db8::7]:41641  announced          30 ms           pinged 4.0 s ago  10 points against 59 of the best
    10.0.0.7:41641       configured         never answered  pinged 20 s ago
what happened, oldest first
    60 s ago to 20 s ago  pinged 10.0.0.7:41641, 9 times
    59 s ago              told it by DERP to ping us derp-1
    0.3 s ago             answered 203.0.113.7:41641 in 12 ms
    0.3 s ago             packets now go by 203.0.113.7:41641
`,
  );
});

Deno.test("debug path tells how a session at a peer relay was got", () => {
  const at = (kind: string, path: string, ago: number, latencyMs?: number) => ({
    ...{ kind, path, firstAgoMs: ago, lastAgoMs: ago, count: 1, ...(latencyMs !== undefined && { latencyMs }) },
  });
  const session = "198.51.100.50:7777:vni:5";
  const events = [
    at("relay-asked", "middle.tail.test", 9_000),
    at("relay-granted", "vni:5 by middle.tail.test", 8_900),
    at("relay-told", "vni:5", 8_900),
    at("relay-bind", session, 8_900),
    at("relay-challenge", session, 8_800),
    at("pong", session, 8_700, 4.2),
    at("relay-heard", "vni:6", 5_000),
    at("relay-lost", "vni:6", 200),
    at("relay-unanswered", "this node", 100),
  ];
  const text = formatPath({ ...ANSWER, Path: { ...ANSWER.Path, best: session, events } });
  assert.match(text, /^in use +peer relay 198\.51\.100\.50:7777:vni:5, answers in 12 ms; trusted for another 6\.2 s$/m);
  assert.equal(
    text.slice(text.indexOf("what happened")),
    `what happened, oldest first
    9.0 s ago  asked for a session at the peer relay of middle.tail.test
    8.9 s ago  was given the session vni:5 by middle.tail.test
    8.9 s ago  told it by DERP of the session vni:5
    8.9 s ago  asked the peer relay to be let in at ${session}
    8.8 s ago  the peer relay answered at ${session}
    8.7 s ago  answered ${session} in 4.2 ms
    5.0 s ago  it told us by DERP of the session vni:6
    0.2 s ago  nothing came through the session vni:6
    0.1 s ago  no session from the peer relay of this node
`,
  );
});

Deno.test("debug path asks for the peer's address, by name too, and prints text or JSON", async () => {
  await withLocalApi({
    "GET status": () => answer(status({}, peer())),
    "GET agent/path": () => answer(ANSWER),
  }, async (socket, seen) => {
    const text = await run(["--socket", socket, "debug", "path", "two"]);
    assert.deepEqual([text.code, text.out, text.err], [0, formatPath(ANSWER), ""]);
    assert.equal(seen.at(-1)!.path, "agent/path?ip=100.64.0.2");
    const json = await run(["--socket", socket, "debug", "path", "--json", "100.64.0.2"]);
    assert.deepEqual([json.code, JSON.parse(json.out)], [0, ANSWER]);
    const nobody = await run(["--socket", socket, "debug", "path", "nobody"]);
    assert.equal(nobody.code, 1);
    assert.match(nobody.err, /no node is called "nobody"/);
    assert.equal((await run(["--socket", socket, "debug", "path"])).code, 2);
  });
});

Deno.test("ping --verbose tells which address a name stands for, and at its end the story of the path", async () => {
  const pong = { IP: "100.64.0.2", NodeIP: "100.64.0.2", NodeName: "two", Err: "", LatencySeconds: 0.013 };
  const direct = { ...pong, Endpoint: "203.0.113.7:41641", DERPRegionID: 0, DERPRegionCode: "" };
  const ping = async (pings: () => Response, path: () => Response, ...words: string[]) => {
    let ran: Ran | undefined;
    await withLocalApi({
      "GET status": () => answer(status({}, peer())),
      "POST ping": pings,
      "GET agent/path": path,
    }, async (socket) => {
      ran = await run(["--socket", socket, "ping", "--verbose", ...words]);
    });
    return ran!;
  };
  const story = () => answer(ANSWER);
  const good = await ping(() => answer(direct), story, "two");
  assert.deepEqual([good.code, good.out, good.err], [
    0,
    "pong from two (100.64.0.2) via 203.0.113.7:41641 in 13ms\n",
    `lookup "two" => "100.64.0.2"\n${formatPath(ANSWER)}`,
  ]);
  const relayed = { ...direct, Endpoint: "", DERPRegionID: 1, DERPRegionCode: "fra" };
  const failed = await ping(() => answer(relayed), story, "-c", "1", "100.64.0.2");
  assert.deepEqual([failed.code, failed.err], [1, `${formatPath(ANSWER)}direct connection not established\n`]);
  // Tailscale's daemon knows no such path: the ping is what was asked for.
  const stock = await ping(() => answer(direct), () => new Response("404 page not found\n", { status: 404 }), "two");
  assert.deepEqual([stock.code, stock.err], [0, 'lookup "two" => "100.64.0.2"\n']);
});

Deno.test("debug path of a peer that only a relay reaches, and of one that went silent", () => {
  const relayed = {
    ...ANSWER,
    NetInfo: null,
    Endpoints: [],
    Path: { ...ANSWER.Path, best: "", candidates: [], events: [] },
  };
  const text = formatPath({ ...relayed, Path: { ...relayed.Path, active: false } });
  assert.match(text, /^in use +DERP region 1: no address has answered, and nothing is being sent$/m);
  assert.match(text, /^network +not measured yet$/m);
  const both = formatPath({ ...ANSWER, Path: { ...ANSWER.Path, trustedForMs: 0 } });
  assert.match(
    both,
    /^in use +203\.0\.113\.7:41641 and DERP region 1 both: 203\.0\.113\.7:41641 has not answered lately$/m,
  );
});
