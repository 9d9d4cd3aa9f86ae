/**
 * Asks whether a captive portal is what keeps a running node from being reached.
 *
 * ```
 *            impacted              2 s                answered
 *   well ──────────────▶ waiting ───────▶ asking ◀───────────────▶ asked
 *    ▲                      ▲                       after a minute   │
 *    │                      └──── something else is wrong now ───────┤
 *    └───────────── well again, or not up (from everywhere) ─────────┘
 * ```
 * Impacted is what another warning says it does to connectivity. What was found stands until the next answer, or until
 * nothing is impacted any more: who reaches relays and peers is behind no portal. Unlike upstream it is asked again
 * without any news, so that a portal that comes later is seen too. Source: feature/captiveportal.
 */
import type { Scheduler, Timer } from "../base/clock.ts";

/** How long something must have been wrong. `captivePortalDetectionInterval` */
const DETECTION_DELAY_MS = 2_000;
const AGAIN_MS = 60_000;

/** What a watch works with. */
export interface PortalWatchOptions {
  readonly scheduler: Scheduler;
  /** Never rejects. */
  readonly find: () => Promise<boolean>;
  /** What was found is another thing than before. */
  readonly changed: (found: boolean) => void;
}

type Phase =
  | { readonly kind: "well" }
  | { readonly kind: "waiting"; readonly timer: Timer }
  | { readonly kind: "asking" }
  | { readonly kind: "asked"; readonly impact: string; readonly timer: Timer };

/** The watch; well at first. */
export class PortalWatch {
  readonly #options: PortalWatchOptions;
  #phase: Phase = { kind: "well" };
  #found = false;

  constructor(options: PortalWatchOptions) {
    this.#options = options;
  }

  /** @param impact what is wrong with connectivity, undefined for nothing, or where nothing is to be looked for. */
  update(impact: string | undefined): void {
    if (impact === undefined) {
      this.#become({ kind: "well" });
      this.#tell(false);
    } else if (this.#phase.kind === "well" || (this.#phase.kind === "asked" && this.#phase.impact !== impact)) {
      this.#wait(impact);
    }
  }

  close(): void {
    this.#become({ kind: "well" });
  }

  #become(phase: Phase): void {
    if ("timer" in this.#phase) this.#phase.timer.cancel();
    this.#phase = phase;
  }

  #wait(impact: string): void {
    const timer = this.#options.scheduler.after(DETECTION_DELAY_MS, () => void this.#ask(impact));
    this.#become({ kind: "waiting", timer });
  }

  async #ask(impact: string): Promise<void> {
    const asking: Phase = { kind: "asking" };
    this.#become(asking);
    const found = await this.#options.find();
    // It went well meanwhile, and perhaps wrong again.
    if (this.#phase !== asking) return;
    const timer = this.#options.scheduler.after(AGAIN_MS, () => void this.#ask(impact));
    this.#become({ kind: "asked", impact, timer });
    this.#tell(found);
  }

  #tell(found: boolean): void {
    if (found === this.#found) return;
    this.#found = found;
    this.#options.changed(found);
  }
}
