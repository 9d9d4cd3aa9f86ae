/**
 * Three machines for a scenario, each a network namespace:
 *
 *   left ──── core ──── right      core routes, and runs testcontrol, the DERP relay and the STUN responder
 *
 *          IPv4 10.90.1.2   10.90.2.2, core 10.90.0.1
 *          IPv6 fd90:1::2   fd90:2::2, core fd90::1
 *
 * Our agents and tsnet peers run in `left` and `right`. What passes between the two passes core's forward hook, what they
 * exchange with control, relay and STUN ends in core, so a rule there takes away one and not the other.
 */
import { Lab, type LabNamespace, labUnavailable, programMissing } from "../../netlab/lab.ts";
import { AgentNode, type AgentOptions } from "./agent.ts";
import { type ControlFlags, LabControl } from "./control.ts";
import type { LabOptions } from "./lab.ts";
import { labTest } from "./lab_test_case.ts";
import { LabPeer, type PeerFlags } from "./peer.ts";

export type Side = "left" | "right";

/** Of the scene: the one auth key testcontrol takes. */
export const AUTH_KEY = "tskey-auth-scene";
/** MagicDNS domain of the scene. */
export const DOMAIN = "scene.ts.net";

export interface SceneOptions {
  /** What the links and servers have addresses of; both unless given. */
  readonly outside?: "both" | "ipv6";
  readonly control?: ControlFlags;
}

export class Scene implements AsyncDisposable {
  readonly lab: Lab;
  readonly core: LabNamespace;
  readonly left: LabNamespace;
  readonly right: LabNamespace;
  readonly dir: string;
  readonly agents: AgentNode[] = [];
  readonly #path: string;
  readonly #flags: ControlFlags;
  readonly #peers: LabPeer[] = [];
  #control: LabControl | undefined;

  private constructor(path: string, lab: Lab, dir: string, options: SceneOptions) {
    this.#path = path;
    this.lab = lab;
    this.dir = dir;
    const v4 = options.outside !== "ipv6";
    const [core, left, right] = ["core", "left", "right"].map((name) => lab.namespace(name));
    [this.core, this.left, this.right] = [core, left, right];
    for (const [side, net] of [[left, 1], [right, 2]] as const) {
      const at = (host: number) => [...(v4 ? [`10.90.${net}.${host}/24`] : []), `fd90:${net}::${host}/64`];
      lab.link(side, at(2), core, at(1));
      if (v4) side.route("0.0.0.0/0", `10.90.${net}.1`);
      side.route("::/0", `fd90:${net}::1`);
    }
    core.configure("lo", [...(v4 ? ["10.90.0.1/32"] : []), "fd90::1/128"]);
    lab.router(core);
    const both = (port: number) => v4 ? [`10.90.0.1:${port}`, `[fd90::1]:${port}`] : [`[fd90::1]:${port}`, ""];
    const [[listen, listen6], [derp, derp6], [stun, stun6]] = [both(8080), both(8443), both(3478)];
    this.#flags = {
      ...{ listen, listen6, derp, derp6, stun, stun6 },
      ...{ authkey: AUTH_KEY, magicDnsDomain: DOMAIN, derpPin: true },
      ...options.control,
    };
  }

  /** Builds the scene and starts testcontrol in it. */
  static async create(path: string, options: SceneOptions = {}): Promise<Scene> {
    const scene = new Scene(path, await Lab.create(), await Deno.makeTempDir({ prefix: "scene-" }), options);
    try {
      await scene.startControl();
    } catch (error) {
      await scene[Symbol.asyncDispose]();
      throw error;
    }
    return scene;
  }

  /** The lab program, for `runLab`. */
  get program(): string {
    return this.#path;
  }

  get control(): LabControl {
    if (this.#control === undefined) throw new TypeError("the control server is not running");
    return this.#control;
  }

  /** Starts testcontrol, relay and STUN, again after killControl() at the same addresses. */
  async startControl(): Promise<void> {
    this.#control = await LabControl.start(this.#in(this.core), this.#flags);
  }

  /** Kills testcontrol with its relay, as a crash would: its keys and nodes are lost. */
  async killControl(): Promise<void> {
    const control = this.control;
    this.#control = undefined;
    await control.process.kill();
    await control[Symbol.asyncDispose]();
  }

  /** Starts an agent. It is not joined yet. */
  async agent(side: Side, name: string, options: Partial<AgentOptions> = {}): Promise<AgentNode> {
    const agent = await AgentNode.start({ namespace: this[side], dir: this.dir, name, ...options });
    this.agents.push(agent);
    return agent;
  }

  /** Starts an agent and joins it by the auth key. */
  async joinedAgent(side: Side, name: string, options: Partial<AgentOptions> = {}): Promise<AgentNode> {
    const agent = await this.agent(side, name, options);
    await agent.up(this.control.url, AUTH_KEY);
    return agent;
  }

  /** Starts a tsnet node that joins by the auth key. */
  async peer(side: Side, hostname: string, flags: Partial<PeerFlags> = {}): Promise<LabPeer> {
    const all = { control: this.control.url, authkey: AUTH_KEY, hostname, wait: "60s", ...flags };
    const peer = await LabPeer.start({ ...this.#in(this[side]), readyTimeoutMs: 70_000 }, all);
    this.#peers.push(peer);
    return peer;
  }

  /** Drops UDP. @returns the undoing. */
  async dropUdp({ stun = false }: { stun?: boolean } = {}): Promise<() => Promise<void>> {
    const input = "chain input { type filter hook input priority 0; udp dport 3478 drop; };";
    await this.core.nft(
      `table inet scene_udp { chain forward { type filter hook forward priority 0; meta l4proto udp drop; }; ${
        stun ? input : ""
      } }`,
    );
    return () => this.core.nft("delete table inet scene_udp");
  }

  /**
   * Counts WireGuard handshake initiations (148 bytes, first byte 1) that core forwards from now on, for each pair of UDP
   * ports. @returns a reader of the counts, in the order of the pairs.
   */
  async countInitiations(pairs: readonly { from: number; to: number }[]): Promise<() => Promise<number[]>> {
    const counters = pairs.map((_, i) => `counter c${i} {};`).join(" ");
    const rules = pairs.map(({ from, to }, i) =>
      `udp sport ${from} udp dport ${to} udp length 156 @th,64,8 1 counter name c${i};`
    ).join(" ");
    await this.core.nft(
      `table inet scene_count { ${counters} chain forward { type filter hook forward priority -1; ${rules} }; }`,
    );
    return async () => {
      const text = await this.core.must(["nft", "-j", "list", "counters", "table", "inet", "scene_count"]);
      const listed: { counter?: { name: string; packets: number } }[] = JSON.parse(text).nftables;
      return pairs.map((_, i) => listed.find(({ counter }) => counter?.name === `c${i}`)!.counter!.packets);
    };
  }

  /** The ends of the agents' and servers' logs. */
  async logs(): Promise<string> {
    const parts = await Promise.all(this.agents.map(async (agent) => `-- log of ${agent.name}\n${await agent.log()}`));
    if (this.#control !== undefined) parts.push(`-- log of control\n${this.#control.process.log.slice(-2000)}`);
    return parts.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([
      ...this.agents.map((agent) => agent[Symbol.asyncDispose]()),
      ...this.#peers.map((peer) => peer[Symbol.asyncDispose]()),
    ]);
    await this.#control?.[Symbol.asyncDispose]();
    await this.lab.dispose();
    await Deno.remove(this.dir, { recursive: true });
  }

  #in(namespace: LabNamespace): LabOptions {
    return { path: this.#path, prefix: ["nsenter", `--net=/run/netns/${namespace.name}`, "--"] };
  }
}

/**
 * A test in a scene of its own. It needs root, namespaces, nft and ping besides the lab program, and is ignored by name
 * where one is missing; with CI=true that fails. When the test fails the logs' ends are printed.
 */
export function sceneTest(name: string, body: (scene: Scene) => Promise<void>, options: SceneOptions = {}): void {
  const missing = labUnavailable() ??
    ["nft", "nsenter", "setpriv", "ping"].map(programMissing).find((reason) => reason !== undefined);
  if (missing !== undefined) {
    if (Deno.env.get("CI") === "true") throw new Error(`Cannot skip under CI: ${missing}`);
    Deno.test({ name: `${name} [skipped: ${missing}]`, ignore: true, fn: () => {} });
    return;
  }
  labTest(name, async (path) => {
    await using scene = await Scene.create(path, options);
    try {
      await body(scene);
    } catch (error) {
      console.error(await scene.logs());
      throw error;
    }
  });
}
