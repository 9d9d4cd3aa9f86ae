/** Starts the peer relay's worker. */
import { workerUrl } from "../base/worker_url.ts";
import { Ring } from "../engine/dataplane/ring.ts";
import { RelayHost } from "../engine/peer_relay/host.ts";
import { createWake } from "../ffi/eventfd.ts";
import type { RelayWorkerMessage, RelayWorkerStart } from "./peer_relay_worker.ts";

/** Commands and events are small and rare: packets stay in the worker. */
const RING = 1 << 20;

/** What the daemon decides about its relay server. */
export interface StartPeerRelayOptions {
  /** UDP port, 0 for any. */
  readonly port: number;
  stunReceived(payload: Uint8Array, from: string): void;
  /** The worker ended by a fault. */
  failed(message: string): void;
}

/** The relay server, running. @param mark SO_MARK of its sockets, 0 for none. @throws Error with a text for the operator when the port cannot be had. */
export function startPeerRelay(options: StartPeerRelayOptions, mark = 0): Promise<RelayHost> {
  const commands = Ring.allocate(RING);
  const events = Ring.allocate(RING);
  const wake = createWake();
  const worker = new Worker(workerUrl("peerRelay"), { type: "module" });
  const stopped = Promise.withResolvers<void>();
  return new Promise((resolve, reject) => {
    let running = false;
    const end = () => {
      worker.terminate();
      stopped.resolve();
      wake.close();
    };
    const fail = (message: string) => {
      end();
      if (running) options.failed(message);
      else reject(new Error(message));
    };
    worker.onmessage = ({ data }: MessageEvent<RelayWorkerMessage>) => {
      switch (data.kind) {
        case "ready":
          running = true;
          return resolve(
            new RelayHost({
              localPorts: data.localPorts,
              commands,
              events,
              wake,
              stunReceived: options.stunReceived,
              stopped: stopped.promise,
            }),
          );
        case "failed":
          return fail(data.message);
        case "stopped":
          return end();
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      fail(event.message);
    };
    const start: RelayWorkerStart = {
      port: options.port,
      mark,
      wakeFd: wake.fd,
      commands: commands.buffer,
      events: events.buffer,
    };
    worker.postMessage(start);
  });
}
