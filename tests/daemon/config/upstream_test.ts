/** Configuration files against what Tailscale's own `ipn/conffile` makes of them (`lab vectors config`). */
import assert from "node:assert/strict";
import { readConfig } from "../../../daemon/config/read.ts";
import { wantedPrefs } from "../../../daemon/config/wanted.ts";
import { applyChange, changedPrefs, newPrefs, readMaskedPrefs } from "../../../daemon/prefs.ts";
import type { PrefValues } from "../../../daemon/pref_fields.ts";
import upstream from "../../vectors/tailscale_config.json" with { type: "json" };

/** The order of routes is nobody's meaning. */
function sorted<T extends PrefValues>(prefs: T): T {
  return { ...prefs, AdvertiseRoutes: prefs.AdvertiseRoutes?.toSorted() ?? null };
}

Deno.test("every file that Tailscale takes changes the same preferences here, and what it refuses is refused", () => {
  const taken = upstream.files.filter(({ edits }) => edits !== null);
  assert.ok(taken.length > 20 && upstream.files.length - taken.length > 15);
  for (const { text, edits } of upstream.files) {
    const read = readConfig(text);
    assert.equal(read.ok, edits !== null, text);
    if (!read.ok) continue;
    const masked = readMaskedPrefs(edits);
    assert.ok(typeof masked !== "string", text);
    const theirs = sorted(applyChange(newPrefs(), masked));
    const ours = sorted({ ...newPrefs(), ...wantedPrefs(read.config, newPrefs(), []) });
    assert.deepEqual(changedPrefs(theirs, ours), [], text);
  }
});
