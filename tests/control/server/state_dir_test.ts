import assert from "node:assert/strict";
import { join } from "node:path";
import { ensureStateDir, loadNoiseKey } from "../../../control/server/state_dir.ts";
import { SeededRandom } from "../../support/random.ts";

Deno.test("loadNoiseKey() makes the key once, mode 0600, and never overwrites what it cannot read", async () => {
  const parent = await Deno.makeTempDir({ prefix: "agent-state-" });
  try {
    const dir = join(parent, "a", "b");
    ensureStateDir(dir);
    assert.equal((await Deno.stat(dir)).mode! & 0o777, 0o700);
    const key = loadNoiseKey(dir, new SeededRandom(1).bytes);
    const path = join(dir, "noise.key");
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    assert.equal(loadNoiseKey(dir, new SeededRandom(2).bytes).public.toString(), key.public.toString());
    assert.deepEqual(Array.from(Deno.readDirSync(dir), ({ name }) => name), ["noise.key"]);

    for (const text of ["", "privkey:00", "garbage\n"]) {
      await Deno.writeTextFile(path, text);
      assert.throws(() => loadNoiseKey(dir, new SeededRandom(3).bytes), /noise\.key: it holds no key; restore it/);
      assert.equal(await Deno.readTextFile(path), text);
    }
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
});
