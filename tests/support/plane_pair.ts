/** Two data planes joined by a scripted network on a fake clock. */
import { DropCounters } from "../../base/drops.ts";
import { parseAddrPort, parseIp } from "../../base/ip.ts";
import { DiscoPrivate, NodePrivate } from "../../base/keys.ts";
import type { EngineConfig, PeerConfig } from "../../engine/config.ts";
import { createKernels } from "../../engine/dataplane/packet_kernels.ts";
import { Plane } from "../../engine/dataplane/plane.ts";
import {
  decodeDerp,
  decodeJson,
  encodeDerpHeader,
  encodeJson,
  RECORD_DERP,
  RECORD_JSON,
} from "../../engine/dataplane/records.ts";
import type { Command, WorkerEvent } from "../../engine/dataplane/records.ts";
import { Ring } from "../../engine/dataplane/ring.ts";
import { configCommands } from "../../engine/diff.ts";
import type { DerpPacket } from "../../engine/engine.ts";
import { createTimestamps } from "../../engine/wg/tai64n.ts";
import {
  helpedProvider,
  MemoryAddrs,
  memoryArena,
  MemoryNetwork,
  memoryPoll,
  memoryProvider,
  MemoryTun,
  MemoryUdp,
  memoryWake,
} from "./memory_ports.ts";
import type { SeededRandom } from "./random.ts";

const WALL = 1_700_000_000_000;

/** One plane and all it is plugged into. */
export class PlaneNode {
  readonly key: NodePrivate;
  readonly disco: DiscoPrivate;
  readonly tun: MemoryTun;
  readonly drops = new DropCounters();
  readonly plane: Plane;
  readonly events: WorkerEvent[] = [];
  readonly derpSent: DerpPacket[] = [];
  readonly address: string;
  readonly endpoint: string;
  /** Changes a packet after every check and before it is sealed, as a peer with evil code would. */
  tamper: ((plaintext: Uint8Array) => void) | undefined;
  /** Called when something is given to the relay. */
  relaying: ((payload: Uint8Array) => void) | undefined;
  readonly #commands = Ring.allocate(1 << 20);
  readonly #events = Ring.allocate(1 << 20);
  readonly #wake = memoryWake();
  readonly #socket: MemoryUdp;
  #config: EngineConfig | undefined;

  constructor(number: number, random: SeededRandom, network: MemoryNetwork, now: () => number, helped = false) {
    const arena = memoryArena(8 << 20);
    const addrs = new MemoryAddrs();
    this.key = NodePrivate.generate(random.bytes);
    this.disco = DiscoPrivate.generate(random.bytes);
    this.tun = new MemoryTun(arena);
    this.address = `100.64.0.${number}`;
    const parse = (text: string) => {
      const { ip, port } = parseAddrPort(text)!;
      return addrs.intern(ip, port);
    };
    const ip = parseIp(`192.0.2.${number}`)!;
    this.#socket = new MemoryUdp({ arena, addrs, network, ip, port: 41641, fd: 4, parse });
    this.endpoint = this.#socket.address;
    const provider = helped ? helpedProvider(arena) : memoryProvider(arena);
    const seal = provider.seal;
    provider.seal = (key, offset, length, low, high) => {
      this.tamper?.(arena.u8.subarray(offset, offset + length));
      seal(key, offset, length, low, high);
    };
    const events = this.#events;
    const write = events.write.bind(events);
    events.write = (type, ...parts) => {
      if (type === RECORD_DERP) this.relaying?.(parts.at(-1)!);
      return write(type, ...parts);
    };
    this.plane = new Plane({
      arena,
      kernels: createKernels(arena, arena.memory),
      addrs,
      tun: this.tun,
      openSockets: () => ({ udp4: this.#socket, udp6: undefined }),
      poll: memoryPoll(() => this.#ready()),
      wake: this.#wake,
      provider,
      commands: this.#commands,
      events,
      drops: this.drops,
      disco: this.disco,
      random: random.bytes,
      timestamp: createTimestamps(() => WALL + now()),
      monotonic: now,
      cpuTime: () => 0,
      wall: () => WALL + now(),
    });
  }

  #ready(): number {
    return (this.#wake.pending ? 1 : 0) | (this.tun.toRead.length > 0 ? 2 : 0) | (this.#socket.waiting > 0 ? 4 : 0);
  }

  get busy(): boolean {
    return this.#ready() !== 0;
  }

  /** This node as the other configures it. */
  asPeer(overrides: Partial<PeerConfig> = {}): PeerConfig {
    return {
      key: this.key.public.hex,
      disco: this.disco.public.hex,
      allowedIps: [`${this.address}/32`],
      endpoints: [this.endpoint],
      derp: 0,
      jailed: false,
      addresses: [this.address],
      cap: 113,
      ...overrides,
    };
  }

  /** Configures peers and a filter that lets everything in, unless told otherwise. */
  configure(peers: readonly PeerConfig[], overrides: Partial<EngineConfig> = {}): void {
    const anywhere = [{ prefix: "0.0.0.0/0", first: 0, last: 65535 }];
    const next: EngineConfig = {
      privateKey: this.key.reveal().toHex(),
      addresses: [`${this.address}/32`],
      homeDerp: 0,
      filter: {
        rules: [{ sources: ["0.0.0.0/0"], destinations: anywhere, protocols: [] }],
        local: [`${this.address}/32`],
        shieldsUp: false,
      },
      peers,
      ...overrides,
    };
    for (const command of configCommands(this.#config, next)) this.command(command);
    this.#config = next;
  }

  command(command: Command): void {
    this.#commands.write(RECORD_JSON, encodeJson(command));
    this.#wake.wake();
  }

  derpReceived({ region, peer, payload }: DerpPacket): void {
    this.#commands.write(RECORD_DERP, encodeDerpHeader(region, Uint8Array.fromHex(peer)), payload);
    this.#wake.wake();
  }

  turn(): void {
    this.plane.turn(0);
    while (
      this.#events.read((type, payload) => {
        if (type === RECORD_DERP) this.derpSent.push(decodeDerp(payload));
        else this.events.push(decodeJson<WorkerEvent>(payload));
      })
    );
  }
}

/** Two nodes, their network and their clock. */
export class PlanePair {
  readonly network = new MemoryNetwork();
  readonly a: PlaneNode;
  readonly b: PlaneNode;
  /** True: DERP packets are delivered at once; false: lost. */
  relay = false;
  #now = 1000;

  /** @param helped the second opens and seals with helpers */
  constructor(random: SeededRandom, helped = false) {
    const now = () => this.#now;
    this.a = new PlaneNode(1, random, this.network, now);
    this.b = new PlaneNode(2, random, this.network, now, helped);
  }

  #relayed(): boolean {
    let any = false;
    for (const [from, to] of [[this.a, this.b], [this.b, this.a]] as const) {
      for (const packet of from.derpSent.splice(0)) {
        any = true;
        if (this.relay) to.derpReceived({ ...packet, peer: from.key.public.hex });
      }
    }
    return any;
  }

  /** Runs turns until nothing is in flight. */
  settle(): void {
    do {
      this.a.turn();
      this.b.turn();
    } while (this.#relayed() || this.a.busy || this.b.busy);
  }

  /** Lets time pass in small steps. */
  advance(ms: number, step = 100): void {
    for (let left = ms; left > 0; left -= step) {
      this.#now += Math.min(step, left);
      this.settle();
    }
  }
}
