/** `watch-ipn-bus`: what changes, as lines of JSON, after a first line with what the mask asks for. */
import { backendStatus, engineNotify, engineStatus } from "../../backend_status.ts";
import type { Backend } from "../../backend.ts";
import { STATE_NUMBER } from "../../backend_state.ts";
import { maskError, notifyLine, WATCH, withHealthActions } from "../../bus.ts";
import type { Notify, Watcher } from "../../bus.ts";
import { netmapJson } from "../../netmap_json.ts";
import { publicPrefs } from "../../prefs.ts";
import { toHex } from "../../../base/bytes.ts";
import { errorText } from "../reply.ts";
import type { ApiRequest, Handler } from "../reply.ts";

/** How often a watcher of engine updates hears of the engine. */
const ENGINE_INTERVAL_MS = 2_000;

const INITIAL = WATCH.initialState | WATCH.initialPrefs | WATCH.initialNetmap | WATCH.initialHealth |
  WATCH.initialStatus | WATCH.initialDriveShares | WATCH.initialSuggestedExitNode | WATCH.initialClientVersion;

/** The first message, made in one go so that nothing changes between its parts. */
function initialNotify(backend: Backend, mask: number, status: unknown): Notify {
  const has = (bit: number) => (mask & bit) !== 0;
  const { view, authUrl, state } = backend;
  return {
    ...(has(WATCH.initialState) && {
      SessionID: toHex(crypto.getRandomValues(new Uint8Array(16))),
      State: STATE_NUMBER[state],
      ...(state === "NeedsLogin" && authUrl !== "" && { BrowseToURL: authUrl }),
    }),
    ...(has(WATCH.initialPrefs) && { Prefs: publicPrefs(backend.prefs) }),
    ...(has(WATCH.initialNetmap) && view && { NetMap: netmapJson(view), SelfChange: view.netmap.self }),
    ...(has(WATCH.initialStatus) && { InitialStatus: status }),
    ...(has(WATCH.initialHealth) && { Health: backend.health.state(backend.now) }),
  };
}

/** Tells one watcher of the engine until the signal fires. */
function pollEngine(backend: Backend, watcher: Watcher, signal: AbortSignal): void {
  const timer = setInterval(async () => {
    const engine = await engineStatus(backend);
    if (engine === undefined || signal.aborted) return;
    const derps = backend.datapath.relayStatus().regions.filter((region) => region.kind === "connected").length;
    watcher.push({ Engine: engineNotify(engine, derps) });
  }, ENGINE_INTERVAL_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

async function* lines(backend: Backend, watcher: Watcher, first: Notify | undefined): AsyncGenerator<string> {
  const text = (notify: Notify) =>
    notifyLine(backend.version, (watcher.mask & WATCH.healthActions) !== 0 ? notify : withHealthActions(notify));
  try {
    if (first !== undefined) yield text(first);
    for await (const notify of watcher.messages()) yield text(notify);
  } finally {
    backend.bus.unwatch(watcher);
  }
}

/** `watch-ipn-bus`. */
export function watchRoutes(backend: Backend): Record<string, Handler> {
  return {
    "watch-ipn-bus": async (request: ApiRequest) => {
      const text = request.query.get("mask") ?? "";
      const mask = text === "" ? 0 : /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
      if (mask === undefined) return errorText(400, "bad mask");
      const bad = maskError(mask);
      if (bad !== undefined) return errorText(400, bad);
      const status = (mask & WATCH.initialStatus) !== 0 ? await backendStatus(backend, true) : undefined;
      // From here to the end without a pause: the first message and what follows it leave no gap.
      const first = (mask & INITIAL) !== 0 ? initialNotify(backend, mask, status) : undefined;
      const watcher = backend.bus.watch(mask);
      request.signal.addEventListener("abort", () => backend.bus.unwatch(watcher), { once: true });
      if ((mask & WATCH.engineUpdates) !== 0) pollEngine(backend, watcher, request.signal);
      return { kind: "stream", lines: lines(backend, watcher, first) };
    },
  };
}
