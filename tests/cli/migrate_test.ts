/** What `migrate` tells to type afterwards. The move itself is tested in tests/daemon/moving/ and tests/interop/. */
import assert from "node:assert/strict";
import { ourCommands } from "../../cli/migrate.ts";
import { TAILSCALE_STATE } from "../support/tailscale_state.ts";
import { run } from "./fake_local_api.ts";

const place = (directory: string, stateFile = `${directory}/agent.state`) => ({ directory, stateFile });

Deno.test("ourCommands() are for the instance and the place that the node was moved to", () => {
  assert.deepEqual(ourCommands(place("/var/lib/agent"), undefined), {
    start: "systemctl enable --now agent",
    stop: "systemctl disable agent",
    giveBack: "agent migrate --back",
  });
  assert.deepEqual(ourCommands(place("/var/lib/agent-work"), "work"), {
    start: "systemctl enable --now agent@work",
    stop: "systemctl disable agent@work",
    giveBack: "agent --instance work migrate --back",
  });
  const elsewhere = ourCommands(place("/srv/my node"), undefined);
  assert.equal(elsewhere.start, "agent daemon --statedir '/srv/my node'");
  assert.equal(elsewhere.giveBack, "agent migrate --back --statedir '/srv/my node'");
  assert.equal(
    ourCommands(place("/srv/a", "/srv/b.state"), "work").giveBack,
    "agent --instance work migrate --back --statedir /srv/a --state /srv/b.state",
  );
  // The place of the one node is another one for an instance.
  assert.match(ourCommands(place("/var/lib/agent"), "work").start, /^agent --instance work daemon --statedir /);
});

Deno.test("migrate names the programs to stop and start, there and back", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const [theirs, ours] = [`${dir}/theirs`, `${dir}/ours`];
    await Deno.mkdir(theirs);
    await Deno.mkdir(ours);
    await Deno.writeTextFile(`${theirs}/tailscaled.state`, TAILSCALE_STATE);
    const taken = await run(["migrate", "--from", theirs, "--statedir", ours]);
    assert.deepEqual([taken.code, taken.err], [0, ""]);
    assert.ok(taken.out.includes(`Now:\n  agent daemon --statedir ${ours}\n`), taken.out);
    assert.ok(taken.out.includes(`has changed: agent migrate --back --statedir ${ours}\n`), taken.out);
    const given = await run(["migrate", "--back", "--statedir", ours]);
    assert.deepEqual([given.code, given.err], [0, ""]);
    assert.ok(given.out.includes(`\n  start what runs on ${theirs}\n`), given.out);
    assert.doesNotMatch(taken.out + given.out, /systemctl/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
