/** A coordinator's tailnet in memory, on a clock of the test's: everything but sockets. */
import { MachinePrivate, NodePrivate } from "../../base/keys.ts";
import { Admin } from "../../control/server/admin.ts";
import type { KeyRequest } from "../../control/server/admin.ts";
import type { SignatureCheck } from "../../control/server/lock/registration_lock.ts";
import { Registration } from "../../control/server/registration.ts";
import { openSqliteStore } from "../../control/server/sqlite_store.ts";
import type { Store } from "../../control/server/store.ts";
import { Tailnet } from "../../control/server/tailnet.ts";
import { ZERO_NODE_KEY, ZERO_TIME } from "../../control/wire/tailcfg.ts";
import type { Hostinfo, RegisterRequest, RegisterResponse } from "../../control/wire/tailcfg.ts";
import { FakeScheduler } from "./fake_scheduler.ts";
import { SeededRandom } from "./random.ts";

/** What a machine sends when it registers. */
export interface Machine {
  readonly machineKey: string;
  readonly nodeKey: string;
}

export interface WorldOptions {
  readonly seed?: number;
  /** 0: node keys never expire. */
  readonly keyExpiryMs?: number;
  readonly store?: Store;
  readonly lock?: SignatureCheck;
}

/** The address logins are offered under. */
export const WORLD_URL = "http://coordinator.test";

export class TailnetWorld {
  readonly scheduler = new FakeScheduler();
  readonly random: SeededRandom;
  readonly tailnet: Tailnet;
  readonly registration: Registration;
  readonly admin: Admin;

  private constructor(random: SeededRandom, tailnet: Tailnet, keyExpiryMs: number | undefined, lock?: SignatureCheck) {
    this.random = random;
    this.tailnet = tailnet;
    const shared = { tailnet, scheduler: this.scheduler, random: random.bytes };
    this.registration = new Registration({ ...shared, serverUrl: WORLD_URL, keyExpiryMs, lock });
    this.admin = new Admin({ ...shared, registration: this.registration });
  }

  static async make({ seed = 1, keyExpiryMs = 0, store, lock }: WorldOptions = {}): Promise<TailnetWorld> {
    const tailnet = await Tailnet.load(store ?? openSqliteStore(":memory:"));
    return new TailnetWorld(new SeededRandom(seed), tailnet, keyExpiryMs || undefined, lock);
  }

  machine(): Machine {
    return { machineKey: MachinePrivate.generate(this.random.bytes).public.toString(), nodeKey: this.nodeKey() };
  }

  nodeKey(): string {
    return NodePrivate.generate(this.random.bytes).public.toString();
  }

  async authKey(request: KeyRequest = {}): Promise<string> {
    return (await this.admin.createKey(request)).key;
  }

  /** The answer to a registration; fails the test when the server is busy. */
  async register(
    machine: Machine,
    authKey?: string,
    more: Partial<RegisterRequest> & { readonly host?: Hostinfo } = {},
    signal: AbortSignal = new AbortController().signal,
  ): Promise<RegisterResponse> {
    const { host, ...fields } = more;
    const outcome = await this.registration.register(machine.machineKey, {
      Version: 113,
      NodeKey: machine.nodeKey,
      OldNodeKey: ZERO_NODE_KEY,
      NLKey: "",
      ...(authKey !== undefined && { Auth: { AuthKey: authKey } }),
      Expiry: ZERO_TIME,
      Followup: "",
      NodeKeySignature: null,
      Hostinfo: { BackendLogID: "test", OS: "linux", Hostname: "host", ...host },
      ...fields,
    }, signal);
    if (outcome.kind === "busy") throw new Error("the coordinator is busy");
    return outcome.response;
  }

  /** A machine that is a node. */
  async join(hostname: string, request: KeyRequest = {}): Promise<Machine & { readonly id: number }> {
    const machine = this.machine();
    await this.register(machine, await this.authKey(request), { host: { Hostname: hostname } });
    return { ...machine, id: this.tailnet.byNodeKey(machine.nodeKey)!.record.id };
  }
}
