/**
 * One measurement after another of which relays are near and what NAT is in between. All I/O is through ports.
 *
 * ```
 *   0 s        plan: STUN requests to regions, over IPv4 and IPv6, repeated until answered
 *   …          each answer: latency of its region, own address as seen from there
 *   ≤ 3 s      all sets answered, or enough regions did and the slow ones had their time, or nothing comes any more
 *              no answer at all: UDP is blocked, ask the relays over HTTPS and ICMP
 *   200 ms     in a full run that has not ended by then: is there a captive portal (captive_portal.ts)?
 *   ≤ 5 s      the report: home region from this run and the history of the last five minutes
 * ```
 * The first run, and one every five minutes, is full; those between are incremental (probe_plan.ts).
 * Source: net/netcheck.Client.GetReport.
 */
import { formatAddrPort, type IpBytes, parseAddrPort, parseIp } from "../../base/ip.ts";
import type { RandomBytes } from "../../base/keys.ts";
import type { Scheduler, Timer } from "../../base/clock.ts";
import { regionIds, regionOf } from "../../derp/derp_map.ts";
import type { DERPMap, DERPNode, DERPRegion } from "../../derp/derp_map.ts";
import { type AskWeb, findPortal, portalProbes } from "./captive_portal.ts";
import { chooseHome } from "./home_region.ts";
import { makeProbePlan } from "./probe_plan.ts";
import { ReportHistory } from "./history.ts";
import type { Report } from "./report.ts";
import { ReportBuilder } from "./report_builder.ts";
import { StunRun } from "./stun_run.ts";

/** Most time a report may take. */
const REPORT_TIMEOUT_MS = 5_000;
/** Most of it that STUN gets. */
const STUN_TIMEOUT_MS = 3_000;
/** Most of what is left then that ICMP gets. `icmpProbeTimeout` */
const ICMP_TIMEOUT_MS = 1_000;
/** Between full runs. */
const FULL_INTERVAL_MS = 300_000;
/** What STUN gets before web servers are asked about captive portals. `captivePortalDelay` */
const PORTAL_DELAY_MS = 200;
/** Regions whose answers end a run early. */
const ENOUGH_REGIONS = 3;

/** What a netcheck needs from the machine. */
export interface NetcheckPorts {
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** Sends from the engine's own UDP socket, so that what is learnt is the mapping of that socket. `to` is `ip:port`. */
  sendStun(to: string, payload: Uint8Array): void;
  /** Subscribes to STUN answers; the result unsubscribes. */
  onStun(handler: (payload: Uint8Array, from: string) => void): () => void;
  /** Addresses of one family; rejects or gives none when there are none. */
  resolve(host: string, family: 4 | 6): Promise<readonly string[]>;
  /** Milliseconds of `GET /derp/latency-check` over a fresh TLS connection to the node, or undefined. */
  httpsLatency(region: DERPRegion, node: DERPNode, timeoutMs: number): Promise<number | undefined>;
  /** Milliseconds of an ICMP echo, undefined when none came back. Where it is absent ICMP is not tried. */
  readonly icmpLatency?: (ip: IpBytes, timeoutMs: number) => Promise<number | undefined>;
  /** Which port mapping services the router has. Where it is absent they are not looked for. Never rejects. */
  readonly portmap?: () => Promise<{ readonly upnp: boolean; readonly pmp: boolean; readonly pcp: boolean }>;
  /** Asks a web server past all proxies. Where it is absent captive portals are not looked for. */
  readonly askWeb?: AskWeb;
  /** Whether the machine has an address of each family that could reach the Internet, and IPv6 at all. */
  localFamilies(): { readonly v4: boolean; readonly v6: boolean; readonly osHasIpv6: boolean };
}

/** How one run differs from the usual. */
export interface NetcheckOptions {
  /** Probe all regions, whatever is known. */
  readonly full?: boolean;
  /** Wait for all regions instead of the first three. */
  readonly verbose?: boolean;
  /** Unix milliseconds a DERP frame last came from a region, 0 for never (`DerpPool.lastFrame`). */
  readonly lastDerpActivity?: (region: number) => number;
  /** A region to make home whenever it is reachable. */
  readonly forcedDerp?: number;
}

/** Runs netchecks and remembers the last five minutes of them. */
export class Netcheck {
  readonly #ports: NetcheckPorts;
  readonly #history = new ReportHistory();
  readonly #lastGood = new Map<string, readonly string[]>();
  #lastFull = -Infinity;
  #running: Promise<Report> | undefined;

  constructor(ports: NetcheckPorts) {
    this.#ports = ports;
  }

  /** The report before, if any. */
  get last(): Report | undefined {
    return this.#history.last;
  }

  /** Makes a report within five seconds. A call while a run is going on joins that run. Never rejects. */
  run(map: DERPMap, options: NetcheckOptions = {}): Promise<Report> {
    return this.#running ??= this.#report(map, options).finally(() => this.#running = undefined);
  }

  /** Forgets what was measured: the machine is in another network, where it says nothing. The home is remembered. */
  networkChanged(): void {
    this.#lastFull = -Infinity;
    this.#history.forgetLatencies();
  }

  async #report(map: DERPMap, options: NetcheckOptions): Promise<Report> {
    const { scheduler } = this.#ports;
    const start = scheduler.monotonic();
    const startedAt = scheduler.wall();
    const local = this.#ports.localFamilies();
    const before = this.#history.last;
    // What a captive portal lets through says little: each run is full until it is gone.
    const captive = before?.captivePortal === true && !before.udp;
    const full = options.full === true || captive || start - this.#lastFull >= FULL_INTERVAL_MS;
    if (full) this.#lastFull = start;
    const last = full ? undefined : before;
    const previous = before?.preferredDerp ?? 0;

    const builder = new ReportBuilder(local.osHasIpv6);
    const portmap = this.#ports.portmap?.();
    const portal = last === undefined ? this.#lookForPortal(map, previous) : undefined;
    const plan = makeProbePlan(map, local, last, previous);
    await new StunRun({
      ports: this.#ports,
      builder,
      plan,
      incremental: last !== undefined && last.regionLatency.size > 0,
      enoughRegions: options.verbose ? Infinity : ENOUGH_REGIONS,
      timeoutMs: STUN_TIMEOUT_MS,
      address: (node, family) => this.#address(node, family),
    }).finished;
    if (builder.udp && !options.verbose) portal?.spare();
    if (!builder.udp) {
      const left = REPORT_TIMEOUT_MS - (scheduler.monotonic() - start);
      await Promise.all([
        this.#askByHttps(map, builder, left),
        this.#askByIcmp(map, builder, Math.min(left, ICMP_TIMEOUT_MS)),
      ]);
    }

    const captivePortal = await portal?.found;
    const measured = builder.finish(scheduler.wall());
    const recent = this.#history.bestLatencies(scheduler.monotonic(), measured.regionLatency);
    const preferredDerp = chooseHome({
      previous,
      startedAt,
      now: scheduler.wall(),
      current: measured.regionLatency,
      recent,
      score: (region) => map.HomeParams?.RegionScore?.[region] ?? 1,
      eligible: (region) => mayBeHome(regionOf(map, region)),
      lastActivity: (region) => options.lastDerpActivity?.(region) ?? 0,
      forced: options.forcedDerp,
    });
    const report = { ...measured, ...await portmap, captivePortal, preferredDerp };
    this.#history.add(scheduler.monotonic(), report);
    return report;
  }

  /** `spare` leaves it be unless it has begun; `found` is undefined then. Source: feature/captiveportal/netcheckhook. */
  #lookForPortal(
    map: DERPMap,
    home: number,
  ): { readonly found: Promise<boolean | undefined>; spare(): void } | undefined {
    const { scheduler, askWeb } = this.#ports;
    if (askWeb === undefined) return undefined;
    let timer: Timer | undefined;
    let give: (found: Promise<boolean> | undefined) => void = () => {};
    const found = new Promise<boolean | undefined>((resolve) => give = resolve);
    timer = scheduler.after(PORTAL_DELAY_MS, () => {
      timer = undefined;
      give(findPortal(portalProbes(map, home), { scheduler, askWeb }));
    });
    const spare = () => {
      if (timer === undefined) return;
      timer.cancel();
      give(undefined);
    };
    return { found, spare };
  }

  /** Where to send a STUN request, or undefined when the node has no such address. */
  async #address(node: DERPNode, family: 4 | 6): Promise<string | undefined> {
    const literal = node.STUNTestIP || (family === 4 ? node.IPv4 : node.IPv6) || node.HostName;
    const found = parseIp(literal) === undefined ? await this.#resolve(node.HostName, family) : [literal];
    for (const text of found) {
      const ip = parseIp(text);
      if (ip?.length === (family === 4 ? 4 : 16)) return formatAddrPort({ ip, port: node.STUNPort || 3478 });
    }
    return undefined;
  }

  /** A name that does not resolve now may well be where it was. */
  async #resolve(host: string, family: 4 | 6): Promise<readonly string[]> {
    const key = `${family} ${host}`;
    try {
      const found = await this.#ports.resolve(host, family);
      if (found.length > 0) this.#lastGood.set(key, found);
      return found.length > 0 ? found : this.#lastGood.get(key) ?? [];
    } catch {
      return this.#lastGood.get(key) ?? [];
    }
  }

  /** Asks the first node of every region at once, over IPv4. Source: netcheck.measureAllICMPLatency. */
  async #askByIcmp(map: DERPMap, builder: ReportBuilder, timeoutMs: number): Promise<void> {
    const { icmpLatency } = this.#ports;
    if (icmpLatency === undefined) return;
    await Promise.all(
      regionIds(map).map((id) => regionOf(map, id)!).filter(mayBeHome).map(async (region) => {
        const [node] = region.Nodes;
        const to = (node.STUNPort ?? 0) < 0 ? undefined : await this.#address(node, 4);
        const ip = to === undefined ? undefined : parseAddrPort(to)?.ip;
        const ms = ip === undefined ? undefined : await icmpLatency(ip, timeoutMs).catch(() => undefined);
        if (ms !== undefined) builder.icmp(region.RegionID, ms);
      }),
    );
  }

  /** Asks every region that may be home, all at once, until the time is over. */
  async #askByHttps(map: DERPMap, builder: ReportBuilder, timeoutMs: number): Promise<void> {
    const { scheduler } = this.#ports;
    const end = scheduler.monotonic() + timeoutMs;
    let timeUp = () => {};
    const over = new Promise<void>((resolve) => timeUp = resolve);
    const timer = scheduler.after(timeoutMs, timeUp);
    const asked = regionIds(map).map((id) => regionOf(map, id)!).filter(mayBeHome).map(async (region) => {
      const relays = region.Nodes.filter((node) => !node.STUNOnly);
      for (const [i, node] of relays.entries()) {
        const share = (end - scheduler.monotonic()) / (relays.length - i);
        if (share <= 0) return;
        const ms = await this.#ports.httpsLatency(region, node, share).catch(() => undefined);
        if (ms === undefined) continue;
        if (scheduler.monotonic() < end) builder.https(region.RegionID, node, ms);
        return;
      }
    });
    await Promise.race([Promise.all(asked), over]);
    timer.cancel();
  }
}

function mayBeHome(region: DERPRegion | undefined): boolean {
  return region !== undefined && !region.Avoid && !region.NoMeasureNoHome &&
    region.Nodes.some((node) => !node.STUNOnly);
}
