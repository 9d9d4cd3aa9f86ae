/**
 * DNS of the node: what the netmap says becomes what the resolver answers and what the machine is told.
 *
 * ```
 *   backend ──configure──▶ plan ─┬─▶ resolver ◀── listener (100.100.100.100)
 *                                └─▶ configurator (resolved, resolvconf, resolv.conf)
 *   backend ──down──▶ no plan, no listener, the machine as it was
 * ```
 * The machine is told one thing after another, and of several that wait only the last. What failed is tried again, after
 * longer and longer.
 */
import type { Scheduler, Timer } from "../../base/clock.ts";
import type { IpBytes } from "../../base/ip.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { encodeQuery, MAX_UDP_RESPONSE } from "../../base/dns_message.ts";
import type { NodeView } from "../node_view.ts";
import type { Log } from "../log.ts";
import { DnsListener } from "./dns_listener.ts";
import { Forwarder } from "./forwarder.ts";
import type { DnsTransport } from "./forwarder.ts";
import type { DnsConfigurator } from "./os/configurator.ts";
import { isNothing } from "./os/configurator.ts";
import type { ResolvConf } from "./os/resolv_conf.ts";
import { canonicalName } from "./names.ts";
import { NO_SYSTEM_DNS, planDns } from "./plan.ts";
import type { DnsPlan, SystemDns } from "./plan.ts";
import { Resolver } from "./resolver.ts";
import type { Resolved } from "./resolver.ts";

/** What can be wrong; codes of health warnings. */
export type DnsProblem =
  | "agent-dns-service"
  | "dns-set-os-config-failed"
  | "resolv-conf-overwritten"
  | "dns-forward-failing";

/** The machine as DNS needs it; `os/system.ts` is the real one. */
export interface DnsSystem {
  /** Looks at the machine, puts back what an earlier run left, and chooses how to tell it. @throws Error */
  open(events: DnsSystemEvents): Promise<DnsConfigurator>;
}

/** What the machine tells us. */
export interface DnsSystemEvents {
  /** What keeps the settings from working as they are meant to, "" when all is well again. */
  notIdeal(text: string): void;
  /** What the machine had before us is another now. */
  baseChanged(): void;
  /** What the machine was told is gone: it has to be told again. */
  forgotten(): void;
}

/** What it is made of. */
export interface DnsOptions {
  readonly system: DnsSystem;
  readonly transport: DnsTransport;
  /** Addresses of this machine to answer at; empty for none. */
  readonly serviceAddresses: readonly string[];
  readonly mayAsk: (address: string) => boolean;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
  /** "" when it is well again. */
  readonly problem: (code: DnsProblem, text: string) => void;
}

/** What it is to do. */
export interface DnsWish {
  readonly view: NodeView;
  readonly acceptDns: boolean;
  readonly exitNode: boolean;
}

/** What `dns status` shows of the machine. */
export interface DnsStatus {
  readonly mode: string;
  readonly why: string;
  /** What the machine has been told by us. */
  readonly told: SystemDns;
  readonly counts: Readonly<Record<string, number>>;
}

const NO_BASE: ResolvConf = { nameservers: [], searchDomains: [] };
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 60_000;

/** DNS of the node; down until configured. */
export class Dns {
  readonly #options: DnsOptions;
  readonly #resolver: Resolver;
  readonly #listener: DnsListener;
  #opening: Promise<DnsConfigurator | undefined> | undefined;
  #configurator: DnsConfigurator | undefined;
  #wish: DnsWish | undefined;
  #told: SystemDns = NO_SYSTEM_DNS;
  #working: Promise<void> | undefined;
  #again = false;
  #forgotten = false;
  /** Setting failed on the way: how much of it the machine has is not known. */
  #unsure = false;
  /** What the machine had before us when it was last asked; until it answers again the resolver goes by this. */
  #base: ResolvConf = NO_BASE;
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  /** Of the last attempt, "" when it went well. */
  #failure = "";
  #closed = false;

  constructor(options: DnsOptions) {
    this.#options = options;
    const { transport, scheduler, random, problem } = options;
    const failing = (servers: string | undefined) =>
      problem("dns-forward-failing", this.#wish?.acceptDns && servers !== undefined ? servers : "");
    const forwarder = new Forwarder({ transport, scheduler, random, failing });
    this.#resolver = new Resolver(forwarder, () => scheduler.wall());
    this.#listener = new DnsListener({
      addresses: options.serviceAddresses,
      mayAsk: options.mayAsk,
      answer: async (query, by) => (await this.#resolver.resolve(query, by))?.bytes,
      scheduler,
      problem: (text) => problem("agent-dns-service", text),
    });
  }

  /** Looks at the machine and puts back what an earlier run left. Never rejects. */
  async start(): Promise<void> {
    await this.#open();
  }

  /** What is wanted from now on. */
  configure(wish: DnsWish): void {
    if (this.#closed) return;
    const old = this.#wish;
    this.#wish = wish;
    const same = old?.view.netmap === wish.view.netmap && old.view.peers === wish.view.peers &&
      old.acceptDns === wish.acceptDns && old.exitNode === wish.exitNode;
    if (same) return;
    this.#listener.open();
    this.#refresh();
  }

  /** Nothing from now on: the machine is as it was. */
  down(): void {
    if (this.#wish === undefined) return;
    this.#wish = undefined;
    this.#base = NO_BASE;
    this.#resolver.setPlan(undefined);
    this.#listener.close();
    this.#refresh();
  }

  /** Puts the machine back and closes all sockets. Never rejects. */
  async close(): Promise<void> {
    this.down();
    this.#closed = true;
    await this.#idle();
    this.#retry?.cancel();
    await this.#configurator?.close().catch((cause) => this.#failed(cause));
  }

  /** Asks the resolver as a program would; undefined for a name nobody can ask for. */
  async query(name: string, type: number): Promise<Resolved | undefined> {
    const id = this.#options.random(2);
    const wire = encodeQuery(id[0] << 8 | id[1], name, type, MAX_UDP_RESPONSE);
    return wire === undefined ? undefined : await this.#resolver.resolve(wire, "tcp");
  }

  /** Addresses of a node, or of a record that control added, by its whole name or its first label. */
  tailnetName(text: string): readonly IpBytes[] | undefined {
    const name = canonicalName(text);
    const suffix = canonicalName(this.#wish?.view.magicDnsSuffix ?? "");
    // The machine itself is asked by its own name, in its own files.
    if (suffix === "" || name === "" || name === "localhost" || name.endsWith(".localhost")) return undefined;
    const names = name.includes(".") ? [name] : [`${name}.${suffix}`, name];
    return names.map((one) => this.#resolver.addresses(one)).find((addresses) => addresses.length > 0);
  }

  /** What the machine had before us. @throws Error */
  async base(): Promise<ResolvConf> {
    return await (await this.#open())?.base() ?? NO_BASE;
  }

  /** How the machine is told, why so, and of what. */
  async status(): Promise<DnsStatus> {
    const chosen = (await this.#open())?.chosen ?? { mode: "none", why: "the machine's DNS settings cannot be read" };
    await this.#idle();
    return { mode: chosen.mode, why: chosen.why, told: this.#told, counts: { ...this.#resolver.counts } };
  }

  /** The machine has been told all there is. */
  async #idle(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  #open(): Promise<DnsConfigurator | undefined> {
    this.#opening ??= (async () => {
      const { system, log, problem } = this.#options;
      try {
        this.#configurator = await system.open({
          notIdeal: (text) => problem("resolv-conf-overwritten", text),
          baseChanged: () => this.#refresh(),
          forgotten: () => {
            this.#forgotten = true;
            this.#refresh();
          },
        });
        log.info(`dns: ${this.#configurator.chosen.mode}: ${this.#configurator.chosen.why}`);
      } catch (cause) {
        // Whoever wants it next tries again.
        this.#opening = undefined;
        this.#failed(cause);
      }
      return this.#configurator;
    })();
    return this.#opening;
  }

  /** Plans at once what needs nothing of the machine, and tells the machine as soon as it listens. */
  #refresh(): void {
    const wish = this.#wish;
    if (wish !== undefined) this.#resolver.setPlan(this.#plan(wish, this.#base));
    if (this.#working !== undefined) {
      this.#again = true;
      return;
    }
    this.#working = this.#work().finally(() => {
      this.#working = undefined;
      if (this.#again) {
        this.#again = false;
        this.#refresh();
      }
    });
  }

  async #work(): Promise<void> {
    this.#retry?.cancel();
    const configurator = await this.#open();
    if (configurator === undefined) return;
    if (this.#forgotten) this.#told = NO_SYSTEM_DNS;
    this.#forgotten = false;
    try {
      const needsBase = this.#wish?.acceptDns === true && !configurator.splits;
      this.#base = needsBase ? await configurator.base() : NO_BASE;
      const wish = this.#wish;
      if (wish !== undefined && needsBase) this.#resolver.setPlan(this.#plan(wish, this.#base));
      const system = wish === undefined ? NO_SYSTEM_DNS : this.#plan(wish, this.#base).system;
      const changed = JSON.stringify(system) !== JSON.stringify(this.#told);
      if (this.#unsure || (changed && !(isNothing(system) && isNothing(this.#told)))) {
        this.#unsure = true;
        await configurator.set(system);
        this.#unsure = false;
      }
      this.#told = configurator.chosen.mode === "none" ? NO_SYSTEM_DNS : system;
      this.#options.problem("dns-set-os-config-failed", "");
      this.#failure = "";
      this.#retryMs = FIRST_RETRY_MS;
    } catch (cause) {
      this.#failed(cause);
    }
  }

  #plan(wish: DnsWish, base: ResolvConf): DnsPlan {
    const { serviceAddresses } = this.#options;
    return planDns(wish.view, wish.view.netmap.dns, {
      acceptDns: wish.acceptDns && serviceAddresses.length > 0,
      exitNode: wish.exitNode,
      splits: this.#configurator?.splits === true,
      // Ourselves we never ask.
      base: { ...base, nameservers: base.nameservers.filter((address) => !serviceAddresses.includes(address)) },
      serviceAddresses,
    });
  }

  #failed(cause: unknown): void {
    const text = cause instanceof Error ? cause.message : String(cause);
    if (text !== this.#failure) this.#options.log.warn(`dns: ${text}`);
    this.#failure = text;
    this.#options.problem("dns-set-os-config-failed", text);
    this.#retry?.cancel();
    if (this.#closed) return;
    this.#retry = this.#options.scheduler.after(this.#retryMs, () => this.#refresh());
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }
}
