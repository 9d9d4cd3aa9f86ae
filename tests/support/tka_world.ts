/**
 * Random worlds for the differential oracle: a tree of AUMs, some of them forged, and a few nodes that learn of them in
 * random order, compact, offer, restart and judge node keys. A world is a list of steps; `OurNode` takes them with our
 * implementation, `tka-oracle` with upstream's.
 */
import { toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { Aum } from "../../tka/aum.ts";
import type { WalkLimits } from "../../tka/limits.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import { encodeNodeKeySignature, nodeKeyBinary, SIG_KIND } from "../../tka/node_key_signature.ts";
import { syncOffer } from "../../tka/sync.ts";
import type { SeededRandom } from "./random.ts";
import { mutate } from "./random.ts";
import { Coverage } from "./tka_coverage.ts";
import type { Covered } from "./tka_coverage.ts";
import { hashOf, OurNode } from "./tka_node.ts";
import type { Edit, Result, Step } from "./tka_node.ts";
import { shuffled, Tree, WORLD_KEYS as KEYS } from "./tka_tree.ts";

const DAY = 86400;

/** Steps of a world and what our nodes made of them. */
export interface World {
  readonly steps: readonly Step[];
  readonly results: readonly Result[];
  readonly covered: ReadonlySet<Covered>;
}

/** Makes a world of `size` steps, taking each with our implementation as it is made. */
export function makeWorld(random: SeededRandom, size: number, limits: WalkLimits): World {
  const tree = new Tree(random);
  const nodes = Array.from({ length: 1 + random.int(3) }, () => new OurNode(limits));
  const steps: Step[] = [];
  const results: Result[] = [];
  const coverage = new Coverage(tree);
  let now = 1_700_000_000;
  const take = (node: number, step: Omit<Step, "Node" | "Now">): Result => {
    const full = { ...step, Node: node, Now: now };
    const before = nodes[node].chonk.size;
    const result = nodes[node].take(full);
    coverage.step(full, result, before, nodes[node].chonk.size);
    steps.push(full);
    results.push(result);
    return result;
  };
  for (let i = 0; i < nodes.length; i++) take(i, { Do: "bootstrap", AUMs: [toHex(tree.aums[0].bytes)] });
  for (let i = 0; i < size; i++) {
    for (let born = random.int(4); born > 0; born--) tree.grow();
    now += random.chance(0.3) ? random.int(8 * DAY) : random.int(3600);
    const node = random.int(nodes.length);
    const { authority, chonk } = nodes[node];
    const roll = random.int(100);
    if (authority === undefined) {
      const start = random.chance(0.8) ? tree.aums[0] : random.pick(tree.aums);
      take(node, { Do: random.chance(0.9) ? "bootstrap" : "open", AUMs: [toHex(start.bytes)] });
    } else if (roll < 45) take(node, { Do: "inform", AUMs: someAums(tree).map((aum) => toHex(aum.bytes)) });
    else if (roll < 60) {
      const other = nodes[random.int(nodes.length)];
      const offer = other.authority !== undefined && random.chance(0.8)
        ? syncOffer(other.authority, other.chonk)
        : { head: random.pick(tree.aums).hash, ancestors: shuffled(random, tree.aums).slice(0, 4).map((a) => a.hash) };
      const { Hashes } = take(node, { Do: "missing", Head: offer.head, Ancestors: offer.ancestors });
      const to = nodes.indexOf(other);
      if (to >= 0 && to !== node && Hashes !== undefined && Hashes.length > 0 && random.chance(0.8)) {
        const found = Hashes.map((text) => toHex(chonk.aum(hashOf(text))!.bytes));
        take(to, { Do: "inform", AUMs: found });
      }
      if (offer.head === other.authority?.head) coverage.met(node, to);
    } else if (roll < 64) take(node, { Do: "offer" });
    else if (roll < 75) take(node, { Do: "authorized", ...nodeKeySignature(random) });
    else if (roll < 84) {
      // Now and then it dies while it purges, and starts again.
      const died = random.chance(0.15);
      const Text = died ? random.pick(tree.aums).hash : undefined;
      take(node, {
        Do: "compact",
        MinChain: 1 + random.int(6),
        MinAge: 1 + random.int(random.pick([2, 20]) * DAY),
        Text,
      });
      if (died) take(node, { Do: "open" });
    } else if (roll < 87) take(node, { Do: "open" });
    else if (roll < 89) {
      // It died while it wrote what it had verified, and starts again.
      const written = shuffled(random, tree.pathTo(random.pick(tree.sound))).slice(0, 1 + random.int(3));
      const known = written.filter((aum) => aum.parent !== undefined && chonk.aum(aum.parent) !== undefined);
      take(node, { Do: "store", AUMs: known.map((aum) => toHex(aum.bytes)) });
      take(node, { Do: "open" });
    } else if (roll < 94) {
      const key = random.pick(KEYS);
      const Remove = shuffled(random, KEYS).slice(0, 1 + random.int(2)).map((removed) => toHex(removed.public));
      const Fork = random.chance(0.3) ? random.pick(tree.aums).hash : undefined;
      const { AUMs } = take(node, { Do: "revoke", Key: toHex(key.public), Remove, Fork });
      for (const hex of AUMs ?? []) {
        const aum = Aum.decode(Uint8Array.fromHex(hex));
        const any = shuffled(random, KEYS);
        const able = any.filter((k) => nodes[node].authority?.trusts(k.public));
        const cosigners = (random.chance(0.9) ? able : any).slice(0, 1 + random.int(3));
        tree.graft(aum.withSignatures(cosigners.flatMap((cosigner) => cosigner.signAum(aum.sigHash))));
      }
    } else if (roll < 99) {
      const { AUMs } = take(node, { Do: "build", Priv: toHex(random.pick(KEYS).seed), Edits: edits(random) });
      for (const hex of AUMs ?? []) tree.graft(Aum.decode(Uint8Array.fromHex(hex)));
    } else take(node, { Do: "wipe" });
  }
  for (const { chonk } of nodes) coverage.forks(chonk);
  return { steps, results, covered: coverage.covered };
}

/** What a node may be sent: a piece of a branch, or anything. */
function someAums(tree: Tree): Aum[] {
  const { random } = tree;
  if (random.chance(0.08)) return shuffled(random, tree.aums).slice(0, 1 + random.int(4));
  const from = random.chance(0.85) ? tree.sound : tree.aums;
  const path = tree.pathTo(from[from.length - 1 - random.int(Math.min(6, from.length))]);
  const piece = random.chance(0.6) ? path : path.slice(random.int(path.length + 1));
  return random.chance(0.1) ? piece.slice(0, random.int(piece.length + 1)) : piece;
}

function edits(random: SeededRandom): Edit[] {
  return Array.from({ length: random.int(4) }, (): Edit => {
    const Key = toHex(random.pick(KEYS).public);
    const Do = random.pick(["add", "remove", "votes", "meta"] as const);
    if (Do === "meta") return { Do, Key, Meta: { name: `${random.int(100)}` } };
    return { Do, Key, Votes: random.int(5) };
  });
}

/** A node key and something that claims to authorize it. */
function nodeKeySignature(random: SeededRandom): { Key: string; Sig: string } {
  const nodeKey = () => new NodePublic(random.bytes(32));
  let authorized = nodeKey();
  const wrapping = random.pick(KEYS);
  const trusted = random.pick(KEYS);
  let sig: NodeKeySignature = trusted.signNks(
    random.chance(0.7)
      ? {
        kind: SIG_KIND.DIRECT,
        keyId: trusted.public,
        pubkey: nodeKeyBinary(authorized),
        ...(random.chance(0.9) ? { wrappingPubkey: wrapping.public } : {}),
      }
      : { kind: SIG_KIND.CREDENTIAL, keyId: trusted.public, wrappingPubkey: wrapping.public },
  );
  const depth = random.chance(0.8) ? random.int(3) : random.int(18);
  for (let i = 0; i < depth; i++) {
    authorized = nodeKey();
    const by = random.chance(0.97) ? wrapping : random.pick(KEYS);
    sig = by.signNks({ kind: SIG_KIND.ROTATION, pubkey: nodeKeyBinary(authorized), nested: sig });
  }
  const bytes = encodeNodeKeySignature(sig);
  const Key = (random.chance(0.95) ? authorized : nodeKey()).hex;
  return { Key, Sig: toHex(random.chance(0.2) ? mutate(random, bytes) : bytes) };
}
