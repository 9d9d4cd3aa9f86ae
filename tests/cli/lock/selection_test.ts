/** Which nodes and which keys are meant: the filter of `sign --all-unsigned`, and what `prune` retires. */
import assert from "node:assert/strict";
import { globPattern, select } from "../../../cli/lock/node_filter.ts";
import { prunable } from "../../../cli/lock/prune.ts";
import { nodeTable } from "../../../cli/lock/sign_all.ts";
import { rotationKeyToKeep } from "../../../cli/lock/resign.ts";
import type { LockNodeJson } from "../../../cli/lock/types.ts";
import { NodePublic } from "../../../base/keys.ts";
import { signByCredential, signCredential, signNodeKey } from "../../../tka/node_key_signature.ts";
import { testKey } from "../../support/lock_keys.ts";

const NO_SIGNATURE = { SigKind: 0, Pubkey: null, KeyID: null, Signature: null, Nested: null, WrappingPubkey: null };

function node(name: string, more: Partial<LockNodeJson> = {}): LockNodeJson {
  return {
    Name: `${name}.tail.test.`,
    StableID: name,
    TailscaleIPs: [],
    NodeKey: `nodekey:${name}`,
    Tags: [],
    User: "alice",
    Self: false,
    Verdict: "unsigned",
    Why: "it has no signature",
    NodeKeySignature: NO_SIGNATURE,
    ...more,
  };
}

Deno.test("lock sign --all-unsigned: name, tag and user choose; what is signed, replaced or of others is never chosen", () => {
  const nodes = [
    node("web-1", { Tags: ["tag:web"] }),
    node("web-2", { Verdict: "untrusted" }),
    node("web-3", { Verdict: "replaced" }),
    node("web-4", { Verdict: "signed" }),
    node("web-5", { Verdict: "outside" }),
    node("web-6", { Verdict: "closed" }),
    node("db", { User: "bob" }),
  ];
  const none = { name: "", tag: "", user: "", distrusted: false };
  const names = (filter: Partial<typeof none>) => {
    const { chosen, others, distrusted } = select(nodes, { ...none, ...filter });
    return [chosen, distrusted].map((list) => list.map(({ StableID }) => StableID).join(" ")).concat(String(others));
  };
  assert.deepEqual(names({}), ["web-1 db", "web-2", "0"]);
  assert.deepEqual(names({ distrusted: true }), ["web-1 web-2 db", "", "0"]);
  assert.deepEqual(names({ name: "web-*" }), ["web-1", "web-2", "1"]);
  assert.deepEqual(names({ name: "WEB-?.tail.test" }), ["web-1", "web-2", "1"]);
  assert.deepEqual(names({ name: "eb" }), ["", "", "3"]);
  assert.deepEqual(names({ tag: "tag:web" }), ["web-1", "", "2"]);
  // A tagged node is nobody's, whoever registered it.
  assert.deepEqual(names({ user: "alice" }), ["", "web-2", "2"]);
  assert.deepEqual(names({ user: "bob" }), ["db", "", "2"]);
  assert.throws(() => names({ tag: "web" }), /--tag web: want tag:<name>/);
});

Deno.test("the list to sign by: a name of control's draws no rows of its own", () => {
  const forged = node("x", { Name: "a\n\x1b[1Ahonest\u202e.tail.test.", User: "al\tice", Why: "" });
  const table = nodeTable([forged]);
  assert.equal(table.trimEnd().split("\n").length, 2);
  assert.match(table, /\na\?\?\[1Ahonest\?\.tail\.test +al\?ice +nodekey:x\n$/);
});

Deno.test("globs: * and ? stand for text, all else for itself", () => {
  for (
    const [glob, text, fits] of [["a*", "abc", true], ["a?c", "abc", true], ["a.c", "abc", false], [
      "[a]",
      "a",
      false,
    ]] as [
      string,
      string,
      boolean,
    ][]
  ) assert.equal(globPattern(glob).test(text), fits, `${glob} ${text}`);
});

Deno.test("lock prune: retires signers of auth keys that are used or expired, or old where control does not tell", () => {
  const day = 86_400_000;
  const now = 1_000 * day;
  const trusted = (number: number, Metadata: Record<string, string> | null) => ({
    Kind: "25519",
    Key: testKey(number).lock.public.toString(),
    Metadata,
    Votes: 1,
  });
  const preAuth = (id: string, ageDays: number) => ({
    purpose: "pre-auth key",
    authkey_stableid: id,
    wrapper_createtime: String((now - ageDays * day) / 1000),
  });
  const keys = [
    trusted(1, null),
    trusted(2, { purpose: "something else", wrapper_createtime: "1" }),
    trusted(3, preAuth("used", 1)),
    trusted(4, preAuth("expired", 1)),
    trusted(5, preAuth("valid", 400)),
    trusted(6, preAuth("young", 89)),
    trusted(7, preAuth("old", 90)),
    trusted(8, { purpose: "pre-auth key" }),
    trusted(9, { purpose: "pre-auth key", authkey_stableid: "constructor", wrapper_createtime: "soon" }),
  ];
  const states = { used: "used", expired: "expired", valid: "valid", young: "unknown" } as const;
  const found = (olderThanMs: number) =>
    prunable(keys, states, olderThanMs, now).map(({ authKey, why }) => [authKey, why]);
  const said = [["used", "used, says control"], ["expired", "expired, says control"]];
  assert.deepEqual(found(90 * day), [...said, ["old", "made 90 days ago"]]);
  assert.deepEqual(found(30 * day), [...said, ["young", "made 89 days ago"], ["old", "made 90 days ago"]]);
});

Deno.test("signing again keeps a node's own rotation key, and never that of an auth key", () => {
  const [signer, own] = [testKey(1), testKey(2)];
  const nodeKey = new NodePublic(new Uint8Array(32).fill(5));
  assert.deepEqual(rotationKeyToKeep(signNodeKey(signer.lock, nodeKey, own.public)), own.public);
  assert.equal(rotationKeyToKeep(signNodeKey(signer.lock, nodeKey)), undefined);
  const byAuthKey = signByCredential(own.seed, signCredential(signer.lock, own.public), nodeKey);
  assert.equal(rotationKeyToKeep(byAuthKey), undefined, "whoever has the auth key could sign on with it");
});
