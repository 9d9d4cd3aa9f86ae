/**
 * A control server in memory, behind the control client's own interface: the test says what a registration gives, and
 * hands out netmaps while a poll runs.
 */
import type {
  ControlApi,
  ControlRequest,
  NodeState,
  PollEnd,
  PollHandlers,
  PollInput,
} from "../../control/client/types.ts";
import type { ControlStats, RegisterInput, RegisterOutcome } from "../../control/client/types.ts";
import type { Netmap, NetmapChange, NumberMap } from "../../control/client/netmap.ts";
import type { Node, UserProfile } from "../../control/wire/tailcfg.ts";

/** A `NumberMap` of these values. */
export function numberMap<V>(entries: Iterable<readonly [number, V]>): NumberMap<V> {
  const map = new Map(entries);
  return {
    size: map.size,
    get: (key) => map.get(key),
    keys: () => map.keys(),
    [Symbol.iterator]: () => map.values(),
  };
}

/** A node with what a test does not care about filled in. */
export function testNode(id: number, fields: Partial<Node> = {}): Node {
  const hex = id.toString(16).padStart(64, "0");
  const addresses = [`100.64.${id >> 8}.${id & 255}/32`, `fd7a:115c:a1e0::${id.toString(16)}/128`];
  return {
    ID: id,
    StableID: `n${id}`,
    Name: `node${id}.tail.test.`,
    User: 1,
    Key: `nodekey:${hex}`,
    DiscoKey: `discokey:${hex}`,
    Addresses: addresses,
    AllowedIPs: fields.Addresses ?? addresses,
    HomeDERP: 1,
    Hostinfo: { OS: "linux", Hostname: `node${id}` },
    MachineAuthorized: true,
    Online: true,
    ...fields,
  };
}

/** The user all test nodes belong to. */
export const TEST_USER: UserProfile = { ID: 1, LoginName: "alice@example.com", DisplayName: "Alice" };

/** A netmap of oneself (node 1) and these peers, everything allowed. */
export function testNetmap(peers: readonly Node[], fields: Partial<Netmap> = {}): Netmap {
  return {
    self: testNode(1),
    peers: numberMap(peers.map((peer) => [peer.ID, peer])),
    derpMap: undefined,
    dns: {},
    domain: "example.com",
    packetFilter: [{ SrcIPs: ["*"], DstPorts: [{ IP: "*", Ports: { First: 0, Last: 65535 } }] }],
    users: numberMap([[1, TEST_USER]]),
    displayMessages: {},
    sshPolicy: undefined,
    collectServices: false,
    tkaInfo: undefined,
    tkaEnabled: false,
    ...fields,
  };
}

/** Answers one registration. */
export type RegisterAnswer = (input: RegisterInput, signal: AbortSignal) => RegisterOutcome | Promise<RegisterOutcome>;

/** What a successful registration gives. */
export const REGISTERED: RegisterOutcome = {
  kind: "registered",
  user: { ID: 1, DisplayName: "Alice" },
  login: { ID: 1, Provider: "", LoginName: TEST_USER.LoginName, DisplayName: "Alice" },
  machineAuthorized: true,
};

/** Rejects with the signal's reason when it fires. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** The server, seen by one client after another. */
export class FakeControl {
  /** URLs clients were made for. */
  readonly urls: string[] = [];
  readonly registered: RegisterInput[] = [];
  readonly updates: Partial<NodeState>[] = [];
  readonly logouts: unknown[] = [];
  polls = 0;
  answer: RegisterAnswer = () => REGISTERED;
  logoutError: Error | undefined;
  /** A logout is answered after this. */
  logoutAfter: Promise<unknown> = Promise.resolve();
  /** Answers raw requests: those of Tailnet Lock. */
  serve: (request: ControlRequest) => Promise<unknown> = () => Promise.reject(new Error("no requests here"));
  /** Sent at the start of every poll. */
  netmap: Netmap | undefined;
  /** The poll that runs. */
  poll: { readonly input: PollInput; readonly handlers: PollHandlers; end(end: PollEnd): void } | undefined;

  /** Hands a netmap to the running poll. */
  send(netmap: Netmap, change: NetmapChange = { kind: "full" }): void {
    this.netmap = netmap;
    this.poll?.handlers.netmap(netmap, change);
  }

  connect(url: string): ControlApi {
    this.urls.push(url);
    return {
      register: async (input, signal) => {
        this.registered.push(input);
        return await this.answer(input, signal);
      },
      poll: (input, handlers, signal) => this.#poll(input, handlers, signal),
      update: (change) => void this.updates.push(change),
      logout: async (input) => {
        this.logouts.push(input);
        await this.logoutAfter;
        if (this.logoutError) throw this.logoutError;
      },
      request: (request) => this.serve(request),
      reconnect: () => {},
      stats: {} as ControlStats,
      close: () => {},
    };
  }

  async #poll(input: PollInput, handlers: PollHandlers, signal: AbortSignal): Promise<PollEnd> {
    this.polls++;
    const ended = Promise.withResolvers<PollEnd>();
    this.poll = { input, handlers, end: ended.resolve };
    handlers.status?.({ kind: "connecting" });
    handlers.status?.({ kind: "connected" });
    if (this.netmap !== undefined) handlers.netmap(this.netmap, { kind: "full" });
    const aborted = untilAborted(signal).catch((): PollEnd => ({ kind: "aborted" }));
    const end = await Promise.race([ended.promise, aborted]);
    this.poll = undefined;
    return end;
  }
}
