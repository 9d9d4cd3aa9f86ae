import assert from "node:assert/strict";
import { createServer } from "node:http";
import { fromUtf8, utf8 } from "../../../base/bytes.ts";
import { MoveError } from "../../../daemon/moving/move_error.ts";
import { readMoved } from "../../../daemon/moving/moved.ts";
import { giveBack } from "../../../daemon/moving/give_back.ts";
import type { MoveOptions } from "../../../daemon/moving/place.ts";
import { takeOver } from "../../../daemon/moving/take_over.ts";
import { refuseTwin } from "../../../daemon/moving/twin.ts";
import { parseState, StateFile, StateFileError } from "../../../daemon/state_file.ts";
import { TAILSCALE_STATE } from "../../support/tailscale_state.ts";

/** Tailscale's directory with one node, an empty one for us, and a machine on which nobody runs. */
class World implements Disposable {
  readonly root = Deno.makeTempDirSync({ prefix: "move-" });
  readonly theirs = `${this.root}/theirs`;
  readonly ours = { directory: `${this.root}/ours`, stateFile: `${this.root}/ours/agent.state` };
  readonly proc = `${this.root}/proc`;

  constructor(state: string | undefined = TAILSCALE_STATE) {
    for (const path of [this.theirs, this.ours.directory, this.proc]) Deno.mkdirSync(path);
    if (state !== undefined) Deno.writeTextFileSync(this.theirState, state, { mode: 0o600 });
  }

  get theirState(): string {
    return `${this.theirs}/tailscaled.state`;
  }

  options(more: Partial<MoveOptions> = {}): MoveOptions {
    const { ours, theirs, proc } = this;
    return { ours, theirs, proc, dryRun: false, force: false, now: Date.UTC(2026, 0, 2, 3, 4, 5), ...more };
  }

  /** Somebody runs on a directory. */
  run(directory: string): void {
    Deno.mkdirSync(`${this.proc}/77/fd`, { recursive: true });
    Deno.writeTextFileSync(`${this.proc}/77/comm`, "tailscaled\n");
    Deno.writeTextFileSync(`${this.proc}/77/cmdline`, `tailscaled\0--statedir=${directory}\0`);
  }

  stop(): void {
    Deno.removeSync(`${this.proc}/77`, { recursive: true });
  }

  /** Our state without what only we know, as text to compare. */
  ourNode(): Record<string, string | undefined> {
    const state = parseState("", Deno.readTextFileSync(this.ours.stateFile));
    return Object.fromEntries(
      [...state].filter(([key]) => !key.startsWith("_agent-")).map(([key, value]) => [key, fromUtf8(value)]),
    );
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

const STATE = Object.fromEntries(
  [...parseState("", TAILSCALE_STATE)].map(([key, value]) => [key, fromUtf8(value)]),
);

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (cause) {
    if (cause instanceof MoveError || cause instanceof StateFileError) return cause.message;
    throw cause;
  }
  throw new assert.AssertionError({ message: "it was done" });
}

Deno.test("takeOver() copies every key as it is, mode 0600, and keeps what only we know", () => {
  using world = new World();
  const file = StateFile.open(world.ours.stateFile);
  file.write("_agent-control-keys", utf8("{}"));
  file.close();
  const { profiles, aside } = takeOver(world.options());
  assert.deepEqual(profiles.map(({ id, name, current }) => [id, name, current]), [["a1b2", "work", true]]);
  assert.equal(aside, undefined);
  assert.deepEqual(world.ourNode(), STATE);
  const all = parseState("", Deno.readTextFileSync(world.ours.stateFile));
  assert.ok(all.has("_agent-control-keys"));
  assert.equal(Deno.statSync(world.ours.stateFile).mode! & 0o777, 0o600);
  assert.equal(Deno.readTextFileSync(world.theirState), TAILSCALE_STATE);
});

Deno.test("takeOver() refuses a directory in use, without a node, sealed by a TPM, damaged, or not there", () => {
  using world = new World();
  world.run(world.theirs);
  assert.match(
    refusal(() => takeOver(world.options())),
    /^Cannot move while tailscaled \(process 77\) runs on \S+; stop it first: 'systemctl disable --now tailscaled'/,
  );
  world.stop();
  const cases: [string, RegExp][] = [
    ["{}", /no node was ever logged in there/],
    [JSON.stringify({ key: {}, nonce: "", data: "" }), /encrypted it with this machine's TPM.*--encrypt-state=false/],
    ["", /it is empty/],
    [`{"_profiles": "${btoa('{"../x":{"Key":"profile-x"}}')}"}`, /no ID of a profile/],
  ];
  for (const [text, expected] of cases) {
    Deno.writeTextFileSync(world.theirState, text);
    assert.match(refusal(() => takeOver(world.options())), expected);
  }
  assert.match(refusal(() => takeOver(world.options({ theirs: `${world.root}/none` }))), /has no tailscaled\.state/);
  assert.deepEqual([...Deno.readDirSync(world.ours.directory)], []);
});

Deno.test("takeOver() replaces a node of ours only by force, and keeps a copy", () => {
  using world = new World();
  takeOver(world.options());
  const before = Deno.readTextFileSync(world.ours.stateFile);
  const text = refusal(() => takeOver(world.options()));
  assert.match(text, /it has work already\. Give another place with --statedir .*, or --force to replace it/);
  assert.equal(Deno.readTextFileSync(world.ours.stateFile), before);
  const { aside } = takeOver(world.options({ force: true }));
  assert.equal(aside, `${world.ours.directory}/before-migrate-20260102T030405Z`);
  assert.equal(Deno.readTextFileSync(`${aside}/agent.state`), before);
  assert.equal(Deno.statSync(aside!).mode! & 0o777, 0o700);
});

Deno.test("takeOver() and giveBack() refuse while our daemon runs, and a look changes nothing", () => {
  using world = new World();
  assert.equal(takeOver(world.options({ dryRun: true })).profiles.length, 1);
  assert.deepEqual([...Deno.readDirSync(world.ours.directory)], []);
  takeOver(world.options());
  const daemon = StateFile.open(world.ours.stateFile);
  assert.match(refusal(() => takeOver(world.options({ force: true }))), /another daemon is using it/);
  assert.match(refusal(() => giveBack(world.options())), /another daemon is using it/);
  daemon.close();
  const before = Deno.readTextFileSync(world.ours.stateFile);
  assert.equal(giveBack(world.options({ theirs: "", dryRun: true })).directory, world.theirs);
  assert.equal(Deno.readTextFileSync(world.ours.stateFile), before);
});

Deno.test("giveBack() writes Tailscale's keys alone, keeps a copy of what was there, and ends our right to run", () => {
  using world = new World();
  takeOver(world.options());
  const file = StateFile.open(world.ours.stateFile);
  file.write("_serve/a1b2", utf8("new"));
  file.close();
  const { directory, aside, profiles } = giveBack(world.options({ theirs: "" }));
  assert.equal(directory, world.theirs);
  assert.equal(Deno.readTextFileSync(`${aside}/tailscaled.state`), TAILSCALE_STATE);
  assert.deepEqual(profiles.map(({ renewed, lockMoved }) => [renewed, lockMoved]), [[false, false]]);
  const given = parseState("", Deno.readTextFileSync(world.theirState));
  assert.equal(fromUtf8(given.get("_serve/a1b2")!), "new");
  assert.deepEqual([...given.keys()].filter((key) => key.startsWith("_agent")), []);
  assert.equal(Deno.statSync(world.theirState).mode! & 0o777, 0o600);
  assert.deepEqual([...Deno.readDirSync(world.theirs)].map(({ name }) => name).sort(), [
    "before-migrate-20260102T030405Z",
    "tailscaled.state",
  ]);
  const again = StateFile.open(world.ours.stateFile);
  assert.equal(readMoved(again)?.kind, "given");
  again.close();
  // And forth again, without force.
  takeOver(world.options());
});

Deno.test("giveBack() does not undo what Tailscale has written since, nor replace another node, but by force", () => {
  using world = new World();
  takeOver(world.options());
  const changed = TAILSCALE_STATE.replace("{", '{\n  "_x": "",');
  Deno.writeTextFileSync(world.theirState, changed);
  assert.match(refusal(() => giveBack(world.options({ theirs: "" }))), /tailscaled has run there since\. --force/);
  const { aside } = giveBack(world.options({ theirs: "", force: true }));
  assert.equal(Deno.readTextFileSync(`${aside}/tailscaled.state`), changed);
  using other = new World();
  takeOver(other.options());
  assert.match(
    refusal(() => giveBack(other.options({ theirs: world.theirs }))),
    /^Cannot give back to \S+: it has work already\. --force/,
  );
});

Deno.test("giveBack() makes a directory for a node that was never Tailscale's, when it is named", () => {
  using world = new World();
  const file = StateFile.open(world.ours.stateFile);
  file.replace(parseState("", TAILSCALE_STATE));
  file.close();
  assert.match(refusal(() => giveBack(world.options({ theirs: "" }))), /did not come from Tailscale; name a directory/);
  const to = `${world.root}/new/tailscale`;
  assert.equal(giveBack(world.options({ theirs: to })).aside, undefined);
  assert.deepEqual(parseState("", Deno.readTextFileSync(`${to}/tailscaled.state`)), parseState("", TAILSCALE_STATE));
  assert.equal(Deno.statSync(to).mode! & 0o777, 0o700);
});

/** A tailscaled that answers on a socket with this node key. */
async function answering(path: string, nodeKey: string): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    assert.equal(request.url, "/localapi/v0/status?peers=false");
    response.end(JSON.stringify({ BackendState: "Running", Self: { PublicKey: nodeKey } }));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

Deno.test("refuseTwin() keeps a node from running in two places: given back, or beside the one it was taken from", async () => {
  using world = new World();
  const { proc } = world;
  const socket = `${world.root}/sock`;
  const [{ nodeKey }] = takeOver(world.options()).profiles;
  const file = StateFile.open(world.ours.stateFile);
  const refused = (pattern: RegExp) =>
    assert.rejects(refuseTwin(file, "/ours.sock", { proc, socket }), (error: Error) => {
      assert.ok(error instanceof StateFileError);
      assert.match(error.message, pattern);
      return true;
    });
  await refuseTwin(file, "/ours.sock", { proc, socket });
  world.run(world.theirs);
  await refused(/^Cannot run: tailscaled \(process 77\) runs on \S+theirs, whose node was taken over/);
  world.stop();
  // The sandbox of a service hides the process; its socket it does not.
  {
    await using _ = await answering(socket, nodeKey);
    await refused(/^Cannot run: the tailscaled that answers on \S+sock runs on/);
    // Our own, called by the name tailscaled.
    await refuseTwin(file, socket, { proc, socket });
  }
  {
    await using _ = await answering(socket, `nodekey:${"ab".repeat(32)}`);
    await refuseTwin(file, "/ours.sock", { proc, socket });
  }
  file.close();
  giveBack(world.options());
  const given = StateFile.open(world.ours.stateFile);
  await assert.rejects(
    refuseTwin(given, "/ours.sock", { proc, socket }),
    /its node was given back to \S+theirs at 2026/,
  );
  given.close();
});
