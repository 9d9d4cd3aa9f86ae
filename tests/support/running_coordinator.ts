/** A coordinator on the loopback, in a state directory that is removed with it. */
import { startCoordinator } from "../../control/server/server.ts";
import type { Coordinator, CoordinatorOptions } from "../../control/server/server.ts";

export class RunningCoordinator implements AsyncDisposable {
  readonly stateDir: string;
  /** Its log. */
  readonly log: string[];
  coordinator: Coordinator;
  readonly #options: CoordinatorOptions;

  private constructor(stateDir: string, log: string[], options: CoordinatorOptions, coordinator: Coordinator) {
    this.stateDir = stateDir;
    this.log = log;
    this.#options = options;
    this.coordinator = coordinator;
  }

  /** Starts one on free ports. */
  static async start(more: Partial<CoordinatorOptions> = {}): Promise<RunningCoordinator> {
    const stateDir = more.stateDir ?? await Deno.makeTempDir({ prefix: "agent-coordinator-" });
    const log: string[] = [];
    const any = "127.0.0.1:0";
    const options: CoordinatorOptions = {
      log: (line) => void log.push(line),
      listen: any,
      stunListen: any,
      ...(more.tlsCert === undefined && { derpListen: any }),
      ...more,
      stateDir,
    };
    try {
      return new RunningCoordinator(stateDir, log, options, await startCoordinator(options));
    } catch (error) {
      await Deno.remove(stateDir, { recursive: true });
      throw error;
    }
  }

  get url(): string {
    return this.coordinator.url;
  }

  /** Stops it and starts it again, on the same state and ports. */
  async restart(): Promise<void> {
    const { url, derpMap } = this.coordinator;
    const [node] = derpMap.Regions!["900"].Nodes!;
    await this.coordinator.close();
    this.coordinator = await startCoordinator({
      ...this.#options,
      listen: new URL(url).host,
      ...(this.#options.derpListen !== undefined && { derpListen: `127.0.0.1:${node.DERPPort}` }),
      stunListen: `127.0.0.1:${node.STUNPort}`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.coordinator.close();
    await Deno.remove(this.stateDir, { recursive: true });
  }
}

/** Waits until `condition` holds; fails the test after `timeoutMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 10_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`Cannot wait any longer for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
