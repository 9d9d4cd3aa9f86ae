/** `lock doctor`: for every condition what is wrong and what to type. */
import assert from "node:assert/strict";
import { troublesOf } from "../../../cli/lock/doctor.ts";
import type { AgentLockJson, LockStatus } from "../../../cli/lock/types.ts";
import { isFine, remedyOf } from "../../../daemon/lock/condition.ts";
import type { ConditionName } from "../../../daemon/lock/condition.ts";

const NOW = Date.parse("2026-11-01T00:00:00Z");
const NODE_KEY = `nodekey:${"ab".repeat(32)}`;

function statusWith(agent: Partial<AgentLockJson>, more: Partial<LockStatus> = {}): [LockStatus, AgentLockJson] {
  const Agent: AgentLockJson = {
    Condition: "synced",
    Since: null,
    Reason: "",
    Remedy: "",
    StateID: "1:2",
    Genesis: "G",
    HeadSince: null,
    ConfirmedByControl: new Date(NOW).toISOString(),
    LockRequired: false,
    LockPins: [],
    ...agent,
  };
  const status: LockStatus = {
    Enabled: true,
    Head: null,
    PublicKey: `nlpub:${"cd".repeat(32)}`,
    NodeKey: NODE_KEY,
    NodeKeySigned: true,
    NodeKeySignature: null,
    TrustedKeys: [key(), key()],
    VisiblePeers: null,
    FilteredPeers: null,
    StateID: 1,
    Agent,
    ...more,
  };
  return [status, Agent];
}

const key = (Metadata: Record<string, string> | null = null) => ({
  Kind: "25519",
  Key: "nlpub:00",
  Metadata,
  Votes: 1,
});

/** By condition: what its remedy tells to type or to do. */
const WANTED: Readonly<Record<ConditionName, RegExp | undefined>> = {
  "off": undefined,
  "synced": undefined,
  "syncing": undefined,
  "not-compared": undefined,
  "disabled-here": undefined,
  "required": /run `agent set --lock-required=false --lock-pin=`$/,
  "bootstrap-failed": /ask the operator of the control server; `agent lock doctor --retry` tries again$/,
  "pin-mismatch": /compare the pin with `agent lock log` on a signing node; `agent set --lock-pin=…` changes it$/,
  "other-lock":
    /if the tailnet's lock was really made anew, run `agent lock local-disable`.*distrust the control server$/,
  "disable-unproven":
    /if the lock was really disabled, run `agent lock local-disable`; if not, distrust the control server$/,
  "unreachable": /none needed: it is tried again by itself$/,
  "refused": /ask the operator of the control server/,
  "bad-updates": /compare `agent lock log` with a signing node/,
  "diverged": /compare `agent lock log` with that of this node, and do again with `agent lock add`, `remove` or `sign`/,
  "no-common-history":
    /run `agent lock local-disable`, and this node takes the new one;.*`agent lock doctor --refetch`$/,
  "store-damaged": /restore the named file from a copy, or move the directory away and restart/,
  "store-missing": /none needed once control answers: the AUMs are fetched again;.*`agent lock doctor --refetch`$/,
  "store-failed": /free space or fix the permissions of the state directory, then `agent lock doctor --retry`$/,
};

for (const [name, wanted] of Object.entries(WANTED) as [ConditionName, RegExp | undefined][]) {
  Deno.test(`lock doctor: ${name}: ${wanted === undefined ? "nothing is wrong" : "says what is wrong and what to do"}`, () => {
    const seen = `what was seen of ${name}`;
    const condition = { name, since: NOW, reason: seen };
    assert.equal(isFine(condition), wanted === undefined);
    const [status, agent] = statusWith({ Condition: name, Reason: wanted && seen, Remedy: remedyOf(name) });
    const troubles = troublesOf(status, agent, "agent", NOW);
    if (wanted === undefined) return assert.deepEqual(troubles, []);
    assert.equal(troubles.length, 1);
    assert.equal(troubles[0].seen, `${name}: ${seen}`);
    assert.match(troubles[0].remedy, wanted);
  });
}

Deno.test("lock doctor: a node that is locked out, a withheld head, too many keys, one signer", () => {
  const troubles = (agent: Partial<AgentLockJson>, more?: Partial<LockStatus>) =>
    troublesOf(...statusWith(agent, more), "agent", NOW);
  assert.deepEqual(troubles({}, { NodeKeySigned: false }), [{
    seen: "this node is locked out",
    remedy: `on a signing node run \`agent lock sign ${NODE_KEY} tlpub:${"cd".repeat(32)}\``,
  }]);
  const stale = troubles({ ConfirmedByControl: new Date(NOW - 30 * 3600_000).toISOString() });
  assert.match(stale[0].seen, /^control has not confirmed the head for 30 hours: newer changes.*may be withheld$/);
  assert.match(stale[0].remedy, /`agent lock doctor --retry` asks again$/);
  const many = Array.from({ length: 400 }, (_, i) => key(i < 2 ? null : { purpose: "pre-auth key" }));
  assert.deepEqual(troubles({}, { TrustedKeys: many }), [{
    seen: "400 of 512 keys are trusted",
    remedy: "on a signing node run `agent lock prune`",
  }]);
  assert.deepEqual(troubles({}, { TrustedKeys: many.slice(1) }).map(({ seen }) => seen), ["one key alone can sign"]);
  const [as] = troublesOf(...statusWith({}, { TrustedKeys: [key()] }), "tailscale", NOW);
  assert.match(as.remedy, /`tailscale lock add`/);
});
