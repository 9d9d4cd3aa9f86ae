/**
 * Entry of the peer relay's worker: makes the ports from `ffi/`, says it is ready, and forwards until it is told to stop.
 * From then on this thread never returns to its event loop.
 */
import { randomBytes } from "node:crypto";
import { DropCounters } from "../base/drops.ts";
import { DiscoPrivate } from "../base/keys.ts";
import type { RandomBytes } from "../base/keys.ts";
import { Ring } from "../engine/dataplane/ring.ts";
import { Forwarder, FORWARDER_BYTES } from "../engine/peer_relay/forwarder.ts";
import type { UdpPort } from "../engine/ports.ts";
import { createArena } from "../ffi/arena.ts";
import { attachWake } from "../ffi/eventfd.ts";
import { createPoll } from "../ffi/poll.ts";
import { createAddrTable } from "../ffi/sockaddr.ts";
import { createUdp } from "../ffi/udp.ts";

/** What the daemon tells the worker to begin with. */
export interface RelayWorkerStart {
  /** Wanted UDP port, 0 lets the kernel choose. */
  readonly port: number;
  /** SO_MARK of its sockets. */
  readonly mark: number;
  readonly wakeFd: number;
  readonly commands: SharedArrayBuffer;
  readonly events: SharedArrayBuffer;
}

/** What the worker says. */
export type RelayWorkerMessage =
  | { readonly kind: "ready"; readonly localPorts: { readonly udp4: number; readonly udp6: number } }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "stopped" };

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<RelayWorkerStart>) => void) | null;
  postMessage(message: RelayWorkerMessage): void;
};

const random: RandomBytes = (length) => new Uint8Array(randomBytes(length));
/** The address table and message headers beside the buffers. */
const PORTS_BYTES = 16 << 20;

function start({ port, mark, wakeFd, commands, events }: RelayWorkerStart): void {
  const arena = createArena(FORWARDER_BYTES + PORTS_BYTES);
  const addrs = createAddrTable(arena);
  const udp4 = createUdp({ arena, addrs, family: 4, port, mark });
  let udp6: UdpPort | undefined;
  // One port in both families, as firewalls are opened for.
  for (const port6 of [udp4.port, 0]) {
    try {
      udp6 ??= createUdp({ arena, addrs, family: 6, port: port6 });
    } catch {
      // A port that is taken gives way to any; a family the host does not have is left out.
    }
  }
  const forwarder = new Forwarder({
    arena,
    addrs,
    sockets: { udp4, udp6 },
    poll: createPoll(arena),
    wake: attachWake(wakeFd),
    commands: new Ring(commands),
    events: new Ring(events),
    drops: new DropCounters(),
    disco: DiscoPrivate.generate(random),
    random,
    monotonic: () => performance.now(),
  });
  scope.postMessage({ kind: "ready", localPorts: forwarder.localPorts });
  // The message leaves before this thread blocks for good.
  setTimeout(() => {
    try {
      forwarder.run();
      forwarder.close();
      scope.postMessage({ kind: "stopped" });
    } catch (error) {
      fail(error);
    }
  }, 0);
}

function fail(error: unknown): void {
  scope.postMessage({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
}

scope.onmessage = ({ data }) => {
  try {
    start(data);
  } catch (error) {
    fail(error);
  }
};
