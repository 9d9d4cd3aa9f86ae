/** Asks all parts of the node for what a status, a metric or a notification is made of. */
import type { EngineStatus } from "../engine/config.ts";
import { fromGoTime, goTime, ZERO_TIME } from "../control/wire/tailcfg.ts";
import type { Backend } from "./backend.ts";
import type { LockMetrics, MetricsInput } from "./metrics.ts";
import { NO_LOCAL_USE } from "./netfilter/local_use.ts";
import { controlUrl } from "./prefs.ts";
import { statusJson } from "./status.ts";

/** An engine that does not answer within this must not make `status` hang too. */
const ENGINE_TIMEOUT_MS = 2_000;

/** The engine's status, or undefined when it does not answer in time. */
export async function engineStatus(backend: Backend): Promise<EngineStatus | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), ENGINE_TIMEOUT_MS));
  try {
    return await Promise.race([backend.datapath.engine.status(), late]);
  } catch {
    // An engine that fails tells the daemon itself; who asks for a status still gets the rest of it.
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** `ipnstate.Status` of the node now. */
export async function backendStatus(backend: Backend, peers: boolean): Promise<Record<string, unknown>> {
  const engine = await engineStatus(backend);
  const { netfilter } = backend.datapath;
  return statusJson({
    version: backend.version,
    state: backend.state,
    authUrl: backend.authUrl,
    haveNodeKey: backend.prefs.persist?.nodeKey !== undefined,
    health: backend.healthStrings(),
    hostname: backend.hostname,
    view: backend.view,
    engine,
    online: backend.online,
    homeDerp: backend.datapath.homeDerp,
    endpoints: backend.endpoints.map((endpoint) => endpoint.addr),
    controlNow: backend.controlNow,
    tunName: backend.datapath.engine.tunName,
    controlUrl: controlUrl(backend.prefs),
    netfilter: { backend: netfilter.backend, localUse: netfilter.state?.localUse ?? NO_LOCAL_USE },
    ...(backend.exitNode !== undefined && { exitNode: backend.exitNode }),
  }, peers);
}

/** What metrics are made of. */
export async function metricsInput(backend: Backend): Promise<MetricsInput> {
  const [engine, peerRelay] = await Promise.all([engineStatus(backend), backend.datapath.peerRelay()]);
  const advertised = backend.prefs.AdvertiseRoutes ?? [];
  const self = backend.view?.netmap.self;
  const expiry = self?.Expired === true ? 0 : fromGoTime(self?.KeyExpiry);
  return {
    version: backend.version,
    engine,
    ...(peerRelay !== undefined && { peerRelay: peerRelay.status }),
    healthMessages: backend.healthStrings().length,
    homeDerp: backend.datapath.homeDerp,
    advertisedRoutes: advertised.length,
    approvedRoutes: advertised.filter((route) => backend.view?.netmap.self.AllowedIPs?.includes(route)).length,
    peers: engine?.peers.length ?? 0,
    watchers: backend.bus.size,
    lock: lockMetricsInput(backend),
    ...(expiry !== undefined && {
      keyExpirySeconds: Math.max(0, Math.floor((expiry - backend.controlNow) / 1000)),
    }),
  };
}

function lockMetricsInput({ lock, now }: Backend): LockMetrics {
  const age = (since: number | undefined) => since ? Math.round((now - since) / 1000) : undefined;
  return {
    condition: lock.condition.name,
    enforced: lock.authority !== undefined,
    rejected: lock.rejected.length,
    unknownSigners: lock.unknownSigners.length,
    headAge: age(lock.record?.headSince),
    confirmedAge: age(lock.confirmedAt),
  };
}

/** Go's `ipn.EngineStatus`: peers with a handshake, and bytes of all. */
export function engineNotify(engine: EngineStatus, liveDerps: number): Record<string, unknown> {
  const live = engine.peers.filter((peer) => peer.lastHandshake !== 0);
  const sum = (field: "rxBytes" | "txBytes") => engine.peers.reduce((total, peer) => total + peer[field], 0);
  return {
    RBytes: sum("rxBytes"),
    WBytes: sum("txBytes"),
    NumLive: live.length,
    LiveDERPs: liveDerps,
    LivePeers: Object.fromEntries(live.map((peer) => [`nodekey:${peer.key}`, {
      NodeKey: `nodekey:${peer.key}`,
      TxBytes: peer.txBytes,
      RxBytes: peer.rxBytes,
      LastHandshake: peer.lastHandshake === 0 ? ZERO_TIME : goTime(peer.lastHandshake),
    }])),
  };
}
