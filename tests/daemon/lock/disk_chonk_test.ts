/** The lock's store on disk: the contract of all stores, Tailscale's layout, and what a damaged disk does (L14). */
import assert from "node:assert/strict";
import { DiskChonk } from "../../../daemon/lock/disk_chonk.ts";
import { LockStoreError } from "../../../daemon/lock/store_files.ts";
import { aumHashBytes } from "../../../tka/aum_hash.ts";
import { Authority } from "../../../tka/authority.ts";
import { CborWriter } from "../../../tka/cbor.ts";
import { concat } from "../../../base/bytes.ts";
import { drawChain } from "../../support/chain_dsl.ts";
import { testChonk } from "../../support/chonk_suite.ts";

const made: string[] = [];

function scratch(): string {
  const directory = Deno.makeTempDirSync({ prefix: "agent-chonk-" });
  made.push(directory);
  return `${directory}/tka-profiles/ab12`;
}

globalThis.addEventListener("unload", () => {
  for (const directory of made) Deno.removeSync(directory, { recursive: true });
});

testChonk("DiskChonk", () => {
  const directory = scratch();
  return { chonk: DiskChonk.open(directory), reopen: () => DiskChonk.open(directory) };
});

const tree = drawChain(`G -> A -> B* -> C`);

/** G to C in a directory. @param recent with what a crash within a day is healed from. */
function filled(recent = false): { directory: string; path: (name: string) => string } {
  const directory = scratch();
  const chonk = DiskChonk.open(directory);
  Authority.bootstrap(chonk, tree.genesis, 1_700_000_000_000).inform(chonk, tree.to("C"), 1_700_000_000_000);
  if (!recent) Deno.removeSync(`${directory}/recent`);
  const path = (name: string) => {
    const { hash } = tree.aum(name);
    return `${directory}/${hash.slice(0, 2)}/${hash}`;
  };
  return { directory, path };
}

Deno.test("DiskChonk writes Tailscale's layout: two letters, hash, {2: AUM, 3: seconds}, 0644", () => {
  const { directory, path } = filled();
  const expected = concat(
    new CborWriter().map(2).field(2).finish(),
    tree.aum("B").bytes,
    new CborWriter().field(3).uint(1_700_000_000).finish(),
  );
  assert.deepEqual(Deno.readFileSync(path("B")), expected);
  assert.equal((Deno.statSync(path("B")).mode ?? 0) & 0o777, 0o644);
  assert.deepEqual(Deno.readFileSync(`${directory}/last_active_ancestor`), aumHashBytes(tree.genesis.hash));
});

Deno.test("DiskChonk reads upstream's tombstones, old records without a time and a legacy children list", () => {
  // Also where its own log still has them as it wrote them.
  for (const recent of [false, true]) {
    const { directory, path } = filled(recent);
    const record = (name: string, pairs: number, tail: CborWriter) =>
      concat(new CborWriter().map(pairs).field(2).finish(), tree.aum(name).bytes, tail.finish());
    Deno.writeFileSync(path("C"), record("C", 3, new CborWriter().field(3).uint(5).field(4).uint(9)));
    Deno.writeFileSync(path("B"), concat(new CborWriter().map(1).field(2).finish(), tree.aum("B").bytes));
    Deno.utimeSync(path("B"), 1234, 1234);
    const legacy = concat(
      new CborWriter().map(2).field(1).array(0).finish(),
      new CborWriter().field(2).finish(),
      tree.aum("A").bytes,
    );
    Deno.writeFileSync(path("A"), legacy);
    const chonk = DiskChonk.open(directory);
    assert.equal(chonk.aum(tree.aum("C").hash), undefined);
    assert.equal(chonk.commitTime(tree.aum("B").hash), 1_234_000);
    assert.equal(Authority.open(chonk).head, tree.aum("B").hash);
  }
});

Deno.test("DiskChonk passes over files whose name is no hash", () => {
  const { directory, path } = filled();
  Deno.writeTextFileSync(`${path("B")}.tmp123`, "half");
  Deno.writeTextFileSync(`${directory}/README`, "hello");
  assert.equal(Authority.open(DiskChonk.open(directory)).head, tree.aum("C").hash);
});

Deno.test("L14: a truncated, empty, altered or swapped AUM file is found at open, named, and never believed", () => {
  const harms: Readonly<Record<string, (path: string, other: string) => void>> = {
    truncated: (path) => Deno.truncateSync(path, Deno.statSync(path).size - 3),
    empty: (path) => Deno.truncateSync(path, 0),
    altered: (path) => {
      const bytes = Deno.readFileSync(path);
      bytes[bytes.length - 20] ^= 1;
      Deno.writeFileSync(path, bytes);
    },
    trailing: (path) => Deno.writeFileSync(path, concat(Deno.readFileSync(path), Uint8Array.of(0))),
    swapped: (path, other) => Deno.copyFileSync(other, path),
  };
  for (const [harm, damage] of Object.entries(harms)) {
    for (const name of ["G", "A", "B", "C"]) {
      const { directory, path } = filled();
      damage(path(name), path(name === "A" ? "B" : "A"));
      assert.throws(
        () => DiskChonk.open(directory),
        (error) => error instanceof LockStoreError && error.message.includes(path(name)),
        `${harm} ${name}`,
      );
    }
  }
});

Deno.test("L14: every single flipped bit of a store is found, or changes no AUM", () => {
  const { directory, path } = filled();
  const file = path("A");
  const good = Deno.readFileSync(file);
  let found = 0;
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bytes = good.slice();
    bytes[bit >> 3] ^= 1 << (bit & 7);
    Deno.writeFileSync(file, bytes);
    try {
      const aum = DiskChonk.open(directory).aum(tree.aum("A").hash);
      // A flip in the time of the commit, or in the key of a field that is then unknown.
      if (aum !== undefined) assert.deepEqual(aum.bytes, tree.aum("A").bytes);
    } catch (error) {
      assert.ok(error instanceof LockStoreError && error.message.includes(file));
      found++;
    }
  }
  assert.ok(found > good.length * 7, `${found} of ${good.length * 8} found`);
});

Deno.test("L14: AUMs that came together and had not reached their files are written again after a crash", () => {
  const harms: Readonly<Record<string, (path: string) => void>> = {
    missing: (path) => Deno.removeSync(path),
    empty: (path) => Deno.truncateSync(path, 0),
    cut: (path) => Deno.truncateSync(path, 20),
    zeros: (path) => Deno.writeFileSync(path, new Uint8Array(Deno.statSync(path).size)),
  };
  for (const [harm, damage] of Object.entries(harms)) {
    const { directory, path } = filled(true);
    for (const name of ["A", "B", "C"]) damage(path(name));
    const chonk = DiskChonk.open(directory);
    assert.equal(Authority.open(chonk).head, tree.aum("C").hash, harm);
    assert.equal(chonk.commitTime(tree.aum("C").hash), 1_700_000_000_000);
    Deno.removeSync(`${directory}/recent`);
    assert.equal(Authority.open(DiskChonk.open(directory)).head, tree.aum("C").hash, `${harm}: now in their files`);
  }
});

Deno.test("L14: a log that is cut or altered anywhere harms no store, and what was purged does not come back", () => {
  const { directory, path } = filled(true);
  const log = Deno.readFileSync(`${directory}/recent`);
  for (let length = 0; length < log.length; length += 7) {
    Deno.writeFileSync(`${directory}/recent`, log.subarray(0, length));
    assert.equal(Authority.open(DiskChonk.open(directory)).head, tree.aum("C").hash, `cut to ${length}`);
    const altered = log.slice();
    altered[length] ^= 0x10;
    Deno.writeFileSync(`${directory}/recent`, altered);
    assert.equal(Authority.open(DiskChonk.open(directory)).head, tree.aum("C").hash, `altered at ${length}`);
  }
  // What is no crash is named, log or not.
  Deno.writeFileSync(`${directory}/recent`, log);
  const good = Deno.readFileSync(path("B"));
  Deno.writeFileSync(path("B"), good.with(30, good[30] ^ 1));
  assert.throws(() => DiskChonk.open(directory), LockStoreError);
  Deno.writeFileSync(path("B"), good);
  // A record behind one that was cut is not believed either.
  Deno.writeFileSync(`${directory}/recent`, log.subarray(0, log.length - 1));
  Deno.truncateSync(path("C"), 0);
  assert.throws(() => DiskChonk.open(directory), LockStoreError);

  const purged = filled(true);
  const chonk = DiskChonk.open(purged.directory);
  chonk.purge([tree.aum("A").hash, tree.genesis.hash], 0);
  const again = DiskChonk.open(purged.directory);
  assert.deepEqual([...again.all()].sort(), [tree.aum("B").hash, tree.aum("C").hash].sort());
});

Deno.test("DiskChonk keeps its log for a day", () => {
  const { directory } = filled(true);
  DiskChonk.open(directory);
  assert.ok(Deno.statSync(`${directory}/recent`).isFile);
  Deno.utimeSync(`${directory}/recent`, 1, 1);
  assert.equal(Authority.open(DiskChonk.open(directory)).head, tree.aum("C").hash);
  assert.throws(() => Deno.statSync(`${directory}/recent`), Deno.errors.NotFound);
});

Deno.test("L14: a last_active_ancestor of the wrong length is named", () => {
  const { directory } = filled();
  Deno.truncateSync(`${directory}/last_active_ancestor`, 31);
  assert.throws(() => DiskChonk.open(directory), /last_active_ancestor: it has 31 bytes, want 32/);
});

Deno.test("DiskChonk names the file that cannot be written, and keeps what it had", () => {
  const { directory } = filled();
  const chonk = DiskChonk.open(directory);
  const more = drawChain(`G -> A -> B* -> C -> D`).aum("D");
  const prefix = `${directory}/${more.hash.slice(0, 2)}`;
  try {
    Deno.removeSync(prefix, { recursive: true });
  } catch {
    // Not there.
  }
  Deno.writeTextFileSync(prefix, "in the way");
  assert.throws(() => chonk.commit([more], 0), (error) => error instanceof LockStoreError);
  assert.equal(chonk.aum(more.hash), undefined);
});
