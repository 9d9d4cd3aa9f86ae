/**
 * What is wrong now, from all that the node knows: brought up to date at every turn of the backend and whenever somebody
 * looks. Parts that know of a problem when it happens tell it by `problem`.
 *
 * ```
 *   facts (state, preferences, netmap, exit node) ─┐
 *   lock, data path, sysctls, networks ────────────┼─ update ──▶ Health ──▶ status, bus, metrics
 *   routing, DNS, packet filter, peer relay ─ problem ┤
 *   captive portal, asked for by portal_watch.ts ─────┘
 * ```
 */
import type { Netmap } from "../control/client/netmap.ts";
import { type DERPMap, EMPTY_DERP_MAP } from "../derp/derp_map.ts";
import { isDown } from "./backend_state.ts";
import type { BackendState } from "./backend_state.ts";
import type { BackendOptions } from "./backend_options.ts";
import type { Datapath } from "./datapath.ts";
import type { DnsProblem } from "./dns/dns.ts";
import { isExitRoute, wantedExitNode } from "./exit_node.ts";
import { conntrackProblem, forwardingProblem } from "./forwarding.ts";
import type { Health } from "./health.ts";
import { spanText } from "./key_expiry.ts";
import { hasNetwork } from "./local_networks.ts";
import type { LocalNetwork } from "./local_networks.ts";
import { updateNodeHealth } from "./node_health.ts";
import { hasCapability } from "./node_view.ts";
import { EMPTY_PERSIST } from "./persist.ts";
import { PortalWatch } from "./portal_watch.ts";
import type { Prefs } from "./prefs.ts";

/** How often addresses of two tailnets are compared. */
const CONFLICTS_INTERVAL_MS = 15_000;

const PORTAL = "captive-portal-detected";
/** tailcfg.NodeAttrDisableCaptivePortalDetection. */
const NO_PORTAL_DETECTION = "disable-captive-portal-detection";

/** How long a node that was switched on may take before that is worth a word. Source: warmingUpWarnableDuration. */
const STARTING_MS = 5_000;

/** A part that tells its problems by itself. */
export type ReportedProblem =
  | DnsProblem
  | "router"
  | "agent-netfilter"
  | "agent-peer-relay"
  | "agent-memory-low"
  | "agent-config";

/** Source: health/healthmsg (LockedOut). */
const LOCKED_OUT = "this node is locked out; it will not have connectivity until it is signed. " +
  "For more info, see https://tailscale.com/s/locked-out";
const SIGN_ON = "on a node with a trusted key, run";

/** What the backend knows. */
export interface BackendFacts {
  readonly state: BackendState;
  readonly prefs: Prefs;
  /** Stable ID of the exit node in use, "" while the one that is set is not there. */
  readonly exitNode: string | undefined;
  readonly netmap: Netmap | undefined;
  readonly keyExpired: boolean;
  /** The map poll is connected. */
  readonly online: boolean;
  /** Unix milliseconds by control's clock. */
  readonly controlNow: number;
}

/** What else is looked at. */
export type HealthSources =
  & Pick<
    BackendOptions,
    "lock" | "keyExpiry" | "networks" | "readSysctl" | "addressesInTwoTailnets" | "log" | "scheduler" | "findPortal"
  >
  & {
    readonly datapath: Datapath;
    /** The health changed by itself. */
    readonly changed: () => void;
  };

/** Keeps the health true. All times are Unix milliseconds. */
export class HealthWatch {
  readonly #health: Health;
  readonly #sources: HealthSources;
  readonly #portal: PortalWatch;
  #map: DERPMap = EMPTY_DERP_MAP;
  #conflictsAt = 0;
  /** When the node was switched on, undefined while it is off; and whether it has been Running since. */
  #wantedAt: number | undefined;
  #started = false;

  constructor(health: Health, sources: HealthSources) {
    this.#health = health;
    this.#sources = sources;
    const { scheduler, findPortal, datapath, log, changed } = sources;
    this.#portal = new PortalWatch({
      scheduler,
      find: () => findPortal(this.#map, datapath.homeDerp),
      changed: (found) => {
        log.info(found ? "a captive portal keeps this machine's packets in" : "no captive portal any more");
        health.set(PORTAL, found, scheduler.wall());
        changed();
      },
    });
  }

  close(): void {
    this.#portal.close();
  }

  /** A part's problem, or "" when it is well again. */
  problem(code: ReportedProblem, text: string, now: number): void {
    if (code === "agent-netfilter" && text !== "") this.#sources.log.warn(`netfilter: ${text}`);
    this.#health.set(code, text !== "", now, code === "router" ? { LegacyError: text } : { error: text });
  }

  /** How long until time alone changes what is shown, ms; undefined for never. */
  untilChange(now: number): number | undefined {
    const starting = this.#wantedAt === undefined ? 0 : this.#wantedAt + STARTING_MS - now;
    const waits = [this.#health.untilVisible(now) ?? 0, starting].filter((wait) => wait > 0);
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  /** Sets and clears what follows from the facts. */
  update(facts: BackendFacts, now: number): void {
    const { datapath } = this.#sources;
    const networks = this.#sources.networks();
    const recentlyOn = this.#updateStarting(facts, now);
    this.#health.set("network-status", !hasNetwork(networks), now);
    this.#updateLock(facts, now);
    this.#updateRouter(facts, networks, now);
    this.#updateKey(facts, now);
    updateNodeHealth(this.#health, {
      state: facts.state,
      prefs: facts.prefs,
      keyExpired: facts.keyExpired,
      online: facts.online,
      recentlyOn,
      udp4: datapath.engine.localPorts.udp4 !== 0,
      refusedProviders: datapath.engine.refusedProviders,
      relays: { map: facts.netmap?.derpMap, home: datapath.homeDerp, ...datapath.relayStatus() },
    }, now);
    this.#updatePortal(facts, now);
  }

  /** What keeps this machine from forwarding what it offers, "" for nothing. */
  forwardingProblem(prefs: Prefs): string {
    return this.#forwardingProblem(prefs, this.#sources.networks());
  }

  #forwardingProblem(prefs: Prefs, networks: readonly LocalNetwork[]): string {
    const own = networks.map(({ prefix }) => prefix.split("/")[0]);
    return forwardingProblem(prefs.AdvertiseRoutes ?? [], own, this.#sources.readSysctl);
  }

  #updatePortal({ state, netmap }: BackendFacts, now: number): void {
    this.#map = netmap?.derpMap ?? EMPTY_DERP_MAP;
    const wanted = state === "Running" && netmap !== undefined && !hasCapability(netmap.self, NO_PORTAL_DETECTION);
    this.#portal.update(wanted ? this.#health.impact(now, PORTAL) : undefined);
  }

  #updateLock({ netmap, prefs }: BackendFacts, now: number): void {
    const { lock } = this.#sources;
    const problem = lock.problem(netmap);
    this.#health.set("agent-tailnet-lock", problem !== "", now, { error: problem });
    const { nodeKey, lockKey } = prefs.persist ?? EMPTY_PERSIST;
    const command = `agent lock sign ${nodeKey?.public} ${lockKey?.public.cliString()}`;
    const lockedOut = prefs.WantRunning && !lock.selfSigned(netmap?.self);
    this.#health.set("tailnet-lock", lockedOut, now, { LegacyError: `${LOCKED_OUT} (${SIGN_ON}: ${command})` });
    this.#health.set("no-tailnet-lock-state-dir", lock.inMemory, now);
  }

  #updateKey({ netmap, controlNow }: BackendFacts, now: number): void {
    const notice = this.#sources.keyExpiry.look(netmap?.self, controlNow);
    if (notice?.event !== "expiring") return this.#health.clear("agent-key-expiring");
    const time = new Date(notice.expiry).toISOString();
    this.#health.warn("agent-key-expiring", now, { left: spanText(notice.leftMs), time });
  }

  /** @returns the node was switched on a moment ago. Source: health.Tracker.SetIPNState. */
  #updateStarting({ state, prefs }: BackendFacts, now: number): boolean {
    if (!prefs.WantRunning) this.#wantedAt = undefined;
    else if (this.#wantedAt === undefined) {
      this.#wantedAt = now;
      this.#started = false;
    }
    if (state === "Running") this.#started = true;
    const recentlyOn = this.#wantedAt !== undefined && now - this.#wantedAt < STARTING_MS;
    this.#health.set("warming-up", recentlyOn && !this.#started, now);
    return recentlyOn;
  }

  #updateRouter({ state, prefs, exitNode }: BackendFacts, networks: readonly LocalNetwork[], now: number): void {
    const up = !isDown(state);
    const routes = prefs.AdvertiseRoutes ?? [];
    const docker = routes.length > 0 && networks.some(({ device }) => device === "docker0");
    this.#health.set("docker-stateful-filtering", up && docker && prefs.NoStatefulFiltering === false, now);
    this.#health.set("nosnat-with-advertised-exit-node", prefs.NoSNAT && routes.some(isExitRoute), now);
    const forwarding = up ? this.#forwardingProblem(prefs, networks) : "";
    this.#health.set("ip-forwarding-off", forwarding !== "", now, { error: forwarding });
    const conntrack = up ? conntrackProblem(this.#sources.readSysctl) : "";
    this.#health.set("agent-conntrack-full", conntrack !== "", now, { error: conntrack });
    this.#updateConflicts(now);
    const wanted = wantedExitNode(prefs);
    const name = wanted === undefined ? "" : wanted.auto ? "auto:any" : wanted.ip || wanted.id;
    this.#health.set("agent-exit-node-missing", up && exitNode === "", now, { name });
  }

  /** Looked for only beside another tailnet, and not at every turn: the kernel's whole routing table is read for it. */
  #updateConflicts(now: number): void {
    const beside = (this.#sources.datapath.netfilter.state?.localUse.tunnels.length ?? 0) > 0;
    if (beside && now - this.#conflictsAt < CONFLICTS_INTERVAL_MS) return;
    this.#conflictsAt = beside ? now : 0;
    let shared: readonly string[] = [];
    try {
      if (beside) shared = this.#sources.addressesInTwoTailnets();
    } catch (cause) {
      // A warning is not worth the node; what was known stands until the next look.
      return this.#sources.log.debug(`addresses in two tailnets: ${cause instanceof Error ? cause.message : cause}`);
    }
    this.#health.set("agent-address-conflict", shared.length > 0, now, {
      error:
        `${shared.slice(0, 3).join(", ")}${shared.length > 3 ? ` and ${shared.length - 3} more` : ""}: addresses in ` +
        "two tailnets of this machine; packets go to the one whose routing rule comes first",
    });
  }
}
