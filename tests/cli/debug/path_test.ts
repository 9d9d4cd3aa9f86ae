import assert from "node:assert/strict";
import { formatPath } from "../../../cli/debug/path.ts";
import type { PathAnswer } from "../../../cli/debug/path.ts";

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
