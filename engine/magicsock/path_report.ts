/** The whole of what is known of the way to one peer, for a person who asks why packets go as they go. */
import type { PathCandidate, PathReport } from "../config.ts";
import type { AddrTable } from "../ports.ts";
import type { BestPath } from "./best_path.ts";
import { addrPoints } from "./better_addr.ts";
import type { Candidate, CandidateSet } from "./candidates.ts";
import type { PathStory } from "./path_story.ts";
import { pathText } from "./path_text.ts";

/** What an endpoint knows. Times are milliseconds of one clock, 0 for never. */
export interface PathKnowledge {
  readonly addrs: AddrTable;
  readonly best: BestPath;
  readonly candidates: CandidateSet;
  readonly story: PathStory;
  /** Region that relays to the peer. */
  readonly derp: number;
  readonly active: boolean;
  readonly lastSend: number;
  readonly lastReceive: number;
}

/** The report at `now`; the best candidate comes first, then the fastest. */
export function reportPath(known: PathKnowledge, now: number): PathReport {
  const { addrs, best, candidates, story, derp, active, lastSend, lastReceive } = known;
  const slowness = ({ best, latencyMs }: PathCandidate) => best ? -1 : latencyMs ?? 1e9;
  return {
    best: best.addr === 0 ? "" : pathText(addrs, { addr: best.addr, vni: best.vni, derp: 0 }),
    trustedForMs: Math.round(best.trustLeft(now)),
    ...(best.addr !== 0 && { latencyMs: best.latencyMs }),
    derp,
    active,
    ...(lastSend !== 0 && { sentAgoMs: Math.round(now - lastSend) }),
    ...(lastReceive !== 0 && { receivedAgoMs: Math.round(now - lastReceive) }),
    candidates: Array.from(candidates, (candidate) => describe(candidate, best, addrs, now))
      .sort((a, b) => slowness(a) - slowness(b)),
    events: story.tell(now),
  };
}

function describe(candidate: Candidate, best: BestPath, addrs: AddrTable, now: number): PathCandidate {
  const isBest = best.vni === 0 && best.addr === candidate.addr;
  const ip = addrs.ip(candidate.addr).slice();
  const compare = candidate.latencyMs >= 0 && best.addr !== 0 && best.vni === 0 && !isBest;
  const points = compare &&
    addrPoints({ ip, latencyMs: candidate.latencyMs }, {
      ip: addrs.ip(best.addr).slice(),
      latencyMs: best.latencyMs,
    });
  return {
    address: addrs.text(candidate.addr),
    sources: [
      ...(candidate.configured ? ["configured" as const] : []),
      ...(candidate.announced ? ["announced" as const] : []),
      ...(candidate.heardAt !== -Infinity ? ["heard" as const] : []),
    ],
    ...(candidate.latencyMs >= 0 && { latencyMs: candidate.latencyMs }),
    ...(candidate.lastPing !== -Infinity && { pingedAgoMs: Math.round(now - candidate.lastPing) }),
    ...(candidate.heardAt !== -Infinity && { heardAgoMs: Math.round(now - candidate.heardAt) }),
    best: isBest,
    ...(points !== false && { points: { own: points.a, best: points.b } }),
  };
}
