// Our node's lock under upstream's control: package tka with the handlers of tstest/tkatest around it, unmodified. Up to
// which distance does a node that was away come into sync, ours and upstream's?

import assert from "node:assert/strict";
import { toHex } from "../../base/bytes.ts";
import { NodePrivate } from "../../base/keys.ts";
import { ControlError } from "../../control/client/errors.ts";
import type { ControlRequest } from "../../control/client/types.ts";
import { memoryStores } from "../../daemon/lock/stores.ts";
import { TailnetLock } from "../../daemon/lock/tailnet_lock.ts";
import { EMPTY_PERSIST } from "../../daemon/persist.ts";
import { MemoryState } from "../../daemon/state_file.ts";
import { testNetmap } from "../support/fake_control.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";
import type { Deed, Lock } from "../support/history.ts";
import { makeLock } from "../support/history.ts";
import { SeededRandom } from "../support/random.ts";
import { buildTkaOracle } from "./support/build.ts";
import { TkaOracle } from "./support/tka_oracle.ts";

const NAME = "L16: under upstream's own control our node comes into sync from nearly 2,000 AUMs behind";
/** AUMs the node has; then it compacts, and is away. */
const AT = 230;
const DISTANCES = [900, 1000, 1001, 1500, 1900, 1970, 1999, 2000, 2100];
const SILENT = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };

/** Upstream's control for one chain. */
class UpstreamControl implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #url = "";
  capabilityVersion = 0;
  head = "";

  private constructor(path: string) {
    this.#child = new Deno.Command(path, { args: ["control"], stdin: "piped", stdout: "piped" }).spawn();
    this.#writer = this.#child.stdin.getWriter();
  }

  static async start(path: string, lock: Lock): Promise<UpstreamControl> {
    const control = new UpstreamControl(path);
    const lines = [lock.genesis, ...lock.aums].map(({ bytes }) => `${toHex(bytes)}\n`).join("");
    await control.#writer.write(new TextEncoder().encode(`${lines}\n`));
    const reader = control.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    const [url, version] = value!.trim().split(" ");
    control.#url = url;
    control.capabilityVersion = Number(version);
    await reader.cancel();
    return control;
  }

  async grow(to: number): Promise<void> {
    this.head = await (await fetch(`${this.#url}/grow?to=${to + 1}`)).text();
  }

  readonly request = async ({ path, body }: ControlRequest): Promise<unknown> => {
    const answer = await fetch(`${this.#url}${path}`, { method: "POST", body: JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) {
      const { status } = answer;
      throw new ControlError("http", `Cannot GET ${path}: HTTP ${status}: ${text.trim()}`, { status });
    }
    return JSON.parse(text);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#child.status;
  }
}

/** The condition our node ends in. */
async function ours(path: string, lock: Lock, distance: number): Promise<string> {
  await using control = await UpstreamControl.start(path, lock);
  const scheduler = new FakeScheduler();
  const node = new TailnetLock({
    store: new MemoryState(),
    stores: memoryStores(),
    derive: (secret) => Promise.resolve(secret),
    capabilityVersion: control.capabilityVersion,
    persist: () => ({ ...EMPTY_PERSIST, nodeKey: NodePrivate.generate(new SeededRandom(5).bytes), nodeId: "n1" }),
    isProfile: () => false,
    scheduler,
    random: new SeededRandom(1).bytes,
    log: SILENT,
  });
  node.bind("ab12", "https://control.test");
  const hear = async () => {
    node.connect(control);
    node.gotNetmap(testNetmap([], { tkaEnabled: true, tkaInfo: { Head: control.head as string } }), "ab12");
    await node.idle();
  };
  for (const to of [AT - 1, AT, AT + distance]) {
    await control.grow(to);
    await hear();
    scheduler.advanceSync(30 * 24 * 3600_000);
  }
  const { name, reason } = node.condition;
  assert.equal(node.head === control.head, name === "synced");
  node.close();
  return name === "synced" ? name : `${name}: ${reason.replaceAll(/[A-Z2-7]{52}/g, "…")}`;
}

/** What becomes of a node of upstream's. */
async function theirs(oracle: TkaOracle, distance: number): Promise<string> {
  const now = (step: number) => 1_700_000_000 + step * 30 * 24 * 3600;
  const Deeds: Deed[] = [AT - 1, 1, distance].flatMap((count, i): Deed[] => [
    { now: now(i), do: "grow", count },
    { now: now(i), do: "sync", manners: "honest" },
  ]);
  const { Synced, Why } = await oracle.ask<{ Synced: boolean; Why: string }>({ Op: "history", Deeds });
  return Synced ? "synced" : Why;
}

const built = await buildTkaOracle();
if (built.kind === "skip") Deno.test({ name: `${NAME} (skipped: ${built.reason})`, ignore: true, fn: () => {} });
else {
  Deno.test(NAME, async () => {
    const lock = makeLock(0, AT + Math.max(...DISTANCES));
    await using oracle = new TkaOracle(built.path);
    await oracle.ask({ Op: "pool", AUMs: [lock.genesis, ...lock.aums].map(({ bytes }) => toHex(bytes)) });
    const ends = new Map<number, readonly [string, string]>();
    for (const distance of DISTANCES) {
      ends.set(distance, [await ours(built.path, lock, distance), await theirs(oracle, distance)]);
    }
    for (const [distance, [our, their]] of ends) console.log(`${distance} behind: ours ${our} | upstream's ${their}`);
    for (const [distance, [our, their]] of ends) if (their === "synced") assert.equal(our, "synced", `${distance}`);
    assert.equal(ends.get(1900)![0], "synced");
  });
}
