// Our Tailnet Lock and upstream's, asked the same questions: mutated CBOR, signatures at the edge, stores on disk, long
// chains. Random worlds are in tka_worlds_test.ts.

import assert from "node:assert/strict";
import { join } from "node:path";
import { DiskChonk } from "../../daemon/lock/disk_chonk.ts";
import { fromHex, toHex, utf8 } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { Secret } from "../../base/secret.ts";
import { Aum, validateAum } from "../../tka/aum.ts";
import { Authority } from "../../tka/authority.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { disablementValue } from "../../tka/disablement.ts";
import { TkaError } from "../../tka/errors.ts";
import {
  decodeNodeKeySignature,
  encodeNodeKeySignature,
  nodeKeySigHash,
  nodeKeySignatureText,
  resignNodeKey,
  signByCredential,
  signCredential,
  signNodeKey,
} from "../../tka/node_key_signature.ts";
import { verifyGoStd, verifyZip215 } from "../../tka/signature.ts";
import { parseAuthKey, wrapAuthKey } from "../../tka/wrapped_auth_key.ts";
import type { State } from "../../tka/state.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";
import { offerFor } from "../../tka/sync_round.ts";
import { drawChain, longChain, TestNode } from "../support/chain_dsl.ts";
import { testKey } from "../support/lock_keys.ts";
import { mutate, SeededRandom } from "../support/random.ts";
import { cborMutations, cborSamples } from "../support/tka_cbor.ts";
import type { Result, Step } from "../support/tka_node.ts";
import { OurNode } from "../support/tka_node.ts";
import { UPSTREAM_WALK_LIMITS, WALK_LIMITS } from "../../tka/limits.ts";
import type { WalkLimits } from "../../tka/limits.ts";
import { edgeSignatures } from "../support/tka_edge_signatures.ts";
import { BEYOND_BOUNDS, compareWorlds, describe, firstDifference } from "./support/tka_differences.ts";
import type { KnownDifference } from "./support/tka_differences.ts";
import { oracleTest } from "./support/tka_oracle_test_case.ts";

const MUTATIONS = 100_000;
const OUR_WORLDS = 300;

function anyNode(random: SeededRandom): NodePublic {
  return new NodePublic(random.bytes(32));
}

interface DecodedAum {
  readonly OK: boolean;
  readonly Bytes?: string;
  readonly Hash?: string;
  readonly SigHash?: string;
  readonly Parent?: string;
  readonly Valid: boolean;
  readonly Error?: string;
}

interface DecodedSig {
  readonly OK: boolean;
  readonly Bytes?: string;
  readonly SigHash?: string;
  readonly Text?: string;
  readonly Error?: string;
}

function ourAum(bytes: Uint8Array): DecodedAum {
  let aum: Aum;
  try {
    aum = Aum.decode(bytes);
  } catch (error) {
    assert.ok(error instanceof TkaError, `decoding threw ${error}`);
    return { OK: false, Valid: false };
  }
  const decoded = { OK: true, Bytes: toHex(aum.bytes), Hash: aum.hash, SigHash: toHex(aum.sigHash) };
  const parent = aum.parent === undefined ? {} : { Parent: aum.parent as string };
  try {
    validateAum(aum);
    return { ...decoded, ...parent, Valid: true };
  } catch (error) {
    assert.ok(error instanceof TkaError, `validating threw ${error}`);
    return { ...decoded, ...parent, Valid: false };
  }
}

function ourSig(bytes: Uint8Array): DecodedSig {
  try {
    const sig = decodeNodeKeySignature(bytes);
    return {
      OK: true,
      Bytes: toHex(encodeNodeKeySignature(sig)),
      SigHash: toHex(nodeKeySigHash(sig)),
      Text: nodeKeySignatureText(sig).replace(/<error: .*?>/g, "<error>"),
    };
  } catch (error) {
    assert.ok(error instanceof TkaError, `decoding threw ${error}`);
    return { OK: false };
  }
}

oracleTest(
  `Aum.decode() and decodeNodeKeySignature() agree with upstream on ${MUTATIONS} mutated inputs`,
  async (oracle) => {
    const random = new SeededRandom(20261122);
    const inputs = [...cborSamples(), ...cborMutations(random, MUTATIONS)];
    let accepted = 0;
    for (let from = 0; from < inputs.length; from += 1000) {
      const batch = inputs.slice(from, from + 1000);
      const hex = batch.map(toHex);
      const theirs = await oracle.ask<{ AUMs: DecodedAum[]; Sigs: DecodedSig[] }>({
        Op: "decode",
        AUMs: hex,
        Sigs: hex,
      });
      for (const [i, bytes] of batch.entries()) {
        const { Error: aumError, ...aum } = theirs.AUMs[i];
        assert.deepEqual(ourAum(bytes), aum, `AUM ${hex[i]}: ${aumError}`);
        const { Error: sigError, ...sig } = theirs.Sigs[i];
        if (sig.Text !== undefined) Object.assign(sig, { Text: sig.Text.replace(/<error: .*?>/g, "<error>") });
        assert.deepEqual(ourSig(bytes), sig, `signature ${hex[i]}: ${sigError}`);
        if (aum.OK || sig.OK) accepted++;
      }
    }
    console.log(`${inputs.length} inputs, ${accepted} accepted as one or the other`);
  },
);

/** Stores and offers on both sides of upstream's bounds. */
function stepsAtBounds(): Step[] {
  const { genesis } = drawChain("G");
  const state = genesis.state as State;
  const plain = longChain(genesis, state, 2003, testKey(1), Infinity);
  const hex = (list: readonly Aum[]) => list.map((aum) => toHex(aum.bytes));
  const steps: Step[] = [];
  let node = 0;
  const at = (Do: string, rest: Partial<Step> = {}) => steps.push({ Do, Node: node, Now: 0, ...rest });
  // Opening a store, and recomputing the chain when a branch comes in.
  for (const length of [1998, 1999, 2000, 2001]) {
    node++;
    at("store", { AUMs: hex([genesis, ...plain.slice(0, length - 1)]) });
    at("open");
  }
  for (const length of [1997, 1998, 1999, 2000]) {
    node++;
    at("bootstrap", { AUMs: hex([genesis]) });
    at("inform", { AUMs: hex(plain.slice(0, length)) });
    at("inform", { AUMs: hex(longChain(plain[length - 10], state, 2, testKey(2), Infinity, "branch")) });
    at("inform", { AUMs: hex(plain.slice(length, length + 1)) });
    // Heads near and far behind; ancestors too far back are errors, not misses.
    for (const behind of [998, 999, 1000, 1001]) {
      at("missing", { Head: plain[length - 1 - behind].hash, Ancestors: [] });
    }
    at("missing", { Head: plain[2002].hash, Ancestors: [plain[2001].hash, genesis.hash] });
    at("missing", { Head: plain[2002].hash, Ancestors: [plain[4].hash] });
    at("offer");
  }
  return steps;
}

function takeAll(steps: readonly Step[], limits: WalkLimits): Result[] {
  const nodes = new Map<number, OurNode>();
  return steps.map((step) => {
    const known = nodes.get(step.Node) ?? new OurNode(limits);
    nodes.set(step.Node, known);
    return known.take(step);
  });
}

oracleTest("with upstream's bounds, walks end at the same AUM as upstream's", async (oracle) => {
  const steps = stepsAtBounds();
  const results = takeAll(steps, UPSTREAM_WALK_LIMITS);
  const { Steps } = await oracle.ask<{ Steps: Result[] }>({ Op: "world", Steps: steps });
  const difference = firstDifference(0, { steps, results }, Steps);
  if (difference !== undefined) assert.fail(describe(difference));
  assert.ok(results.some(({ Error }) => Error?.startsWith("[iteration-limit]")), "no bound was reached");
});

oracleTest(
  "with our bounds, all that upstream accepts is accepted alike, and what more is on the list",
  async (oracle) => {
    const steps = stepsAtBounds();
    const results = takeAll(steps, WALK_LIMITS);
    const { Steps } = await oracle.ask<{ Steps: Result[] }>({ Op: "world", Steps: steps });
    const more = new Map<string, number>();
    const parted = new Set<number>();
    for (const [i, step] of steps.entries()) {
      // After the first step that upstream refuses the two nodes are not the same any more.
      if (parted.has(step.Node)) continue;
      const difference = firstDifference(0, { steps: [step], results: [results[i]] }, [Steps[i]]);
      if (difference === undefined) continue;
      const lenience = BEYOND_BOUNDS[step.Do as keyof typeof BEYOND_BOUNDS];
      if (!results[i].OK || Steps[i].OK || lenience === undefined) assert.fail(describe(difference));
      more.set(lenience, (more.get(lenience) ?? 0) + 1);
      if (step.Do !== "missing") parted.add(step.Node);
    }
    for (const [what, count] of more) console.log(`${count} times we go on: ${what}`);
    assert.deepEqual([...more.keys()].sort(), Object.values(BEYOND_BOUNDS).sort(), "each is shown");
  },
);

oracleTest(`with our bounds, ${OUR_WORLDS} random worlds are as with upstream's`, async (oracle) => {
  const { tally, difference } = await compareWorlds(oracle, 5_000_000, OUR_WORLDS, 24, WALK_LIMITS);
  if (difference !== undefined) assert.fail(describe(difference));
  assert.equal(tally.worlds, OUR_WORLDS);
});

oracleTest("the known differences are what their list says: upstream fails, we go on", async (oracle) => {
  const [one, other] = [drawChain("G"), drawChain("G -> A", { stateId1: 99n })];
  const tree = drawChain("G -> A* -> B -> C -> D -> E* -> F -> H");
  const hex = (...aums: Aum[]) => aums.map((aum) => toHex(aum.bytes));
  const compact = { Do: "compact", MinChain: 2, MinAge: 1000 };
  const cases: Record<KnownDifference, Omit<Step, "Node">[]> = {
    "opens one of several chains": [
      { Do: "bootstrap", Now: 0, AUMs: hex(one.genesis) },
      { Do: "store", Now: 0, AUMs: hex(other.genesis, other.aum("A")) },
      { Do: "open", Now: 0 },
    ],
    "compacts a store that begins with a young checkpoint": [
      { Do: "bootstrap", Now: 0, AUMs: hex(tree.aum("A")) },
      { Do: "inform", Now: 0, AUMs: hex(...tree.to("D").slice(1)) },
      { ...compact, Now: 10 },
    ],
    "keeps the very first AUM": [
      // The genesis came last, as after a restored backup, and is the only young AUM.
      { Do: "store", Now: 0, AUMs: hex(...tree.to("H")) },
      { Do: "store", Now: 5000, AUMs: hex(tree.genesis) },
      { Do: "open", Now: 5000 },
      { ...compact, Now: 5001 },
    ],
  };
  for (const [name, bare] of Object.entries(cases)) {
    const steps = bare.map((step) => ({ ...step, Node: 0 }));
    const node = new OurNode(UPSTREAM_WALK_LIMITS);
    const results = steps.map((step) => node.take(step));
    const { Steps } = await oracle.ask<{ Steps: Result[] }>({ Op: "world", Steps: steps });
    const difference = firstDifference(0, { steps, results }, Steps);
    assert.equal(difference?.known, name, difference === undefined ? "none" : describe(difference));
    assert.equal(difference?.index, steps.length - 1);
  }
});

oracleTest("L16: offerFor() heals an unmodified node that upstream's own offer leaves lost", async (oracle) => {
  const { genesis } = drawChain("G");
  const aums = longChain(genesis, genesis.state as State, 1800, testKey(1));
  const control = new TestNode(genesis).learn(aums);
  const stock = new TestNode(genesis).learn(aums.slice(0, 120)); // ours, to know what the stock node offers
  stock.authority = stock.authority.compact(stock.chonk, { minChain: 24, minAgeMs: 1000 }, 1e9);
  const hex = (list: readonly Aum[]) => list.map((aum) => toHex(aum.bytes));
  const asker = syncOffer(stock.authority, stock.chonk);
  const offers = [syncOffer(control.authority, control.chonk), offerFor(control.authority, control.chonk, asker)];
  const missing = missingAums(control.authority, control.chonk, asker);
  const { Steps } = await oracle.ask<{ Steps: Result[] }>({
    Op: "world",
    Steps: [
      { Do: "bootstrap", Node: 0, Now: 0, AUMs: hex([genesis]) },
      { Do: "inform", Node: 0, Now: 0, AUMs: hex(aums.slice(0, 120)) },
      { Do: "compact", Node: 0, Now: 1_000_000, MinChain: 24, MinAge: 1 },
      { Do: "offer", Node: 0, Now: 1_000_000 },
      ...offers.map((offer) => ({
        Do: "missing",
        Node: 0,
        Now: 1_000_000,
        Head: offer.head,
        Ancestors: offer.ancestors,
      })),
      { Do: "inform", Node: 0, Now: 1_000_000, AUMs: hex(missing) },
    ],
  });
  assert.deepEqual(Steps[3].Ancestors, asker.ancestors);
  assert.match(Steps[4].Error as string, /no intersection/);
  assert.deepEqual([Steps[5].OK, Steps[5].Hashes ?? []], [true, []]);
  assert.equal(Steps[6].Head, control.authority.head);
});

interface Disk {
  readonly Files: Record<string, string>;
  readonly All: readonly string[] | null;
  readonly Head: string;
  readonly Error: string;
}

interface TestDirectory extends Disposable {
  readonly path: string;
  /** Content of each file, hex, by its name below the directory. */
  files(): Record<string, string>;
}

/** A directory with these files, gone when disposed of. */
function directory(files: Readonly<Record<string, string>> = {}): TestDirectory {
  const path = Deno.makeTempDirSync({ prefix: "agent-tka-" });
  for (const [name, content] of Object.entries(files)) {
    Deno.mkdirSync(join(path, name, ".."), { recursive: true });
    Deno.writeFileSync(join(path, name), Uint8Array.fromHex(content));
  }
  return {
    path,
    files: () => {
      const names = [...Deno.readDirSync(path)].flatMap(({ name, isDirectory }) =>
        isDirectory ? [...Deno.readDirSync(join(path, name))].map((file) => `${name}/${file.name}`) : [name]
      );
      return Object.fromEntries(names.map((name) => [name, toHex(Deno.readFileSync(join(path, name)))]));
    },
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}

oracleTest("DiskChonk opens the directory that upstream wrote, and upstream ours", async (oracle) => {
  const tree = drawChain("G -> A -> B* -> C");
  const aums = [tree.genesis, ...tree.to("C")];
  const Purge = [tree.aum("A").hash, tree.genesis.hash];
  const theirs = await oracle.ask<Disk>({ Op: "disk", AUMs: aums.map((aum) => toHex(aum.bytes)), Purge });
  assert.equal(theirs.Error, "");
  using written = directory({ ...theirs.Files, "AA/.tmp": "00", "notes.txt": "00" });
  const chonk = DiskChonk.open(written.path);
  assert.deepEqual([...chonk.all()].sort(), aums.slice(2).map((aum) => aum.hash).sort());
  assert.equal(Authority.open(chonk).head, theirs.Head);
  assert.ok((chonk.commitTime(tree.aum("C").hash) as number) > 1.7e12);

  using empty = directory();
  const ours = DiskChonk.open(empty.path);
  Authority.bootstrap(ours, tree.genesis, 1.7e12).inform(ours, aums.slice(1), 1.7e12);
  const again = await oracle.ask<Disk>({ Op: "disk", Files: empty.files() });
  assert.equal(again.Error, "");
  assert.deepEqual(again.All?.toSorted(), aums.map((aum) => aum.hash as string).sort());
  assert.equal(again.Head, tree.aum("C").hash);
});

oracleTest(
  "L14: an altered file is refused by DiskChonk wherever upstream refuses it, or read alike",
  async (oracle) => {
    const tree = drawChain("G -> A");
    const random = new SeededRandom(14);
    using whole = directory();
    const chonk = DiskChonk.open(whole.path);
    Authority.bootstrap(chonk, tree.genesis, 1.7e12).inform(chonk, [tree.aum("A")], 1.7e12);
    const files = whole.files();
    const { hash } = tree.aum("A");
    const name = `${hash.slice(0, 2)}/${hash}`;
    let refused = 0;
    for (let i = 0; i < 300; i++) {
      const altered = { ...files, [name]: toHex(mutate(random, Uint8Array.fromHex(files[name]))) };
      using place = directory(altered);
      const theirs = await oracle.ask<Disk>({ Op: "disk", Files: altered });
      let ours: string | undefined;
      try {
        ours = Authority.open(DiskChonk.open(place.path)).head;
      } catch {
        refused++;
      }
      if (ours !== undefined) assert.equal(ours, theirs.Head, `${altered[name]}: ${theirs.Error}`);
    }
    assert.ok(refused > 200, `${refused} refused`);
  },
);

oracleTest("verifyZip215() and verifyGoStd() agree with upstream's verifiers on edge vectors", async (oracle) => {
  const vectors = edgeSignatures(new SeededRandom(7));
  const questions = vectors.map(({ pub, msg, sig }) =>
    ({ Op: "verify", Pub: toHex(pub), Msg: toHex(msg), Sig: toHex(sig) }) as const
  );
  const answers = await oracle.askAll<{ ZIP215: boolean; Std: boolean }>(questions);
  const counts = { zip215: 0, std: 0, differ: 0 };
  for (const [i, { name, pub, msg, sig }] of vectors.entries()) {
    const { ZIP215, Std } = answers[i];
    assert.equal(verifyZip215(pub, msg, sig), ZIP215, `${name}: ZIP-215`);
    assert.equal(verifyGoStd(pub, msg, sig), Std, `${name}: Go's rule`);
    if (ZIP215) counts.zip215++;
    if (Std) counts.std++;
    if (ZIP215 !== Std) counts.differ++;
  }
  console.log(`${vectors.length} vectors: ${JSON.stringify(counts)}`);
  assert.ok(counts.differ > 0, "no vector tells the rules apart");
});

oracleTest("resignNodeKey() makes upstream's bytes, through the trimming of long chains", async (oracle) => {
  const random = new SeededRandom(3);
  const own = testKey(2);
  let sig: Uint8Array = encodeNodeKeySignature(signNodeKey(testKey(1).lock, anyNode(random), own.public));
  for (let i = 1; i <= 40; i++) {
    const key = anyNode(random);
    const question = { Op: "resign", Priv: toHex(own.seed), Node: key.hex, Sig: toHex(sig) } as const;
    const theirs = await oracle.ask<{ OK: boolean; Sig: string }>(question);
    sig = resignNodeKey(own.lock, key, sig);
    assert.equal(toHex(sig), theirs.Sig, `rotation ${i}`);
    const again = await oracle.ask<{ Sig: string }>({ ...question, Sig: toHex(sig) });
    assert.equal(toHex(resignNodeKey(own.lock, key, sig)), again.Sig, "the same key again");
  }
});

oracleTest(
  "resignNodeKey() keeps a credential's chain readable where upstream's 16th rotation is not",
  async (oracle) => {
    const random = new SeededRandom(3);
    const own = testKey(2);
    const credential = encodeNodeKeySignature(signCredential(testKey(1).lock, own.public));
    let [ours, theirs] = [toHex(credential), toHex(credential)];
    for (let i = 1; i <= 40; i++) {
      const key = anyNode(random);
      ours = toHex(resignNodeKey(own.lock, key, Uint8Array.fromHex(ours)));
      if (i <= 16) {
        const question = { Op: "resign", Priv: toHex(own.seed), Node: key.hex, Sig: theirs } as const;
        theirs = (await oracle.ask<{ Sig: string }>(question)).Sig;
      }
      if (i < 16) assert.equal(ours, theirs, `rotation ${i}`);
      const { Sigs } = await oracle.ask<{ Sigs: DecodedSig[] }>({ Op: "decode", Sigs: [ours, theirs] });
      assert.deepEqual(Sigs.map(({ OK }) => OK), [true, i < 16], `rotation ${i}: ${Sigs[1].Error}`);
    }
  },
);

oracleTest("parseAuthKey() takes apart what upstream does; signByCredential() signs alike", async (oracle) => {
  const random = new SeededRandom(4);
  const whole = wrapAuthKey(new Secret("tskey-auth-k1-x"), testKey(1).lock, random.bytes).reveal();
  const texts = ["tskey-auth-k1-x", "", whole, "x--TL", "x--TL-", "x--TLAA-AA", whole + "=", whole.slice(0, -1)];
  for (let i = 0; i < 300; i++) {
    const mutant = toHex(mutate(random, utf8(whole)).map((byte) => byte & 0x7f));
    texts.push(String.fromCharCode(...fromHex(mutant)!).replace(/[\r\n]/g, ""));
  }
  for (const text of texts) {
    const theirs = await oracle.ask<{ AuthKey: string; Wrapped: boolean; Priv: string; Sig?: string }>(
      { Op: "wrapped", Text: text },
    );
    const ours = parseAuthKey(text);
    // Upstream panics later on a private key of another length; here that is a broken key.
    const usable = theirs.Wrapped && theirs.Priv.length === 128;
    assert.equal(ours.kind === "wrapped", usable, text);
    if (ours.kind !== "wrapped") {
      if (!theirs.Wrapped) assert.equal(ours.authKey.reveal(), theirs.AuthKey);
      continue;
    }
    assert.equal(ours.authKey.reveal(), theirs.AuthKey);
    assert.equal(toHex(encodeNodeKeySignature(ours.credential)), theirs.Sig);
    assert.equal(toHex(ours.seed()), theirs.Priv.slice(0, 64));
    const node = new NodePublic(random.bytes(32));
    if (ours.credential.kind !== 3) continue;
    const signed = await oracle.ask<{ Sig: string }>(
      { Op: "sign-by-credential", Priv: toHex(ours.seed()), Node: node.hex, Sig: theirs.Sig as string },
    );
    assert.equal(toHex(encodeNodeKeySignature(signByCredential(ours.seed(), ours.credential, node))), signed.Sig);
  }
});

oracleTest("disablementValue() derives what upstream derives", async (oracle) => {
  for (const secret of [new Uint8Array(32).fill(0xa5), new Uint8Array(0)]) {
    const { Value } = await oracle.ask<{ Value: string }>({ Op: "kdf", Secret: toHex(secret) });
    assert.equal(toHex(disablementValue(secret)), Value);
  }
});

oracleTest("deep links are written and checked as upstream does", async (oracle) => {
  const { checkDeeplink, newDeeplink } = await import("../../tka/deeplink.ts");
  const state = {
    lastAumHash: null,
    disablementValues: [new Uint8Array(32)],
    keys: [testKey(1).key()],
    stateId1: 0x0123456789abcdefn,
    stateId2: 5n,
  };
  const unsigned = new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state, signatures: [] });
  const genesis = unsigned.withSignatures(testKey(1).signAum(unsigned.sigHash));
  const params = {
    nodeKey: "nodekey:" + "1".repeat(64),
    lockKey: "tlpub:" + "2".repeat(64),
    deviceName: "Ann's box (1)! *~ü",
    osName: "linux & co",
    loginName: "ann+x@example.com",
  };
  const link = newDeeplink(state, params);
  const text = [params.nodeKey, params.lockKey, params.deviceName, params.osName, params.loginName].join("\n");
  const bad = [link.replace("box", "bax"), link.replace("v1", "v2"), link.replace("sign-device", "x"), "x", ""];
  const step = { Node: 0, Now: 0 };
  const checks = [link, ...bad].map((Text) => ({ ...step, Do: "check-deeplink", Text }));
  const { Steps } = await oracle.ask<{ Steps: { OK: boolean; Text?: string }[] }>({
    Op: "world",
    Steps: [
      { ...step, Do: "bootstrap", AUMs: [toHex(genesis.bytes)] },
      { ...step, Do: "deeplink", Text: text },
      ...checks,
    ],
  });
  assert.equal(Steps[1].Text, link);
  for (const [i, { Text }] of checks.entries()) {
    assert.equal(checkDeeplink(state, Text).valid, Steps[2 + i].OK, Text);
  }
});
