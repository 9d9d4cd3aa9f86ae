/**
 * The Internet of tests/netlab/matrix.ts with servers and nodes in it:
 *
 *   core: testcontrol, DERP and STUN of region 1; DERP and STUN of region 2 at another address, so that a NAT that maps by
 *   destination shows
 *   each site: one agent of ours and one tsnet peer, side by side behind the same NAT
 */
import { Internet, type SideKind, type Site } from "../../netlab/matrix.ts";
import type { LabNamespace } from "../../netlab/lab.ts";
import { AgentNode } from "./agent.ts";
import { type ControlFlags, flagArgs, type GoJson, LabControl } from "./control.ts";
import { type LabOptions, LabProcess } from "./lab.ts";
import { LabPeer } from "./peer.ts";

const AUTH_KEY = "tskey-auth-matrix";

/** A site with its nodes. */
export interface Place {
  readonly site: Site;
  readonly agent: AgentNode;
  readonly peer: LabPeer;
  /** Tailnet IPv4 address of the agent. */
  readonly agentIp: string;
  readonly peerIp: string;
}

/** One end of a pair under test. */
export interface Node {
  readonly what: "agent" | "tsnet";
  readonly name: string;
  readonly ip: string;
  /** `ip:port` of the direct path to a peer, "" while a relay carries the packets. */
  path(ip: string): Promise<string>;
  /** ipnstate.PeerStatus of the peer with the address. */
  peer(ip: string): Promise<GoJson>;
  /** Makes packets for the peer, once: a ping inside WireGuard. Never rejects. */
  knock(ip: string): Promise<boolean>;
  /** Looks for its own endpoints again. */
  restun(): Promise<unknown>;
  /** Forgets every path it has found, and looks for its own endpoints, as after a change of network. */
  forgetPaths(): Promise<unknown>;
}

/** How a pair got on. */
export interface Reached {
  readonly path: "direct" | "relay" | "nothing";
  /** To the direct path, or to the first answer by the relay. */
  readonly seconds: number;
  readonly addr: string;
}

export class NatWorld implements AsyncDisposable {
  readonly internet: Internet;
  readonly dir: string;
  readonly places: Place[] = [];
  readonly #program: string;
  readonly #servers: AsyncDisposable[] = [];
  control!: LabControl;

  private constructor(program: string, internet: Internet, dir: string) {
    this.#program = program;
    this.internet = internet;
    this.dir = dir;
  }

  /** The Internet and its servers, those of region 2 only when there are to be two. */
  static async create(program: string, regions: 1 | 2 = 2, control: ControlFlags = {}): Promise<NatWorld> {
    const world = new NatWorld(program, await Internet.create(), await Deno.makeTempDir({ prefix: "nat-" }));
    try {
      await world.#serve(regions, control);
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  async #serve(regions: 1 | 2, control: ControlFlags): Promise<void> {
    const { internet } = this;
    const at = (which: 1 | 2) => {
      const [[derp, derp6], [stun, stun6]] = [internet.server(which, 8443), internet.server(which, 3478)];
      return { derp, derp6, stun, stun6 };
    };
    const [listen, listen6] = internet.server(1, 8080);
    const inCore = this.#in(internet.core);
    const flags = {
      listen,
      listen6,
      ...at(1),
      authkey: AUTH_KEY,
      magicDnsDomain: "matrix.ts.net",
      derpPin: true,
      ...control,
    };
    this.control = await LabControl.start(inCore, flags);
    this.#servers.push(this.control);
    if (regions === 1) return;
    const second = await LabProcess.start<{ region: GoJson }>(inCore, [
      "derp",
      ...flagArgs({ ...at(2), derpPin: true, region: 2, regionCode: "two" }),
    ]);
    this.#servers.push(second);
    const { derpMap } = this.control.process.ready;
    await this.control.knobs({ derpMap: { ...derpMap, Regions: { ...derpMap.Regions, 2: second.ready.region } } });
  }

  /** A new site with both nodes, joined. */
  async place(kind: SideKind, name?: string): Promise<Place> {
    const site = await this.internet.site(kind, name);
    const url = `http://${this.internet.server(1, 8080)[kind === "ipv6" ? 1 : 0]}`;
    const hostname = `${site.name}-tsnet`;
    const [agent, peer] = await Promise.all([
      AgentNode.start({ namespace: site.host, dir: this.dir, name: `${site.name}-agent` }).then(async (agent) => {
        this.#servers.push(agent);
        await agent.up(url, AUTH_KEY);
        return agent;
      }),
      LabPeer.start(this.#in(site.host), { control: url, authkey: AUTH_KEY, hostname, portmap: true }),
    ]);
    this.#servers.push(peer);
    const place = { site, agent, peer, agentIp: (await agent.ips())[0], peerIp: peer.ips[0] };
    this.places.push(place);
    return place;
  }

  /** The place whose site has this name. */
  at(name: string): Place {
    return this.places.find(({ site }) => site.name === name)!;
  }

  /** Joins one more agent, in the core, to the tailnet. */
  async join(agent: AgentNode): Promise<void> {
    await agent.up(`http://${this.internet.server(1, 8080)[0]}`, AUTH_KEY);
  }

  /** The ends of the agents' logs. */
  async logs(lines = 25): Promise<string> {
    const parts = this.places.map(async ({ agent }) => `-- log of ${agent.name}\n${await agent.log(lines)}`);
    return (await Promise.all(parts)).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#servers.reverse().map((server) => server[Symbol.asyncDispose]()));
    await this.internet[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }

  #in(namespace: LabNamespace): LabOptions {
    return { path: this.#program, prefix: ["nsenter", `--net=/run/netns/${namespace.name}`, "--"] };
  }
}

/** The place's agent as an end of a pair. */
export function agentOf({ agent, agentIp }: Place): Node {
  return {
    what: "agent",
    name: agent.name,
    ip: agentIp,
    path: async (ip) => (await agent.peer(ip)).CurAddr,
    peer: (ip) => agent.peer(ip),
    knock: (ip) => agent.local(`ping?ip=${ip}&type=TSMP`, "POST").then((pong) => pong.Err === "", () => false),
    restun: () => agent.debug("restun"),
    forgetPaths: () => agent.debug("rebind"),
  };
}

/** The place's tsnet peer as an end of a pair. */
export function tsnetOf({ site, peer, peerIp }: Place): Node {
  return {
    what: "tsnet",
    name: `${site.name}-tsnet`,
    ip: peerIp,
    path: async (ip) => (await peerOf(peer, ip))?.CurAddr ?? "",
    peer: async (ip) => await peerOf(peer, ip) ?? { CurAddr: "", PeerRelay: "", Relay: "" },
    knock: (ip) => peer.ping(ip, "TSMP", 2_000).then((pong) => pong.Err === "", () => false),
    restun: () => peer.debug("restun"),
    forgetPaths: async () => {
      await peer.debug("rebind");
      await peer.debug("restun");
    },
  };
}

async function peerOf(peer: LabPeer, ip: string): Promise<GoJson | undefined> {
  const peers: GoJson[] = Object.values((await peer.status()).Peer ?? {});
  return peers.find((node) => node.TailscaleIPs?.includes(ip));
}

/** While a path is expected soon, and after that; ms. Looking costs both nodes more than the packet does. */
const SOON_MS = 2_000;
const LOOK_MS = { soon: 100, later: 500 };
const KNOCK_MS = { soon: 500, later: 1_000 };

/** Sends from one to the other until both say that the path is direct, `patienceMs` at most. */
export async function reach(from: Node, to: Node, patienceMs: number): Promise<Reached> {
  const startedAt = performance.now();
  const ms = () => performance.now() - startedAt;
  const pause = (times: typeof LOOK_MS) =>
    new Promise((resolve) => setTimeout(resolve, ms() < SOON_MS ? times.soon : times.later));
  let over = false;
  let answeredAt: number | undefined;
  const knocking = (async () => {
    while (!over) {
      const next = pause(KNOCK_MS);
      if (await from.knock(to.ip)) answeredAt ??= ms();
      await next;
    }
  })();
  try {
    while (ms() < patienceMs) {
      const addr = await to.path(from.ip) === "" ? "" : await from.path(to.ip);
      if (addr !== "") return { path: "direct", seconds: ms() / 1000, addr };
      await pause(LOOK_MS);
    }
    return answeredAt === undefined
      ? { path: "nothing", seconds: Infinity, addr: "" }
      : { path: "relay", seconds: answeredAt / 1000, addr: "" };
  } finally {
    over = true;
    await knocking;
  }
}
