/**
 * The data plane: everything the worker owns, run to completion turn by turn.
 *
 * ```
 *   wait (TUN, sockets, wake) ─▶ commands ─▶ sockets ─▶ TUN ─▶ timers ─▶ flush ─▶ wait
 * ```
 * It moves packets and never waits for the main thread: commands come in small pieces by a ring, a few each turn, and
 * events go out by another. WireGuard, magicsock and the filter are state machines that this file connects to sockets.
 */
import type { DropCounters } from "../../base/drops.ts";
import { fromHex, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import type { DiscoPrivate, RandomBytes } from "../../base/keys.ts";
import type { EngineStatus, PeerConfig } from "../config.ts";
import type { Endpoint } from "../magicsock/endpoint.ts";
import { Magicsock } from "../magicsock/magicsock.ts";
import type { AddrTable, AeadProvider, Arena, PollPort, TunPort, UdpPort, WakePort } from "../ports.ts";
import { StunGate } from "../magicsock/stun_gate.ts";
import { WgDevice } from "../wg/device.ts";
import { Coalescer } from "./coalesce.ts";
import { Commands } from "./commands.ts";
import { CommandReader } from "./command_reader.ts";
import { PathCounters } from "./counters.ts";
import { HandshakeSender } from "./handshake_sender.ts";
import type { Kernels } from "./packet_kernels.ts";
import { reserveLayout } from "./layout.ts";
import { Peers } from "./peers.ts";
import { PlanePeer } from "./plane_peer.ts";
import { relayRequest } from "./relay_records.ts";
import { Receive } from "./receive.ts";
import type { AnswerableSource } from "./receive.ts";
import { encodeDerpHeader, encodeJson, RECORD_DERP, RECORD_JSON } from "./records.ts";
import type { StatusTotals, WorkerEvent } from "./records.ts";
import type { Ring } from "./ring.ts";
import { Sender } from "./sender.ts";
import { type OpenSockets, READY_TUN, READY_WAKE, Sockets } from "./sockets.ts";
import { StatusEvents } from "./status_events.ts";
import { Transmit } from "./transmit.ts";
import { TsmpPings } from "./tsmp_pings.ts";
import { TurnWatch } from "./turn_watch.ts";

/** Relayed packets that may wait in the event ring before they are dropped, so that events still fit. */
const EVENT_RESERVE = 256 << 10;
/** How often unused interned addresses are given back, ms. */
const SWEEP_MS = 60_000;

/** What a data plane is made of. */
export interface PlaneOptions {
  readonly arena: Arena;
  readonly kernels: Kernels;
  readonly addrs: AddrTable;
  readonly tun: TunPort;
  readonly openSockets: OpenSockets;
  /** The operator named the port, so that being told to take any makes a difference. */
  readonly portIsNamed?: boolean;
  readonly poll: PollPort;
  readonly wake: WakePort;
  readonly provider: AeadProvider;
  readonly commands: Ring;
  readonly events: Ring;
  readonly drops: DropCounters;
  readonly disco: DiscoPrivate;
  readonly random: RandomBytes;
  /** TAI64N, never below the last one given. */
  readonly timestamp: () => Uint8Array;
  /** Monotonic ms, the engine's only clock. */
  readonly monotonic: () => number;
  /** CPU time of the thread that runs the plane, ms. */
  readonly cpuTime: () => number;
  /** Unix ms, for what people read. */
  readonly wall: () => number;
}

/** The worker's engine. `run` blocks until a stop command. */
export class Plane {
  readonly #options: PlaneOptions;
  readonly #peers = new Peers((config, number) => this.#wakePeer(config, number));
  readonly #paths = new PathCounters();
  readonly #stunGate = new StunGate();
  readonly #watch: TurnWatch;
  readonly #sender: Sender;
  readonly #handshakes: HandshakeSender;
  readonly #transmit: Transmit;
  readonly #receive: Receive;
  readonly #pings: TsmpPings;
  readonly #status: StatusEvents;
  readonly #commands: CommandReader;
  readonly #wg: WgDevice;
  readonly #magicsock: Magicsock;
  readonly #sockets: Sockets;
  readonly #drainSocket = (socket: UdpPort) => this.#receive.drain(socket, this.#now);
  #now: number;
  #sweepAt: number;
  #stopped = false;
  #anyPort = false;

  constructor(options: PlaneOptions) {
    this.#options = options;
    const { arena, kernels, addrs, tun, provider, drops, events, random, disco } = options;
    this.#now = options.monotonic();
    this.#sweepAt = this.#now + SWEEP_MS;
    this.#watch = new TurnWatch(options.cpuTime);
    this.#sockets = new Sockets(options);
    const layout = reserveLayout(arena);
    const paths = this.#paths;
    this.#sender = new Sender({
      arena,
      layout,
      addrs,
      drops,
      paths,
      helpers: provider.helpers,
      unreachable: (addr) => this.#magicsock.noteUnreachable(addr),
      relay: (region, peer, payload) =>
        events.free > EVENT_RESERVE && events.write(RECORD_DERP, encodeDerpHeader(region, peer), payload),
    });
    this.#handshakes = new HandshakeSender(this.#sender, drops);
    this.#magicsock = new Magicsock({
      disco,
      random,
      addrs,
      io: {
        sendUdp: (to, payload, relayed) => this.#sender.sendUdp(to, payload, relayed),
        sendDerp: (region, peer, payload) => {
          // A CallMeMaybe must not overtake the pings that let in what it asks for: the relay is fast, and a turn may be long.
          this.#sender.flush();
          this.#sender.sendDerp(region, peer.bytes, payload);
        },
        endpointsWanted: (reason) => this.#emit({ kind: "endpoints-wanted", reason }),
        pathChanged: (endpoint) => this.#pathChanged(endpoint),
        sleepers: { has: (disco) => this.#peers.knowsDisco(disco), wake: (disco) => this.#peers.wakeDisco(disco) },
        relayRequested: (endpoint, clients, generation) =>
          this.#emit({ kind: "relay-request", request: relayRequest(endpoint, clients, generation, disco.public.hex) }),
      },
    });
    this.#wg = new WgDevice({
      random,
      timestamp: options.timestamp,
      sleepers: { has: (key) => this.#peers.knows(key), wake: (key) => this.#peers.byKey(key)?.wg },
      effects: {
        sendHandshake: (peer, message, inReplyTo) =>
          this.#handshakes.toPeer(
            peer.data as PlanePeer,
            message,
            inReplyTo as AnswerableSource | undefined,
            this.#now,
          ),
        sendCookieReply: (message, source) => this.#handshakes.answer(message, source as AnswerableSource),
        sendKeepalive: (peer) => this.#transmit.keepalive(peer.data as PlanePeer, this.#now),
        keypairReady: (peer) => this.#transmit.sendStaged(peer.data as PlanePeer, this.#now),
        handshakeFailed: (peer) => {
          for (const _packet of (peer.data as PlanePeer).takeStaged()) drops.count("no-keypair");
        },
        createKey: (key, use) => provider.createKey(key, use),
        freeKey: (handle) => provider.freeKey(handle),
      },
    });
    const peers = this.#peers;
    this.#transmit = new Transmit({ arena, kernels, layout, tun, provider, sender: this.#sender, peers, drops });
    this.#pings = new TsmpPings({ peers, transmit: this.#transmit, drops, random });
    this.#receive = new Receive({
      arena,
      layout,
      addrs,
      provider,
      peers,
      drops,
      paths,
      wg: this.#wg,
      magicsock: this.#magicsock,
      coalescer: new Coalescer(arena, kernels, tun, layout, { tunWriteFailed: () => drops.count("tun-write") }),
      stunGate: this.#stunGate,
      stun: (payload, source) =>
        this.#emit({ kind: "stun", from: addrs.text(source), payload: toHex(new Uint8Array(payload)) }),
      tsmp: (packet, peer) => this.#pings.receive(packet, peer, this.#now),
    });
    const { commands, monotonic, wall } = options;
    const emit = (event: WorkerEvent) => this.#emit(event);
    this.#status = new StatusEvents({ peers, monotonic, wall, emit });
    const taker = new Commands({
      addrs,
      peers,
      wg: this.#wg,
      magicsock: this.#magicsock,
      sender: this.#sender,
      transmit: this.#transmit,
      receive: this.#receive,
      stunGate: this.#stunGate,
      pings: this.#pings,
      status: this.#status,
      totals: () => this.#totals(),
      emit,
      rebind: () => this.#rebind(),
      useAnyPort: (anyPort) => this.#useAnyPort(anyPort),
      stop: () => this.#stop(),
    });
    this.#commands = new CommandReader(commands, monotonic, {
      command: (command, record) => taker.run(command, record, this.#now),
      derp: ({ region, peer, payload }) =>
        this.#receive.fromDerp(payload, { region, peer: this.#publicKey(peer) }, this.#now),
    });
    this.#bind();
  }

  /** Ports bound, 0 for a family that is absent. */
  get localPorts(): { udp4: number; udp6: number } {
    return this.#sockets.ports;
  }

  /** How many peers are known, and how many of them awake. */
  get peerCounts(): Peers["counts"] {
    return this.#peers.counts;
  }

  /** As `EngineStatus.offloads`: a socket may lose its own while it lives. */
  get offloads(): EngineStatus["offloads"] {
    const { tun, kernels } = this.#options;
    return { ...tun.offloads, ...this.#sockets.offloads, wasm: kernels.name === "wasm" };
  }

  /** Moves packets until it is told to stop. */
  run(): void {
    while (!this.#stopped) this.turn(this.#timeout());
  }

  /** One turn, waiting at most `timeoutMs` for something to do. */
  turn(timeoutMs: number): void {
    const { poll, wake, monotonic } = this.#options;
    const ready = poll.wait(timeoutMs);
    this.#now = monotonic();
    this.#watch.begin(this.#now);
    this.#transmit.beginTurn();
    if ((ready & READY_WAKE) !== 0) wake.drain();
    if ((ready & READY_WAKE) !== 0 || this.#commands.backlog) {
      this.#commands.run();
      this.#receive.flushDerp(this.#now);
    }
    if (this.#stopped) return;
    this.#sockets.drain(ready, this.#drainSocket);
    if ((ready & READY_TUN) !== 0) this.#transmit.drain(this.#now);
    this.#runTimers();
    this.#transmit.endTurn(this.#now);
    this.#sender.flush();
    if (this.#sweepAt <= this.#now) {
      // Piggybacks on other work: an idle worker has no new addresses to give back. Only now are this turn's no longer needed.
      this.#sweepAt = this.#now + SWEEP_MS;
      this.#options.addrs.sweep(this.#magicsock.liveAddresses());
    }
    this.#watch.end(monotonic());
  }

  /** Closes what `openSockets` opened; the TUN is its creator's. */
  close(): void {
    this.#sockets.close();
  }

  #timeout(): number {
    if (this.#commands.backlog) return 0;
    const next = Math.min(this.#wg.nextDeadline(), this.#magicsock.nextDeadline(), this.#pings.nextDeadline());
    if (next === Infinity) return -1;
    return Math.max(0, Math.ceil(next - this.#options.monotonic()));
  }

  #runTimers(): void {
    const now = this.#now;
    if (this.#wg.nextDeadline() <= now) this.#wg.advance(now);
    if (this.#magicsock.nextDeadline() <= now) this.#magicsock.advance(now);
    if (this.#pings.nextDeadline() <= now) this.#pings.advance(now);
  }

  #bind(): void {
    this.#sockets.bind(this.#anyPort);
    this.#sender.useSockets(this.#sockets.udp4, this.#sockets.udp6);
  }

  #emit(event: WorkerEvent): void {
    this.#options.events.write(RECORD_JSON, encodeJson(event));
  }

  /** A known peer's key object is reused, so that relayed packets cost no parsing. */
  #publicKey(hex: string): NodePublic {
    return this.#peers.awakeByKey(hex)?.wg.publicKey ?? new NodePublic(fromHex(hex)!);
  }

  #stop(): void {
    this.#stopped = true;
    this.#commands.stop();
  }

  #rebind(): void {
    this.#bind();
    this.#magicsock.rebind(this.#now);
    this.#emit({ kind: "rebound", ...this.localPorts });
  }

  #useAnyPort(anyPort: boolean): void {
    if (anyPort === this.#anyPort) return;
    this.#anyPort = anyPort;
    if (this.#options.portIsNamed === true) this.#rebind();
  }

  #wakePeer(config: PeerConfig, number: number): PlanePeer {
    const wg = this.#wg.addPeer(new NodePublic(fromHex(config.key)!));
    return new PlanePeer(config, number, wg, this.#magicsock.upsertPeer(config, this.#now));
  }

  #pathChanged(endpoint: Endpoint): void {
    const peer = this.#peers.awakeByKey(endpoint.key);
    if (peer === undefined) return;
    // Packets of this turn must not use the old path.
    peer.turn = -1;
    this.#status.path(peer, this.#now);
  }

  #totals(): StatusTotals {
    const drops = this.#options.drops.snapshot() as Record<string, number>;
    return { drops, paths: this.#paths.snapshot(), offloads: this.offloads, turns: this.#watch.snapshot() };
  }
}
