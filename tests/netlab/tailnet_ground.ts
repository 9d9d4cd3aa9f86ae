/**
 * A tailnet on a made-up internet, for tests of routers:
 *
 *   lana ── alpha ──┐                 ┌── beta ── lanb      alpha, beta, gamma: agents, each a network behind it
 *   10.1.0.2        core (internet) ──┤
 *                   10.90.0.1         └── gamma ── lanb     10.2.0.2 is behind beta and gamma
 *
 * The coordinator, with its relay, runs in core, where 198.51.100.1 is an address of the internet besides.
 */
import { AgentNode, type AgentOptions, until } from "../interop/support/agent.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import type { GoBuild } from "../interop/support/build.ts";
import { Lab, type LabNamespace, privilegedTest, programMissing } from "./lab.ts";

/** An address of the internet that is no part of the tailnet's own machinery. */
export const INTERNET = "198.51.100.1";
export const INTERNET6 = "2001:db8:51::1";

export class TailnetGround implements AsyncDisposable {
  readonly lab: Lab;
  readonly core: LabNamespace;
  readonly dir: string;
  readonly agents: AgentNode[] = [];
  #coordinator: CoordinatorProcess | undefined;
  #key = "";
  #links = 0;

  private constructor(lab: Lab, dir: string) {
    this.lab = lab;
    this.dir = dir;
    this.core = lab.namespace("core");
    this.core.configure("lo", ["10.90.0.1/32", `${INTERNET}/32`, `${INTERNET6}/128`]);
    lab.router(this.core);
  }

  static async create(): Promise<TailnetGround> {
    return new TailnetGround(await Lab.create(), await Deno.makeTempDir({ prefix: "ground-" }));
  }

  get coordinator(): CoordinatorProcess {
    if (this.#coordinator === undefined) throw new TypeError("the coordinator is not running");
    return this.#coordinator;
  }

  async startCoordinator(...args: string[]): Promise<void> {
    this.#coordinator = await CoordinatorProcess.start({
      namespace: this.core,
      dir: this.dir,
      host: "10.90.0.1",
      args,
    });
    this.#key = await this.coordinator.createKey("--reusable");
  }

  /** A machine with a way to core: 10.90.N.2, its gateway 10.90.N.1. */
  machine(name: string): LabNamespace {
    const machine = this.lab.namespace(name);
    const net = ++this.#links;
    this.lab.link(machine, [`10.90.${net}.2/24`, `fd90:${net}::2/64`], this.core, [
      `10.90.${net}.1/24`,
      `fd90:${net}::1/64`,
    ]);
    machine.route("0.0.0.0/0", `10.90.${net}.1`);
    machine.route("::/0", `fd90:${net}::1`);
    return machine;
  }

  /** A host of a network behind a machine, which forwards for it. */
  behind(machine: LabNamespace, name: string, net: string): LabNamespace {
    const host = this.lab.namespace(name);
    this.lab.link(host, [`${net}.2/24`], machine, [`${net}.1/24`]);
    host.route("0.0.0.0/0", `${net}.1`);
    this.lab.router(machine);
    return host;
  }

  async agent(namespace: LabNamespace, name: string, options: Partial<AgentOptions> = {}): Promise<AgentNode> {
    const agent = await AgentNode.start({ namespace, dir: this.dir, name, ...options });
    this.agents.push(agent);
    return agent;
  }

  /** An agent that is in the tailnet. */
  async joined(namespace: LabNamespace, name: string, ...args: string[]): Promise<AgentNode> {
    const agent = await this.agent(namespace, name);
    await this.join(agent, ...args);
    return agent;
  }

  async join(agent: AgentNode, ...args: string[]): Promise<void> {
    await agent.up(this.coordinator.url, this.#key, "--accept-dns=false", ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.agents.map((agent) => agent[Symbol.asyncDispose]()));
    await this.#coordinator?.[Symbol.asyncDispose]();
    await this.lab.dispose();
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** Pings until an answer comes. */
export async function reaches(from: LabNamespace, address: string, timeoutMs = 30_000): Promise<void> {
  await until(`${from.name} reaches ${address}`, timeoutMs, async () => {
    return (await from.run(["ping", "-n", "-c", "1", "-W", "1", address])).code === 0;
  }, 200);
}

/** No answer comes to three. */
export async function isCutOff(from: LabNamespace, address: string): Promise<boolean> {
  return (await from.run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", address])).code !== 0;
}

/**
 * A test on a ground of its own. Logs of the agents are printed when it fails. @param needs programs besides `nft` and
 * `ping`, and builds of others' programs
 */
export function groundTest(
  name: string,
  body: (ground: TailnetGround) => Promise<void>,
  needs: readonly (string | GoBuild)[] = [],
): void {
  const lacks = (need: string | GoBuild) =>
    typeof need === "string" ? programMissing(need) : need.kind === "skip" ? need.reason : undefined;
  const missing = ["nft", "ping", ...needs].map(lacks).find((reason) => reason !== undefined);
  if (missing !== undefined && Deno.env.get("CI") !== "true") {
    Deno.test({ name: `${name} [skipped: ${missing}]`, ignore: true, fn: () => {} });
    return;
  }
  privilegedTest(name, async () => {
    await using ground = await TailnetGround.create();
    try {
      await body(ground);
    } catch (error) {
      for (const agent of ground.agents) console.error(`-- log of ${agent.name}\n${await agent.log(25)}`);
      throw error;
    }
  });
}
