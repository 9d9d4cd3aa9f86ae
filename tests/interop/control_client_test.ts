/** Our control client against Tailscale's own testcontrol. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { DiscoPrivate, MachinePrivate, type MachinePublic, NodePrivate } from "../../base/keys.ts";
import { LockPrivate } from "../../base/lock_key.ts";
import { Secret } from "../../base/secret.ts";
import { ControlClient } from "../../control/client/client.ts";
import { ControlError } from "../../control/client/errors.ts";
import { login } from "../../control/client/login.ts";
import type { Netmap, NetmapChange } from "../../control/client/netmap.ts";
import type { PollEnd, PollState, RegisterInput } from "../../control/client/types.ts";
import { CAPABILITY_VERSION } from "../../control/wire/tailcfg.ts";
import { realScheduler } from "../support/real_scheduler.ts";
import { LabControl } from "./support/control.ts";
import { labTest } from "./support/lab_test_case.ts";

const random = (length: number) => new Uint8Array(randomBytes(length));
const never = new AbortController().signal;

/** One node: its keys, its client, and what its poll brought. */
class Node implements Disposable {
  readonly nodeKey = NodePrivate.generate(random);
  readonly discoKey = DiscoPrivate.generate(random).public;
  readonly lockKey = LockPrivate.generate(random).public;
  readonly serverKeys = new Map<string, MachinePublic>();
  readonly log: string[] = [];
  readonly client: ControlClient;
  readonly netmaps: { netmap: Netmap; change: NetmapChange }[] = [];
  readonly states: PollState[] = [];
  readonly #stop = new AbortController();
  readonly #hostname: string;
  #wake = () => {};
  polling: Promise<PollEnd> | undefined;

  constructor(url: string, hostname: string) {
    this.#hostname = hostname;
    this.client = new ControlClient({
      serverUrl: url,
      machineKey: MachinePrivate.generate(random),
      ca: [],
      scheduler: realScheduler,
      random,
      log: (level, text) => this.log.push(`${level}: ${text}`),
      serverKeys: {
        load: (url) => this.serverKeys.get(url),
        save: (url, key) => this.serverKeys.set(url, key),
      },
      acceptNewServerKey: false,
      capabilityVersion: CAPABILITY_VERSION,
    });
  }

  get hostinfo() {
    return { BackendLogID: "none", OS: "linux", Hostname: this.#hostname };
  }

  get input(): RegisterInput {
    return { nodeKey: this.nodeKey.public, lockKey: this.lockKey, hostinfo: this.hostinfo, ephemeral: false };
  }

  poll(): void {
    const { discoKey, hostinfo } = this;
    const endpoints = [{ addr: "192.0.2.1:41641", type: 1 }];
    const input = { nodeKey: this.nodeKey.public, discoKey, hostinfo, endpoints, tkaHead: "" };
    this.polling = this.client.poll(input, {
      netmap: (netmap, change) => {
        this.netmaps.push({ netmap, change });
        this.#wake();
      },
      status: (state) => {
        this.states.push(state);
        this.#wake();
      },
    }, this.#stop.signal);
  }

  /** Waits until a netmap fits. */
  async until(fits: (netmap: Netmap) => boolean): Promise<Netmap> {
    for (let waited = 0; waited < 100; waited++) {
      const last = this.netmaps.at(-1)?.netmap;
      if (last !== undefined && fits(last)) return last;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, 100);
      });
    }
    throw new Error(`no fitting netmap; log:\n${this.log.join("\n")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.polling;
    this.client.close();
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

async function eventually(what: string, test: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (await test()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never: ${what}`);
}

labTest("ControlClient registers by auth key, polls and updates at testcontrol", async (path) => {
  await using control = await LabControl.start({ path }, { authkey: "tskey-auth-lab", magicDnsDomain: "lab.ts.net" });
  await using node = new Node(control.url, "alpha");
  await using other = new Node(control.url, "beta");
  const authKey = new Secret("tskey-auth-lab");

  const wrong = await node.client.register({ ...node.input, authKey: new Secret("tskey-wrong") }, never);
  assert.deepEqual(wrong, { kind: "rejected", reason: "invalid authkey" });
  const outcome = await node.client.register({ ...node.input, authKey }, never);
  assert.equal(outcome.kind, "registered");

  node.poll();
  const first = await node.until(() => true);
  assert.equal(first.self.Key, node.nodeKey.public.toString());
  assert.equal(first.self.Name, "alpha.lab.ts.net.");
  assert.equal(first.peers.size, 0);
  assert.deepEqual(Object.keys(first.derpMap!.Regions), ["1"]);
  assert.equal(node.netmaps[0].change.kind, "full");
  assert.ok(first.packetFilter.length > 0);

  await other.client.register({ ...other.input, authKey }, never);
  other.poll();
  const withPeer = await node.until(({ peers }) => [...peers].some(({ Endpoints }) => Endpoints?.length === 1));
  const [peer] = withPeer.peers;
  assert.equal(peer.Key, other.nodeKey.public.toString());
  assert.equal(peer.DiscoKey, other.discoKey.toString());
  assert.deepEqual(peer.Endpoints, ["192.0.2.1:41641"]);

  other.client.update({ endpoints: [{ addr: "192.0.2.2:7", type: 2 }, { addr: "[2001:db8::1]:7", type: 1 }] });
  await node.until(({ peers }) => [...peers][0].Endpoints?.includes("[2001:db8::1]:7") ?? false);
  const lite = (await control.mapRequests()).map(({ request }) => request).filter(({ Stream }) => !Stream);
  assert.deepEqual(lite.at(-1)!.EndpointTypes, [2, 1]);
  assert.equal(lite.at(-1)!.OmitPeers, true);
  assert.equal(node.client.stats.connections, 1);
  assert.equal(node.log.some((line) => line.includes("tskey")), false);
});

labTest("ControlClient waits for a person at an auth URL of testcontrol", async (path) => {
  await using control = await LabControl.start({ path }, { requireAuth: true });
  await using node = new Node(control.url, "gamma");
  const urls: string[] = [];
  const { hostinfo, lockKey } = node;
  const { promise: shown, resolve } = Promise.withResolvers<string>();
  const done = login({ nodeKey: undefined, renew: false, hostinfo, lockKey, ephemeral: false }, {
    control: node.client,
    scheduler: realScheduler,
    random,
    authUrl: (url) => {
      urls.push(url);
      resolve(url);
    },
    retrying: (error) => node.log.push(error.message),
  }, never);
  await control.completeAuth(await shown);
  const outcome = await done;
  assert.equal(outcome.kind, "registered");
  assert.equal(urls.length, 1);
  assert.match(urls[0], /\/auth\//);
});

labTest("ControlClient answers pings and c2n requests of testcontrol", async (path) => {
  await using control = await LabControl.start({ path }, {});
  await using node = new Node(control.url, "delta");
  await node.client.register(node.input, never);
  node.poll();
  await node.until(() => true);
  await control.awaitPolling("delta");

  await control.ping("delta", { URL: control.pingUrl("one") });
  await eventually("HEAD seen", async () => (await control.pings()).some(({ method }) => method === "HEAD"));
  const answer = await control.c2n("delta", { method: "POST", path: "/echo", body: "hello" });
  assert.equal(answer.status, 200);
  assert.equal(answer.body, "hello");
  assert.equal((await control.c2n("delta", { path: "/nothing" })).status, 400);
});

labTest("ControlClient follows raw deltas and survives cuts and restarts of testcontrol", async (path) => {
  await using control = await LabControl.start({ path }, {});
  await using node = new Node(control.url, "epsilon");
  await node.client.register(node.input, never);
  await control.addFakeNode();
  node.poll();
  const first = await node.until(({ peers }) => peers.size === 1);
  const [peer] = first.peers;

  await control.control("cut");
  await eventually(
    "reconnected",
    () => Promise.resolve(node.netmaps.filter(({ change }) => change.kind === "full").length >= 2),
  );
  await control.control("stop");
  await eventually("retrying", () => Promise.resolve(node.states.at(-1)?.kind === "retrying"));
  await control.control("start");
  await eventually("connected", () => Promise.resolve(node.states.at(-1)?.kind === "connected"));
  await control.awaitPolling("epsilon");

  await control.rawMapResponse("epsilon", {
    PeersChangedPatch: [{ NodeID: peer.ID, DERPRegion: 7, Endpoints: ["192.0.2.9:9"], Online: false }],
  });
  const patched = await node.until(({ peers }) => peers.get(peer.ID)?.HomeDERP === 7);
  assert.equal(patched.peers.get(peer.ID)!.Online, false);
  const { change } = node.netmaps.at(-1)!;
  assert.ok(change.kind === "delta" && change.upserted.has(peer.ID) && change.upserted.size === 1);
  await control.rawMapResponse("epsilon", { PeersRemoved: [peer.ID], KeepAlive: false });
  await node.until(({ peers }) => peers.size === 0);
});

labTest("ControlClient obeys 429 and tells an expired key of testcontrol", async (path) => {
  await using control = await LabControl.start({ path }, {});
  await using node = new Node(control.url, "zeta");
  await control.rateLimitRegister(1, "7");
  const limited = await node.client.register(node.input, never).catch((error) => error);
  assert.ok(limited instanceof ControlError);
  assert.equal(limited.code, "rate-limited");
  assert.equal(limited.retryAfterMs, 7000);
  assert.equal((await node.client.register(node.input, never)).kind, "registered");
  await control.expireAll(true);
  assert.equal((await node.client.register(node.input, never)).kind, "key-expired");
  await node.client.logout(node.input, never);
  const last = (await control.registerRequests()).at(-1)!.request;
  assert.equal(Date.parse(last.Expiry), 123_000);
});

labTest("ControlClient ends a poll of a node testcontrol does not know", async (path) => {
  await using control = await LabControl.start({ path }, {});
  await using node = new Node(control.url, "eta");
  node.poll();
  const end = await node.polling!;
  assert.equal(end.kind, "node-unknown");
});
