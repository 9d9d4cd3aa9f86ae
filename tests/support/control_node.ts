/** A node without a data plane: our control client with keys of its own, for tests of the coordinator. */
import { DiscoPrivate, MachinePrivate, NodePrivate } from "../../base/keys.ts";
import type { MachinePublic } from "../../base/keys.ts";
import { LockPrivate } from "../../base/lock_key.ts";
import { Secret } from "../../base/secret.ts";
import { ControlClient } from "../../control/client/client.ts";
import type { Netmap } from "../../control/client/netmap.ts";
import type { NodeState, PollEnd, PollState, RegisterInput, RegisterOutcome } from "../../control/client/types.ts";
import { CAPABILITY_VERSION, ENDPOINT_TYPE } from "../../control/wire/tailcfg.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import { realScheduler } from "./real_scheduler.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

export interface ControlNodeOptions {
  readonly url: string;
  readonly hostname: string;
  readonly ca?: readonly string[];
  readonly machineKey?: MachinePrivate;
}

export class ControlNode implements AsyncDisposable {
  readonly machineKey: MachinePrivate;
  nodeKey = NodePrivate.generate(random);
  readonly lockKey = LockPrivate.generate(random).public;
  readonly discoKey = DiscoPrivate.generate(random).public;
  readonly serverKeys = new Map<string, MachinePublic>();
  readonly log: string[] = [];
  readonly client: ControlClient;
  netmap: Netmap | undefined;
  /** Whole maps received. */
  fullMaps = 0;
  state: PollState | undefined;
  readonly #hostname: string;
  readonly #stop = new AbortController();
  #polling: Promise<PollEnd> | undefined;

  constructor({ url, hostname, ca = [], machineKey }: ControlNodeOptions) {
    this.#hostname = hostname;
    this.machineKey = machineKey ?? MachinePrivate.generate(random);
    this.client = new ControlClient({
      serverUrl: url,
      machineKey: this.machineKey,
      ca,
      scheduler: realScheduler,
      random,
      log: (level, text) => this.log.push(`${level}: ${text}`),
      serverKeys: {
        load: (at) => this.serverKeys.get(at),
        save: (at, key) => this.serverKeys.set(at, key),
      },
      acceptNewServerKey: false,
      capabilityVersion: CAPABILITY_VERSION,
    });
  }

  register(authKey?: string, more: Partial<RegisterInput> = {}): Promise<RegisterOutcome> {
    return this.client.register({
      nodeKey: this.nodeKey.public,
      lockKey: this.lockKey,
      ...(authKey !== undefined && { authKey: new Secret(authKey) }),
      hostinfo: { BackendLogID: "none", OS: "linux", Hostname: this.#hostname },
      ephemeral: false,
      ...more,
    }, this.#stop.signal);
  }

  /** Polls until it is disposed of. */
  poll(): void {
    const { hostinfo } = this.where();
    this.#polling = this.client.poll(
      { nodeKey: this.nodeKey.public, discoKey: this.discoKey, hostinfo, endpoints: [], tkaHead: "" },
      {
        netmap: (netmap, change) => {
          this.netmap = netmap;
          if (change.kind === "full") this.fullMaps++;
        },
        status: (state) => this.state = state,
      },
      this.#stop.signal,
    );
  }

  /** Tells control where the node is. */
  move(endpoint: string, region: number): void {
    this.client.update({ ...this.where(region), endpoints: [{ addr: endpoint, type: ENDPOINT_TYPE.local }] });
  }

  where(region = 0): Pick<NodeState, "hostinfo"> {
    const netInfo = region === 0 ? {} : { NetInfo: { PreferredDERP: region } };
    return { hostinfo: { BackendLogID: "none", OS: "linux", Hostname: this.#hostname, ...netInfo } };
  }

  /** A peer by its label. */
  peer(label: string): Node | undefined {
    for (const peer of this.netmap?.peers ?? []) if (peer.Name.split(".")[0] === label) return peer;
    return undefined;
  }

  /** How the poll ended; does not resolve while it runs. */
  get ended(): Promise<PollEnd> | undefined {
    return this.#polling;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the test is over"));
    await this.#polling;
    this.client.close();
  }
}
