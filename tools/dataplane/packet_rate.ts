/**
 * The highest packet rate a tunnel carries: what one paced sender can offer with less than 1% lost.
 *
 * The rate is found by steps of a fixed ratio, up from a rate that holds or down from one that does not; each further
 * measurement starts where the last one ended, so that a round costs three or four bursts.
 */
import type { LabNamespace } from "../../tests/netlab/lab.ts";
import { innerAddress } from "./ends.ts";
import { AskedProgram } from "../../tests/netlab/line_reader.ts";

const PROGRAM = new URL("./packets_program.ts", import.meta.url).pathname;
const PORT = 7100;
/** Most that may be lost. */
const LOSS = 0.01;
/** From one rate to the next. */
const STEP = 1.06;
/** Where the first search begins, packets a second, and its step. */
const FIRST_RATE = 40_000;
const FIRST_STEP = 1.5;

/** What a tunnel carried. */
export interface RateSample {
  /** Packets a second that arrived. */
  readonly rate: number;
  /** Share of them that was lost, under 0.01. */
  readonly loss: number;
}

/** A sender at one end of a tunnel and a counter at the other. */
export class PacketRate {
  readonly #sender: AskedProgram;
  readonly #counter: AskedProgram;
  readonly #last = new Map<number, number>();

  private constructor(sender: AskedProgram, counter: AskedProgram) {
    this.#sender = sender;
    this.#counter = counter;
  }

  static async start(client: LabNamespace, server: LabNamespace): Promise<PacketRate> {
    const start = (namespace: LabNamespace, ...args: string[]) =>
      new AskedProgram(
        namespace.spawn([Deno.execPath(), "run", "-A", PROGRAM, ...args], { stdin: "piped", stdout: "piped" }),
      );
    const counter = start(server, "count", String(PORT));
    const sender = start(client, "send", innerAddress(2), String(PORT));
    await counter.line();
    await sender.line();
    return new PacketRate(sender, counter);
  }

  /** The highest rate for IP packets of `size` bytes, in bursts of `seconds`. */
  async measure(size: number, seconds: number): Promise<RateSample> {
    const known = this.#last.get(size);
    const step = known === undefined ? FIRST_STEP : STEP;
    let best: RateSample | undefined;
    let rate = known ?? FIRST_RATE;
    // The first search is coarse; what follows refines what it found.
    for (let tries = 0; tries < 24; tries++) {
      const sample = await this.send(size, rate, seconds);
      if (sample.loss < LOSS) {
        const wentDown = best === undefined && tries > 0;
        if (best === undefined || sample.rate > best.rate) best = sample;
        if (wentDown) break;
        rate *= step;
      } else if (best !== undefined) {
        break;
      } else {
        rate /= step;
      }
    }
    if (best === undefined) return { rate: 0, loss: 1 };
    this.#last.set(size, best.rate);
    return known === undefined ? await this.measure(size, seconds) : best;
  }

  /** Sends IP packets of `size` bytes at `rate` a second. */
  async send(size: number, rate: number, seconds: number): Promise<RateSample> {
    await this.#counter.ask("");
    const { sent, ms } = JSON.parse(await this.#sender.ask(`${size} ${Math.round(rate)} ${seconds}`));
    // What is still on its way arrives within this.
    await new Promise((resolve) => setTimeout(resolve, 60));
    const { received } = JSON.parse(await this.#counter.ask(""));
    // A sender that cannot keep its pace offered less than was asked for.
    return { rate: received * 1000 / ms, loss: 1 - received / sent };
  }
}
