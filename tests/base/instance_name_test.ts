import assert from "node:assert/strict";
import { INSTANCE_WANTED, isInstanceName } from "../../base/instance_name.ts";
import { checkedInstance } from "../../cli/instance_flag.ts";
import { KINDS } from "../../daemon/config/kinds.ts";
import { parseDaemonFlags } from "../../daemon/flags.ts";
import { instanceOf } from "../../daemon/instance.ts";

Deno.test("isInstanceName() takes what fits the kernel's names, and not the one node's", () => {
  for (const name of ["a", "work", "0", "a-b", "a--b", "agents", "123456789"]) assert.ok(isInstanceName(name), name);
  const bad = ["", "Work", "-a", "a-", "a_b", "a.b", "1234567890", "a/..", "a\n", "ä", "%i", "agent"];
  for (const name of bad) assert.ok(!isInstanceName(name), JSON.stringify(name));
});

Deno.test("command line, daemon and configuration file take the same names of instances, and refuse in the same words", () => {
  const pattern = new RegExp(String(KINDS.instance.schema.pattern));
  for (const name of ["work", "a-b", "a-", "Work", "1234567890", "agent"]) {
    const taken = isInstanceName(name);
    assert.equal(instanceOf(name) !== undefined, taken, name);
    assert.equal(pattern.test(name), taken, name);
    const parsed = parseDaemonFlags([`--instance=${name}`]);
    assert.equal(parsed.kind, taken ? "run" : "error", name);
    const words = `Cannot use --instance ${name}: want ${INSTANCE_WANTED}`;
    if (taken) assert.equal(checkedInstance(name), name);
    else assert.throws(() => checkedInstance(name), { message: words });
    if (parsed.kind === "error") assert.equal(parsed.message, words);
  }
});
