/**
 * The coordinator: everything of this folder put together.
 *
 * ```
 *   TCP --listen   GET /key, POST /ts2021 ─▶ NoiseServer ─▶ machine API ─▶ Registration, map polls ─▶ Tailnet ─▶ store
 *                  GET /health, GET /register/<id>
 *                  /derp (with TLS and no --derp-listen) ─┐
 *   TCP --derp-listen, TLS ───────────────────────────────┴▶ DerpServer
 *   UDP --stun-listen ──────────────────────────────────────▶ STUN
 *   unix --socket ─────────────────────────────────────────▶ admin API ─▶ Tailnet
 * ```
 * The store is opened, and so locked, before anything else is touched: of two servers on one state directory the second
 * ends with one line and has changed nothing.
 */
import http from "node:http";
import https from "node:https";
import process from "node:process";
import { join } from "node:path";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Server } from "node:net";
import type { Scheduler } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";
import type { DERPMap } from "../wire/tailcfg.ts";
import { Admin } from "./admin.ts";
import type { CreatedKey, KeyRequest } from "./admin.ts";
import { listenAdmin } from "./admin_api.ts";
import type { PeerUid } from "./admin_api.ts";
import { EphemeralNodes } from "./ephemeral_nodes.ts";
import { FanOut } from "./fan_out.ts";
import {
  checkPlainHttp,
  OptionError,
  parseListen,
  parseServerUrl,
  urlHost,
  urlOfListener,
  urlPort,
} from "./listen_policy.ts";
import { closeServer, listenTcp } from "./listeners.ts";
import { serveMachineRequest } from "./machine_api.ts";
import { MapBuilder } from "./map_builder.ts";
import { NoiseServer } from "./noise_server.ts";
import { servePlain } from "./plain_http.ts";
import { Presence } from "./presence.ts";
import { Registration } from "./registration.ts";
import { derpMapOf, listenRelay, makeDerpServer } from "./relay.ts";
import { openSqliteStore } from "./sqlite_store.ts";
import { ensureStateDir, loadDerpKey, loadNoiseKey, STATE_FILES } from "./state_dir.ts";
import { listenStun } from "./stun_listener.ts";
import { systemScheduler } from "./system_scheduler.ts";
import { Tailnet } from "./tailnet.ts";

/** Where everything listens when nothing is said. */
export const DEFAULTS = {
  stateDir: "/var/lib/agent/coordinator",
  listen: "127.0.0.1:8080",
  derpPort: 8443,
  stunPort: 3478,
  magicDnsDomain: "tailnet.internal",
  keyExpiryMs: 180 * 24 * 3600_000,
} as const;

/** How a coordinator is to run. Addresses are `host:port`; port 0 takes any free one. */
export interface CoordinatorOptions {
  readonly stateDir: string;
  readonly listen?: string;
  /** What nodes call it; told from `listen` when that is one address. */
  readonly serverUrl?: string;
  /** PEM texts. Both or none. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Plain http is fine beyond loopback and private addresses. */
  readonly insecureHttp?: boolean;
  /** The relay's own TLS listener. Absent: the coordinator's listener if that speaks TLS, else port 8443 beside it. */
  readonly derpListen?: string;
  /** UDP. Absent: port 3478 of the listener's address. "off": no STUN. */
  readonly stunListen?: string;
  readonly magicDnsDomain?: string;
  /** Life of node keys in ms; 0: for ever. */
  readonly keyExpiryMs?: number;
  /** Path of the operator's socket; absent: in the state directory. */
  readonly socket?: string;
  readonly peerUid?: PeerUid;
  readonly log?: (line: string) => void;
  readonly scheduler?: Scheduler;
  readonly random?: RandomBytes;
}

/** A running coordinator. */
export interface Coordinator {
  /** What nodes are to be given as their control server. */
  readonly url: string;
  readonly derpMap: DERPMap;
  /** `mkey:<hex>` of `/key`. */
  readonly publicKey: string;
  readonly socket: string;
  readonly admin: Admin;
  readonly tailnet: Tailnet;
  /** Makes an auth key; its text is in `key`. */
  createKey(request?: KeyRequest): Promise<CreatedKey>;
  /** Ends all polls, closes all listeners and the store. */
  close(): Promise<void>;
}

const systemRandom: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

/** A DNS name of two labels or more, lower case. @throws OptionError */
function checkDomain(text: string): string {
  const domain = text.replace(/\.$/, "").toLowerCase();
  const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
  const labels = domain.split(".");
  if (labels.length >= 2 && domain.length <= 180 && labels.every((part) => label.test(part))) return domain;
  throw new OptionError(`Cannot use --magic-dns-domain ${text}: want a name such as ${DEFAULTS.magicDnsDomain}`);
}

/** What has to be undone, last first. */
class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

/** Starts a coordinator; resolves once it serves. Rejects, with everything undone, when any part cannot start. */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const cleanup = new Cleanup();
  try {
    return await start(options, cleanup);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

async function start(options: CoordinatorOptions, cleanup: Cleanup): Promise<Coordinator> {
  const { stateDir, scheduler = systemScheduler, random = systemRandom, log = () => {} } = options;
  const listen = parseListen("--listen", options.listen ?? DEFAULTS.listen);
  if ((options.tlsCert === undefined) !== (options.tlsKey === undefined)) {
    throw new OptionError("Cannot use one of --tls-cert and --tls-key alone: give both");
  }
  const tls = options.tlsCert !== undefined;
  const givenUrl = options.serverUrl === undefined ? undefined : parseServerUrl(options.serverUrl);
  checkPlainHttp(tls, listen, givenUrl, options.insecureHttp === true);
  if (givenUrl === undefined) urlOfListener(tls, listen);
  const magicDnsDomain = checkDomain(options.magicDnsDomain ?? DEFAULTS.magicDnsDomain);
  const keyExpiry = options.keyExpiryMs ?? DEFAULTS.keyExpiryMs;

  ensureStateDir(stateDir);
  const store = openSqliteStore(join(stateDir, STATE_FILES.database));
  cleanup.add(() => store.close());
  const tailnet = await Tailnet.load(store);
  const machineKey = loadNoiseKey(stateDir, random);
  const derp = makeDerpServer(tailnet, loadDerpKey(stateDir, random), scheduler, random, log);
  cleanup.add(() => derp.close());

  // Requests are answered 503 until everything behind them stands.
  const ready: { serve?: (request: IncomingMessage, response: ServerResponse) => void; noise?: NoiseServer } = {};
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    if (ready.serve === undefined) response.writeHead(503).end();
    else ready.serve(request, response);
  };
  const server: Server & { closeAllConnections?(): void } = tls
    ? https.createServer({ cert: options.tlsCert, key: options.tlsKey }, onRequest)
    : http.createServer(onRequest);
  const derpHere = tls && options.derpListen === undefined;
  server.on("upgrade", (request, socket, head) => {
    if (ready.noise && request.url?.split("?")[0] === "/ts2021") ready.noise.upgrade(request, socket, head);
    else if (!derpHere || !derp.handleUpgrade(request, socket, head)) socket.destroy();
  });
  const port = await listenTcp(server, listen, "--listen");
  cleanup.add(() => closeServer(server));
  const url = givenUrl ?? urlOfListener(tls, { host: listen.host, port });
  const serverUrl = url.href.replace(/\/$/, "");

  const stunListen = parseStun(options.stunListen, listen.host);
  const stun = stunListen && await listenStun(stunListen);
  if (stun !== undefined) cleanup.add(() => stun.close());
  const place = { host: urlHost(url), stunPort: stun?.port ?? -1 };
  let derpMap: DERPMap;
  if (derpHere) {
    derpMap = derpMapOf({ ...place, derpPort: urlPort(url) });
  } else {
    const text = options.derpListen;
    const address = text === undefined
      ? { host: listen.host, port: DEFAULTS.derpPort }
      : parseListen("--derp-listen", text);
    const relay = await listenRelay(derp, address, place.host, stateDir, scheduler.wall(), random);
    cleanup.add(() => relay.close());
    derpMap = derpMapOf({ ...place, derpPort: relay.port, certName: relay.certName });
  }

  const registration = new Registration({
    tailnet,
    scheduler,
    random,
    serverUrl,
    keyExpiryMs: keyExpiry === 0 ? undefined : keyExpiry,
  });
  const builder = new MapBuilder({ magicDnsDomain, derpMap, nodeCapabilities: NODE_CAPABILITIES });
  const fanOut = new FanOut({ tailnet, builder, scheduler, coalesceMs: 25, maxPending: 1000 });
  const presence = new Presence(tailnet, scheduler, PRESENCE_GRACE_MS);
  const ephemeral = new EphemeralNodes(tailnet, scheduler);
  const onFailure = (error: unknown) => log(`coordinator: ${(error as Error).message ?? error}`);
  const machineApi = { tailnet, builder, fanOut, presence, scheduler, registration, onFailure, jitter: Math.random };
  const noise = new NoiseServer({
    machineKey,
    scheduler,
    random,
    onRequest: (stream, headers, machine) => serveMachineRequest(stream, headers, machine, machineApi),
  });
  const admin = new Admin({ tailnet, registration, scheduler, random });
  ready.noise = noise;
  ready.serve = (request, response) => {
    if (derpHere && derp.handleRequest(request, response)) return;
    servePlain(request, response, noise, tailnet);
  };
  // Listeners only close once what came in through them has.
  cleanup.add(async () => {
    fanOut.close();
    presence.close();
    ephemeral.close();
    noise.close();
    await derp.close();
  });
  const socket = options.socket ?? join(stateDir, STATE_FILES.socket);
  cleanup.add(await listenAdmin({ path: socket, admin, peerUid: options.peerUid, ownUid: process.getuid?.() ?? 0 }));
  log(`coordinator: serving ${serverUrl}, ${tailnet.nodes.size} nodes, relay on port ${portsOf(derpMap)}`);
  return {
    url: serverUrl,
    derpMap,
    publicKey: machineKey.public.toString(),
    socket,
    admin,
    tailnet,
    createKey: (request = {}) => admin.createKey(request),
    close: () => cleanup.run(),
  };
}

/** What every node may do, besides reaching all others. */
const NODE_CAPABILITIES = { "https://tailscale.com/cap/file-sharing": [] };
/** How long a node stays online after its last poll ended. */
const PRESENCE_GRACE_MS = 10_000;

function parseStun(text: string | undefined, host: string): ReturnType<typeof parseListen> | undefined {
  if (text === "off") return undefined;
  return text === undefined ? { host, port: DEFAULTS.stunPort } : parseListen("--stun-listen", text);
}

function portsOf(map: DERPMap): string {
  return Object.values(map.Regions ?? {}).flatMap((region) => region.Nodes ?? [])
    .map((node) => `${node.DERPPort}, STUN ${node.STUNPort === -1 ? "off" : node.STUNPort}`).join();
}
