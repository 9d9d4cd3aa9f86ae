/**
 * Takes commands and relayed packets from the ring, a few each turn: a large netmap must not delay packets, which wait
 * two or three turns.
 */
import { decodeDerp, decodeJson, RECORD_DERP } from "./records.ts";
import type { Command } from "./records.ts";
import type { DerpPacket } from "../engine.ts";
import type { Ring } from "./ring.ts";

/** Longest time commands may take of one turn, ms. */
const BUDGET_MS = 0.2;

/** Who carries out what was read. */
export interface CommandTaker {
  /** @param record what it was read from, borrowed */
  command(command: Command, record: Uint8Array): void;
  derp(packet: DerpPacket): void;
}

/** Reads the ring towards the worker. */
export class CommandReader {
  readonly #ring: Ring;
  readonly #monotonic: () => number;
  readonly #taker: CommandTaker;
  #backlog = false;
  #stopped = false;

  /** @param monotonic ms */
  constructor(ring: Ring, monotonic: () => number, taker: CommandTaker) {
    this.#ring = ring;
    this.#monotonic = monotonic;
    this.#taker = taker;
  }

  /** Some are left for the next turn. */
  get backlog(): boolean {
    return this.#backlog;
  }

  /** What comes behind this is not read any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** Reads until the ring is empty or the turn has had enough. */
  run(): void {
    const until = this.#monotonic() + BUDGET_MS;
    let more = true;
    while (more && !this.#stopped) {
      more = this.#ring.read((type, record) => {
        if (type === RECORD_DERP) this.#taker.derp(decodeDerp(record));
        else this.#taker.command(decodeJson<Command>(record), record);
      });
      if (more && this.#monotonic() > until) break;
    }
    // Or a command that took the whole budget by itself would cost a turn for nothing.
    this.#backlog = more && !this.#ring.isEmpty;
  }
}
