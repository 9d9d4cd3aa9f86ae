/**
 * The STUN part of one netcheck: sends the plan's requests at their times and takes the answers in.
 *
 * A set of probes is over with its first answer, when its next probe would tell nothing new, or when none of its nodes
 * has an address. The run is over when all sets are, at the time-out, or when enough regions have answered and the
 * others had as long as the slowest of those (twice as long in a full run).
 */
import { toHex } from "../../base/bytes.ts";
import type { Timer } from "../../base/clock.ts";
import type { DERPNode } from "../../derp/derp_map.ts";
import { encodeStunRequest, parseStunResponse, STUN_TRANSACTION_LENGTH } from "../../derp/stun.ts";
import type { NetcheckPorts } from "./netcheck.ts";
import type { Family, Probe, ProbeSet } from "./probe_plan.ts";
import type { ReportBuilder } from "./report_builder.ts";

/** What a run needs. */
export interface StunRunOptions {
  readonly ports: Pick<NetcheckPorts, "scheduler" | "random" | "sendStun" | "onStun">;
  readonly builder: ReportBuilder;
  readonly plan: readonly ProbeSet[];
  readonly incremental: boolean;
  readonly enoughRegions: number;
  readonly timeoutMs: number;
  /** `ip:port` of a node's STUN server, or undefined when it has none of the family. Never rejects. */
  readonly address: (node: DERPNode, family: Family) => Promise<string | undefined>;
}

interface OpenSet {
  readonly set: ProbeSet;
  /** Probes neither sent nor found to have no address. */
  unsent: number;
  sent: boolean;
  timers: Timer[];
}

/** A run; it starts at once. */
export class StunRun {
  /** Resolves when the run is over. Never rejects. */
  readonly finished: Promise<void>;
  readonly #options: StunRunOptions;
  readonly #open = new Set<OpenSet>();
  readonly #inFlight = new Map<string, { readonly open: OpenSet; readonly to: string; readonly sentAt: number }>();
  readonly #addresses = new Map<string, Promise<string | undefined>>();
  readonly #unsubscribe: () => void;
  #timers: Timer[] = [];
  #enough = false;
  #finish!: () => void;

  constructor(options: StunRunOptions) {
    this.#options = options;
    this.finished = new Promise((resolve) => this.#finish = resolve);
    const { ports, plan, timeoutMs } = options;
    this.#unsubscribe = ports.onStun((payload) => this.#answer(payload));
    this.#timers.push(ports.scheduler.after(timeoutMs, () => this.#end()));
    for (const set of plan) this.#open.add({ set, unsent: set.probes.length, sent: false, timers: [] });
    for (const open of [...this.#open]) {
      open.timers = open.set.probes.map((probe) =>
        ports.scheduler.after(probe.delayMs, () => this.#probe(open, probe))
      );
    }
    if (this.#open.size === 0) this.#end();
  }

  #end(): void {
    this.#unsubscribe();
    for (const timer of this.#timers) timer.cancel();
    for (const open of [...this.#open]) this.#close(open);
    this.#inFlight.clear();
    this.#finish();
  }

  #close(open: OpenSet): void {
    for (const timer of open.timers) timer.cancel();
    this.#open.delete(open);
  }

  #done(open: OpenSet): void {
    this.#close(open);
    if (this.#open.size === 0) this.#end();
  }

  async #probe(open: OpenSet, { node }: Probe): Promise<void> {
    const { ports, builder } = this.#options;
    const { region, family } = open.set;
    if (!builder.wouldHelp(region, family)) return this.#done(open);
    const to = await this.#address(node, family);
    if (!this.#open.has(open)) return;
    open.unsent--;
    if (to === undefined) {
      if (open.unsent === 0 && !open.sent) this.#done(open);
      return;
    }
    const transaction = ports.random(STUN_TRANSACTION_LENGTH);
    this.#inFlight.set(toHex(transaction), { open, to, sentAt: ports.scheduler.monotonic() });
    open.sent = true;
    builder.sent(family);
    ports.sendStun(to, encodeStunRequest(transaction));
  }

  #address(node: DERPNode, family: Family): Promise<string | undefined> {
    const key = `${family} ${node.Name}`;
    const known = this.#addresses.get(key) ?? this.#options.address(node, family);
    this.#addresses.set(key, known);
    return known;
  }

  #answer(payload: Uint8Array): void {
    const response = parseStunResponse(payload);
    if (response === undefined) return;
    const id = toHex(response.transaction);
    const probe = this.#inFlight.get(id);
    if (probe === undefined) return;
    this.#inFlight.delete(id);
    const { ports, builder } = this.#options;
    const { open, to, sentAt } = probe;
    builder.stun(open.set.region, to, response.mapped, ports.scheduler.monotonic() - sentAt);
    if (this.#open.has(open)) this.#done(open);
    if (this.#open.size > 0) this.#endSoon();
  }

  /** With enough regions known, gives the rest as long as these took. */
  #endSoon(): void {
    const { ports, builder, enoughRegions, incremental } = this.#options;
    if (this.#enough || builder.regions < enoughRegions) return;
    this.#enough = true;
    const wait = builder.slowestMs * (incremental ? 1 : 2);
    this.#timers.push(ports.scheduler.after(wait, () => this.#end()));
  }
}
