/**
 * The peer relay server's packets, run to completion turn by turn, like the data plane and beside it.
 *
 * ```
 *   wait (sockets, wake) ─▶ commands ─▶ sockets ─▶ expiry ─▶ wait
 *
 *   recvmsg (GRO: many datagrams of one source) ─ Geneve ─┬─ data: runs of one session, where they lie ─▶ sendmmsg (GSO)
 *                                                         ├─ control: handshake ─▶ sessions ─▶ challenge
 *                                                         └─ STUN answer ─▶ main thread: own addresses
 * ```
 * Packets are forwarded from the buffer they were received in, equal ones of one session together. Nothing is copied, and
 * nothing that is forwarded is read beyond its header.
 */
import { fromHex, toHex } from "../../base/bytes.ts";
import type { DropCounters } from "../../base/drops.ts";
import { type AddrPort, parseAddrPort } from "../../base/ip.ts";
import type { DiscoPrivate, RandomBytes } from "../../base/keys.ts";
import { DATAGRAM_MAX, GROUP_BYTES, GROUP_SEGMENTS } from "../dataplane/layout.ts";
import { keyBytes } from "../dataplane/records.ts";
import { relaySessionConfig } from "../dataplane/relay_records.ts";
import type { Ring } from "../dataplane/ring.ts";
import { GENEVE_DISCO, GENEVE_LENGTH, readGeneve } from "../geneve.ts";
import { classify } from "../magicsock/classify.ts";
import { TokenBucket } from "../magicsock/token_bucket.ts";
import type { AddrId, AddrTable, Arena, PollPort, UdpPort, WakePort } from "../ports.ts";
import { STUN_BURST, STUN_INTERVAL_MS } from "./constants.ts";
import { decodeRelayRecord, encodeRelayRecord, type Forwarded, RECORD_RELAY } from "./records.ts";
import type { RelayCommand, RelayEvent } from "./records.ts";
import { RelaySessions } from "./sessions.ts";

const EMSGSIZE = 90;
/** Buffers of one drain; then the other socket gets its turn. */
const RECEIVES = 64;
/** Bytes the forwarder takes of its arena. */
export const FORWARDER_BYTES = RECEIVES * DATAGRAM_MAX + 64 * 1024;
/** How often unused interned addresses are given back, ms. */
const SWEEP_MS = 60_000;
/** Sessions in one status record. */
const STATUS_SESSIONS = 1_000;

/** What a forwarder is made of. */
export interface ForwarderOptions {
  readonly arena: Arena;
  readonly addrs: AddrTable;
  /** Bound to no address of the machine, so that they outlive a change of network. */
  readonly sockets: { readonly udp4: UdpPort; readonly udp6: UdpPort | undefined };
  readonly poll: PollPort;
  readonly wake: WakePort;
  readonly commands: Ring;
  readonly events: Ring;
  readonly drops: DropCounters;
  /** The server's own key, not that of the node it runs on. */
  readonly disco: DiscoPrivate;
  readonly random: RandomBytes;
  /** Monotonic ms. */
  readonly monotonic: () => number;
}

/** The worker's relay server. `run` blocks until a stop command. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #sessions: RelaySessions;
  readonly #rx: number;
  readonly #scratch: number;
  readonly #forwarded: readonly Forwarded[] = ([4, 6] as const).flatMap((from) =>
    ([4, 6] as const).map((to) => ({ in: from, out: to, packets: 0, bytes: 0 }))
  );
  readonly #stun = new TokenBucket(STUN_BURST, STUN_INTERVAL_MS);
  readonly #udp4: UdpPort;
  readonly #udp6: UdpPort | undefined;
  #reachableAt: readonly AddrPort[] = [];
  #now: number;
  #sweepAt: number;
  #stopped = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#sessions = new RelaySessions(options);
    this.#rx = options.arena.reserve(RECEIVES * DATAGRAM_MAX);
    this.#scratch = options.arena.reserve(2048);
    this.#now = options.monotonic();
    this.#sweepAt = this.#now + SWEEP_MS;
    const { udp4, udp6 } = options.sockets;
    const sockets = [udp4, udp6].filter((socket) => socket !== undefined);
    options.poll.watch([options.wake.fd, ...sockets.map((socket) => socket.fd)]);
    this.#udp4 = udp4;
    this.#udp6 = udp6;
  }

  /** Ports bound, 0 for a family that is absent. */
  get localPorts(): { udp4: number; udp6: number } {
    return { udp4: this.#udp4.port, udp6: this.#udp6?.port ?? 0 };
  }

  /** Forwards until it is told to stop. */
  run(): void {
    while (!this.#stopped) {
      const next = this.#sessions.nextDeadline();
      this.turn(next === Infinity ? -1 : Math.max(0, Math.ceil(next - this.#options.monotonic())));
    }
  }

  /** One turn, waiting at most `timeoutMs` for something to do. */
  turn(timeoutMs: number): void {
    const { poll, wake, commands, monotonic, addrs } = this.#options;
    const ready = poll.wait(timeoutMs);
    this.#now = monotonic();
    if ((ready & 1) !== 0) {
      wake.drain();
      while (!this.#stopped && commands.read((_type, payload) => this.#command(decodeRelayRecord(payload))));
    }
    if (this.#stopped) return;
    if ((ready & 2) !== 0) this.#drain(this.#udp4);
    if ((ready & 4) !== 0) this.#drain(this.#udp6!);
    this.#sessions.advance(this.#now);
    if (this.#sweepAt <= this.#now) {
      this.#sweepAt = this.#now + SWEEP_MS;
      addrs.sweep(this.#sessions.addresses());
    }
  }

  close(): void {
    this.#udp4.close();
    this.#udp6?.close();
  }

  #emit(event: RelayEvent): void {
    this.#options.events.write(RECORD_RELAY, encodeRelayRecord(event));
  }

  #command(command: RelayCommand): void {
    switch (command.kind) {
      case "allocate": {
        const { request: { disco, clients }, id } = command;
        // Without an address nobody could bind: clients ask again after 3 s.
        const session = this.#reachableAt.length === 0
          ? undefined
          : this.#sessions.allocate(disco, keyBytes(clients[0]), keyBytes(clients[1]), this.#now);
        const whole = session && relaySessionConfig({ ...session, addrs: this.#reachableAt });
        return this.#emit({ kind: "allocated", id, ...(whole && { session: whole }) });
      }
      case "addresses":
        this.#reachableAt = command.addrs.map(parseAddrPort).filter((addr) => addr !== undefined);
        return;
      case "stun": {
        const to = parseAddrPort(command.to);
        if (to !== undefined) this.#send(this.#options.addrs.intern(to.ip, to.port), fromHex(command.payload)!);
        return;
      }
      case "status":
        return this.#emit({
          kind: "status",
          id: command.id,
          status: {
            ...this.#sessions.counts(),
            forwarded: this.#forwarded,
            sessions: this.#sessions.status(STATUS_SESSIONS),
            drops: this.#options.drops.snapshot() as Record<string, number>,
          },
        });
      case "stop":
        this.#stopped = true;
    }
  }

  #drain(socket: UdpPort): void {
    const { drops } = this.#options;
    for (let receives = 0; receives < RECEIVES; receives++) {
      const at = this.#rx + receives * DATAGRAM_MAX;
      const bytes = socket.recv(at, DATAGRAM_MAX);
      if (bytes === -EMSGSIZE) drops.count("too-long");
      else if (bytes < 0) break;
      else if (bytes > 0) this.#datagrams(socket, at, bytes, socket.segment, socket.source);
    }
    this.#flush(this.#udp4);
    this.#flush(this.#udp6);
  }

  /** Splits what one receive gave into runs that have the same header. */
  #datagrams(socket: UdpPort, at: number, bytes: number, segment: number, source: AddrId): void {
    const { u8 } = this.#options.arena;
    const end = at + bytes;
    for (let start = at; start < end;) {
      const header = readGeneve(u8, start, Math.min(segment, end - start));
      if (header === undefined || header.control) {
        const length = Math.min(segment, end - start);
        this.#single(start, length, source, header?.protocol === GENEVE_DISCO ? header.vni : 0);
        start += length;
        continue;
      }
      let next = start + segment;
      let count = 1;
      while (
        next + GENEVE_LENGTH <= end && count < GROUP_SEGMENTS && this.#sameHeader(start, next) &&
        Math.min(next + segment, end) - start <= GROUP_BYTES
      ) {
        next += segment;
        count++;
      }
      next = Math.min(next, end);
      this.#forward(socket, source, header.vni, start, next - start, segment, count);
      start = next;
    }
  }

  #sameHeader(a: number, b: number): boolean {
    const { view } = this.#options.arena;
    return view.getUint32(a, true) === view.getUint32(b, true) && view.getUint32(a + 4) === view.getUint32(b + 4);
  }

  #forward(
    socket: UdpPort,
    source: AddrId,
    vni: number,
    start: number,
    length: number,
    segment: number,
    count: number,
  ): void {
    const { addrs, drops } = this.#options;
    const to = this.#sessions.forward(vni, source, count, length, this.#now);
    if (to === 0) return drops.count("relay-session", count);
    const family = addrs.family(to);
    if (!this.#queue(to, start, length, Math.min(segment, length))) return;
    const forwarded = this.#forwarded[(socket.family === 4 ? 0 : 2) + (family === 4 ? 0 : 1)];
    forwarded.packets += count;
    forwarded.bytes += length;
  }

  /** A datagram that is not forwarded: a handshake's in the session `vni`, STUN, or of no use. */
  #single(at: number, length: number, source: AddrId, vni: number): void {
    const { arena, addrs, drops } = this.#options;
    if (vni !== 0) {
      const message = arena.u8.slice(at + GENEVE_LENGTH, at + length);
      const reply = this.#sessions.handleControl(vni, source, message, this.#now);
      if (typeof reply === "string") drops.count(reply);
      else if (reply !== undefined) this.#send(source, reply);
    } else if (classify(arena.u8, at, length) === "stun") {
      if (!this.#stun.take(this.#now)) return drops.count("rate-limited");
      const payload = toHex(new Uint8Array(arena.u8.subarray(at, at + length)));
      this.#emit({ kind: "stun", from: addrs.text(source), payload });
    } else {
      drops.count("unknown-type");
    }
  }

  /** One datagram of our own, at once. */
  #send(to: AddrId, payload: Uint8Array): void {
    if (to === 0 || payload.length > 2048) return;
    this.#options.arena.u8.set(payload, this.#scratch);
    if (this.#queue(to, this.#scratch, payload.length, payload.length)) {
      this.#flush(this.#options.addrs.family(to) === 4 ? this.#udp4 : this.#udp6);
    }
  }

  #queue(to: AddrId, offset: number, length: number, segment: number): boolean {
    const socket = this.#options.addrs.family(to) === 4 ? this.#udp4 : this.#udp6;
    if (socket?.queue(to, offset, length, segment)) return true;
    this.#flush(socket);
    if (socket?.queue(to, offset, length, segment)) return true;
    this.#options.drops.count(socket === undefined ? "no-path" : "send-failed");
    return false;
  }

  #flush(socket: UdpPort | undefined): void {
    const failed = socket?.flush() ?? 0;
    for (let i = 0; i < failed; i++) this.#options.drops.count("send-failed");
  }
}
