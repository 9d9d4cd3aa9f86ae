/**
 * Entry of the data-plane worker: makes the ports from `ffi/`, says it is ready, and runs the plane until it is told
 * to stop. From then on this thread never returns to its event loop.
 */
import { randomBytes } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { DropCounters } from "../base/drops.ts";
import { DiscoPrivate } from "../base/keys.ts";
import type { RandomBytes } from "../base/keys.ts";
import type { WorkerFacts } from "../engine/dataplane/host.ts";
import { createKernels } from "../engine/dataplane/packet_kernels.ts";
import { Plane } from "../engine/dataplane/plane.ts";
import { Ring } from "../engine/dataplane/ring.ts";
import type { UdpPort } from "../engine/ports.ts";
import { createTimestamps } from "../engine/wg/tai64n.ts";
import { AeadPool } from "../ffi/aead_pool.ts";
import type { AeadPoolShare } from "../ffi/aead_pool.ts";
import { createArena } from "../ffi/arena.ts";
import { selectProvider } from "../ffi/crypto_provider.ts";
import { attachWake } from "../ffi/eventfd.ts";
import { createCpuClock } from "../ffi/cpu_clock.ts";
import { createPoll } from "../ffi/poll.ts";
import { createAddrTable } from "../ffi/sockaddr.ts";
import { createTun } from "../ffi/tun.ts";
import { createUdp } from "../ffi/udp.ts";
import { timestampBounds } from "./timestamp_ceiling.ts";
import { UdpPortChoice } from "./udp_port.ts";

/** What the daemon tells the worker to begin with. */
export interface WorkerStart {
  readonly tunName: string;
  /** Wanted UDP port; 0, or a port that is taken, lets the kernel choose. */
  readonly port: number;
  /** SO_MARK of its sockets. */
  readonly mark: number;
  readonly wakeFd: number;
  readonly commands: SharedArrayBuffer;
  readonly events: SharedArrayBuffer;
  readonly arenaBytes: number;
  /** Of `TimestampCeiling`. */
  readonly timestamps: SharedArrayBuffer;
  /** `AGENT_CRYPTO`. */
  readonly crypto: string | undefined;
  /** Crypto helpers will join. */
  readonly helpers: boolean;
}

/** What the worker says. */
export type WorkerMessage =
  | { readonly kind: "ready"; readonly facts: WorkerFacts; readonly pool: AeadPoolShare | undefined }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "stopped" };

const daemon = parentPort!;
const say = (message: WorkerMessage) => daemon.postMessage(message);

const random: RandomBytes = (length) => new Uint8Array(randomBytes(length));

function start(options: WorkerStart): void {
  const arena = createArena(options.arenaBytes);
  const addrs = createAddrTable(arena);
  const { provider: single, tried } = selectProvider({ arena, force: options.crypto });
  const pool = options.helpers ? new AeadPool(arena, single) : undefined;
  const provider = pool ?? single;
  const tun = createTun({ arena, name: options.tunName });
  const disco = DiscoPrivate.generate(random);
  const choice = new UdpPortChoice(options.port);
  const open = (family: 4 | 6, candidates: readonly number[]): UdpPort | undefined => {
    for (const port of candidates) {
      try {
        return createUdp({ arena, addrs, family, port, mark: options.mark });
      } catch {
        // A port that is taken gives way to the next; a family the host does not have is left out.
      }
    }
    return undefined;
  };
  const openSockets = (anyPort: boolean) => {
    const candidates = choice.candidates(anyPort);
    const udp4 = open(4, candidates);
    if (udp4 !== undefined) choice.bound(anyPort, udp4.port);
    // Both families on one port, as peers and firewalls expect.
    return { udp4, udp6: open(6, udp4 === undefined ? candidates : [udp4.port, 0]) };
  };
  const kernels = createKernels(arena, arena.memory);
  const plane = new Plane({
    arena,
    kernels,
    addrs,
    tun,
    openSockets,
    portIsNamed: options.port !== 0,
    provider,
    disco,
    random,
    poll: createPoll(arena),
    wake: attachWake(options.wakeFd),
    commands: new Ring(options.commands),
    events: new Ring(options.events),
    drops: new DropCounters(),
    timestamp: createTimestamps(() => Date.now(), timestampBounds(options.timestamps)),
    monotonic: () => performance.now(),
    cpuTime: createCpuClock(arena),
    wall: () => Date.now(),
  });
  const facts: WorkerFacts = {
    discoKey: disco.public.hex,
    tunName: tun.name,
    localPorts: plane.localPorts,
    cryptoProvider: provider.name,
    refusedProviders: tried,
    offloads: plane.offloads,
  };
  say({ kind: "ready", facts, pool: pool?.share });
  // The message leaves before this thread blocks for good.
  setTimeout(() => {
    try {
      plane.run();
      plane.close();
      tun.close();
      say({ kind: "stopped" });
    } catch (error) {
      say({
        kind: "failed",
        message: error instanceof Error ? error.stack ?? error.message : String(error),
      });
    }
  }, 0);
}

daemon.on("message", (data: WorkerStart) => {
  try {
    start(data);
  } catch (error) {
    say({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  }
});
