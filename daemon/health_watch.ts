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
import { wantedExitNode } from "./exit_node.ts";
import { conntrackProblem, forwardingProblem } from "./forwarding.ts";
import type { Health } from "./health.ts";
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

/** A part that tells its problems by itself. */
export type ReportedProblem = DnsProblem | "agent-routing" | "agent-netfilter" | "agent-peer-relay";

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
}

/** What else is looked at. */
export type HealthSources =
  & Pick<
    BackendOptions,
    "lock" | "networks" | "readSysctl" | "addressesInTwoTailnets" | "log" | "scheduler" | "findPortal"
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
    this.#health.set(code, text !== "", now, { error: text });
  }

  /** Sets and clears what follows from the facts. */
  update(facts: BackendFacts, now: number): void {
    const { datapath } = this.#sources;
    this.#updateLock(facts, now);
    this.#updateRouter(facts, now);
    updateNodeHealth(this.#health, {
      state: facts.state,
      prefs: facts.prefs,
      keyExpired: facts.keyExpired,
      online: facts.online,
      udp4: datapath.engine.localPorts.udp4 !== 0,
      refusedProviders: datapath.engine.refusedProviders,
      relays: { map: facts.netmap?.derpMap, home: datapath.homeDerp, ...datapath.relayStatus() },
    }, now);
    this.#updatePortal(facts, now);
  }

  /** What keeps this machine from forwarding what it offers, "" for nothing. */
  forwardingProblem(prefs: Prefs): string {
    const { readSysctl, networks } = this.#sources;
    const own = networks().map(({ prefix }) => prefix.split("/")[0]);
    return forwardingProblem(prefs.AdvertiseRoutes ?? [], own, readSysctl);
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
    this.#health.set("agent-locked-out", !lock.selfSigned(netmap?.self), now, { command });
    this.#health.set("no-tailnet-lock-state-dir", lock.inMemory, now);
  }

  #updateRouter({ state, prefs, exitNode }: BackendFacts, now: number): void {
    const up = !isDown(state);
    const forwarding = up ? this.forwardingProblem(prefs) : "";
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
    const shared = beside ? this.#sources.addressesInTwoTailnets() : [];
    this.#health.set("agent-address-conflict", shared.length > 0, now, {
      error:
        `${shared.slice(0, 3).join(", ")}${shared.length > 3 ? ` and ${shared.length - 3} more` : ""}: addresses in ` +
        "two tailnets of this machine; packets go to the one whose routing rule comes first",
    });
  }
}
