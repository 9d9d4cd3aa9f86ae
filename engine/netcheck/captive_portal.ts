/**
 * Is there a captive portal: a network that answers web requests in others' names until somebody has agreed to its terms?
 *
 * Addresses that are known to give an empty answer are asked for it by plain HTTP, relays with a challenge that they
 * repeat. One answer that is not theirs is a portal's; no answer at all is none. Source: net/captivedetection.
 */
import type { Scheduler } from "../../base/clock.ts";
import { parseIp } from "../../base/ip.ts";
import { regionIds, regionOf } from "../../derp/derp_map.ts";
import type { DERPMap } from "../../derp/derp_map.ts";

/** What a web server answered. */
export interface WebAnswer {
  readonly status: number;
  /** `X-Tailscale-Response`, "" where there is none. */
  readonly response: string;
}

/** GETs a URL by HTTP/1.1, sending `X-Tailscale-Challenge` unless it is "". Rejects when there is no answer. */
export type AskWeb = (url: string, challenge: string, signal: AbortSignal) => Promise<WebAnswer>;

/** One question whose true answer is known. */
export interface PortalProbe {
  readonly url: string;
  readonly challenge: string;
}

/** A portal is near. `captivedetection.Timeout`. */
const TIMEOUT_MS = 3_000;
const MAX_PROBES = 5;
const TAILSCALE = ["controlplane.tailscale.com", "login.tailscale.com"];

/** Whom to ask, at most five: relays by their addresses, for a portal may answer DNS too, those of `home` first. */
export function portalProbes(map: DERPMap, home: number): PortalProbe[] {
  const regions = regionIds(map).map((id) => regionOf(map, id)!).filter((region) =>
    !region.Avoid && !region.NoMeasureNoHome
  );
  const relays = [...regions.filter(({ RegionID }) => RegionID === home), ...regions.filter((r) => r.RegionID !== home)]
    .flatMap((region) => region.Nodes).filter((node) => node.CanPort80 && parseIp(node.IPv4 ?? "")?.length === 4);
  return [
    ...relays.map(({ IPv4 }) => ({ url: `http://${IPv4}/generate_204`, challenge: `ts_${IPv4}` })),
    ...TAILSCALE.map((host) => ({ url: `http://${host}/generate_204`, challenge: "" })),
  ].slice(0, MAX_PROBES);
}

/** Whether an answer to a probe is another's than who was asked. */
export function isPortals({ challenge }: PortalProbe, { status, response }: WebAnswer): boolean {
  return status !== 204 || (challenge !== "" && response !== `response ${challenge}`);
}

/** Asks all at once. Never rejects, and takes three seconds at most. */
export async function findPortal(
  probes: readonly PortalProbe[],
  ports: { readonly scheduler: Scheduler; readonly askWeb: AskWeb },
): Promise<boolean> {
  const { scheduler, askWeb } = ports;
  const over = new AbortController();
  const timer = scheduler.after(TIMEOUT_MS, () => over.abort(new Error("timed out")));
  // So that no cache on the way answers.
  const query = `?t=${Math.floor(scheduler.wall() / 1000)}`;
  const asked = probes.map(async (probe) => {
    const answer = await askWeb(`${probe.url}${query}`, probe.challenge, over.signal);
    if (!isPortals(probe, answer)) throw new Error("no portal");
  });
  const found = await Promise.any(asked).then(() => true, () => false);
  timer.cancel();
  over.abort();
  return found;
}
