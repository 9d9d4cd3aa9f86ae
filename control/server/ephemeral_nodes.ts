/**
 * The end of ephemeral nodes: removed once they have been offline for a while. (At logout, registration removes them.)
 *
 * After a restart every node counts as offline since the start, because while the server was down none could be online.
 */
import type { Scheduler, Timer } from "../../base/clock.ts";
import type { NodeView } from "./node_record.ts";
import type { Tailnet } from "./tailnet.ts";

/** Tailscale's own time. Source: https://tailscale.com/kb/1111/ephemeral-nodes. */
export const EPHEMERAL_OFFLINE_MS = 30 * 60_000;

/** One timer for each ephemeral node that is offline. */
export class EphemeralNodes {
  readonly #tailnet: Tailnet;
  readonly #scheduler: Scheduler;
  readonly #offlineMs: number;
  readonly #timers = new Map<number, Timer>();

  /** Watches the tailnet from here on, and all that is in it. */
  constructor(tailnet: Tailnet, scheduler: Scheduler, offlineMs = EPHEMERAL_OFFLINE_MS) {
    this.#tailnet = tailnet;
    this.#scheduler = scheduler;
    this.#offlineMs = offlineMs;
    for (const view of tailnet.nodes.values()) this.#look(view.record.id, view);
    tailnet.listen((changes) => {
      for (const { before, after } of changes) this.#look((after ?? before)!.record.id, after);
    });
  }

  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #look(id: number, view: NodeView | undefined): void {
    const doomed = view !== undefined && view.record.ephemeral && !view.online;
    if (!doomed) {
      this.#timers.get(id)?.cancel();
      this.#timers.delete(id);
    } else if (!this.#timers.has(id)) {
      this.#timers.set(id, this.#scheduler.after(this.#offlineMs, () => this.#remove(id)));
    }
  }

  #remove(id: number): void {
    this.#timers.delete(id);
    this.#tailnet.change(async (tx) => {
      const view = this.#tailnet.nodes.get(id);
      if (view !== undefined && view.record.ephemeral && !view.online) await tx.nodes.delete(id);
    }).catch(() => this.#look(id, this.#tailnet.nodes.get(id)));
  }
}
