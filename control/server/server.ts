/**
 * The coordinator: everything of this folder put together.
 *
 * ```
 *   TCP --listen   GET /key, POST /ts2021 ─▶ NoiseServer ─▶ machine API ─▶ Registration, map polls ─▶ Tailnet ─▶ store
 *                  GET /health, GET /register/<id>, GET /generate_204
 *                  /derp (with TLS and no --derp-listen) ─┐
 *   TCP --derp-listen, TLS ───────────────────────────────┴▶ DerpServer
 *   UDP --stun-listen ──────────────────────────────────────▶ StunServer
 *   unix --socket ─────────────────────────────────────────▶ admin API ─▶ Tailnet
 * ```
 * The store is opened, and so locked, before anything else is touched: of two servers on one state directory the second
 * ends with one line and has changed nothing.
 */
import http from "node:http";
import https from "node:https";
import process from "node:process";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Server } from "node:net";
import type { RandomBytes } from "../../base/keys.ts";
import type { DerpServer } from "../../derp/server.ts";
import type { DERPMap } from "../wire/tailcfg.ts";
import { Admin } from "./admin.ts";
import type { CreatedKey, KeyRequest } from "./admin.ts";
import { LockServer } from "./lock/lock_server.ts";
import { TailnetLock } from "./lock/tailnet_lock.ts";
import { listenAdmin } from "./admin_api.ts";
import { checkOptions } from "./coordinator_options.ts";
import type { CheckedOptions, CoordinatorOptions } from "./coordinator_options.ts";
import { EphemeralNodes } from "./ephemeral_nodes.ts";
import { FanOut } from "./fan_out.ts";
import { urlHost, urlOfListener, urlPort } from "./listen_policy.ts";
import { closeServer, listenStun, listenTcp } from "./listeners.ts";
import { serveMachineRequest } from "./machine_api.ts";
import { MapBuilder } from "./map_builder.ts";
import { NoiseServer } from "./noise_server.ts";
import { servePlain } from "./plain_http.ts";
import { Presence } from "./presence.ts";
import { keepKeyExpiry } from "./key_expiry_setting.ts";
import { Registration } from "./registration.ts";
import { derpMapOf, listenRelay, makeDerpServer } from "./relay.ts";
import { openSqliteStore } from "./sqlite_store.ts";
import { ensureStateDir, loadDerpKey, loadNoiseKey, STATE_FILES } from "./state_dir.ts";
import { systemRandom, systemScheduler } from "../../base/system.ts";
import { deriveInWorker } from "../../tka/kdf.ts";
import { Tailnet } from "./tailnet.ts";
import { checkTlsPair } from "./tls_pair.ts";

export type { CoordinatorOptions } from "./coordinator_options.ts";

/** A running coordinator. */
export interface Coordinator {
  /** What nodes are to be given as their control server. */
  readonly url: string;
  readonly derpMap: DERPMap;
  /** `mkey:<hex>` of `/key`. */
  readonly publicKey: string;
  /** Path of the operator's socket. */
  readonly socket: string;
  readonly admin: Admin;
  readonly tailnet: Tailnet;
  readonly lock: TailnetLock;
  /** Makes an auth key; its text is in `key`. */
  createKey(request?: KeyRequest): Promise<CreatedKey>;
  /** Ends all polls, closes all listeners and the store. */
  close(): Promise<void>;
}

/** What every node may do, besides reaching all others. */
const NODE_CAPABILITIES = {
  "https://tailscale.com/cap/file-sharing": [],
  // Without it a client neither asks for nor obeys a lock.
  "https://tailscale.com/cap/tailnet-lock": [],
  // All nodes of such a tailnet have both families, so names lead to both.
  "magicdns-aaaa": [],
};
/** How long a node stays online after its last poll ended. */
const PRESENCE_GRACE_MS = 10_000;
/** Polls hear of changes at most once in this time. */
const COALESCE_MS = 25;
/** Pending changes from which on a slow poll gets the whole map instead. */
const MAX_PENDING = 1000;

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

/**
 * Starts a coordinator; resolves once it serves. Rejects, with everything undone, when any part cannot start.
 * @throws OptionError, StoreError, or an Error that names the file or flag.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const checked = checkOptions(options);
  if (checked.tls !== undefined) checkTlsPair(checked.tls, (options.scheduler ?? systemScheduler).wall());
  const cleanup = new Cleanup();
  try {
    return await start(options, checked, cleanup);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

async function start(options: CoordinatorOptions, checked: CheckedOptions, cleanup: Cleanup): Promise<Coordinator> {
  const { stateDir, scheduler = systemScheduler, random = systemRandom, log = () => {} } = options;
  const { keyExpiryMs } = checked;
  ensureStateDir(stateDir);
  const store = openSqliteStore(join(stateDir, STATE_FILES.database));
  cleanup.add(() => store.close());
  const tailnet = await Tailnet.load(store, checked.approval);
  await keepKeyExpiry(tailnet, keyExpiryMs);
  const tailnetLock = await TailnetLock.load(tailnet, log);
  const lock = new LockServer({
    tailnet,
    lock: tailnetLock,
    scheduler,
    derive: deriveInWorker,
    log,
    init: checked.lockInit,
  });
  const machineKey = loadNoiseKey(stateDir, random);
  const derp = makeDerpServer(tailnet, loadDerpKey(stateDir, random), scheduler, random, log);

  const door = await openFrontDoor(checked, derp);
  cleanup.add(() => door.close());
  const serverUrl = door.url.href.replace(/\/$/, "");
  const derpMap = await openRelay(checked, door, derp, { stateDir, random, now: scheduler.wall(), log }, cleanup);

  const registration = new Registration({ tailnet, scheduler, random, serverUrl, keyExpiryMs, lock: tailnetLock });
  const { magicDnsDomain } = checked;
  const lockInfo = (nodeId: number) => lock.info(nodeId);
  const builder = new MapBuilder({ magicDnsDomain, derpMap, nodeCapabilities: NODE_CAPABILITIES, lockInfo });
  const fanOut = new FanOut({ tailnet, builder, scheduler, coalesceMs: COALESCE_MS, maxPending: MAX_PENDING });
  lock.onPush((nodeId) => fanOut.announceLock(nodeId));
  const presence = new Presence(tailnet, scheduler, PRESENCE_GRACE_MS);
  const ephemeral = new EphemeralNodes(tailnet, scheduler);
  const onFailure = (error: unknown) => log(`coordinator: ${error instanceof Error ? error.message : error}`);
  const machineApi = {
    tailnet,
    builder,
    fanOut,
    presence,
    scheduler,
    registration,
    lock,
    onFailure,
    jitter: Math.random,
  };
  const noise = new NoiseServer({
    machineKey,
    scheduler,
    random,
    onRequest: (stream, headers, machine) => serveMachineRequest(stream, headers, machine, machineApi),
  });
  // Listeners only close once what came in through them has.
  cleanup.add(async () => {
    fanOut.close();
    presence.close();
    ephemeral.close();
    noise.close();
    await derp.close();
  });
  const admin = new Admin({ tailnet, registration, scheduler, random, lock });
  const socket = options.socket ?? join(stateDir, STATE_FILES.socket);
  cleanup.add(await listenAdmin({ path: socket, admin, peerUid: options.peerUid, ownUid: process.getuid?.() ?? 0 }));
  door.open({
    upgrade: (request, socket, head) => noise.upgrade(request, socket, head),
    request: (request, response) => servePlain(request, response, noise, tailnet),
  });
  log(`coordinator: serving ${serverUrl}, ${tailnet.nodes.size} nodes, ${relayText(derpMap)}`);
  return {
    url: serverUrl,
    derpMap,
    publicKey: machineKey.public.toString(),
    socket,
    admin,
    tailnet,
    lock: tailnetLock,
    createKey: (request = {}) => admin.createKey(request),
    close: () => cleanup.run(),
  };
}

interface Visitors {
  upgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): void;
  request(request: IncomingMessage, response: ServerResponse): void;
}

/** The listener nodes know. What comes before `open()` waits for it. */
interface FrontDoor {
  readonly url: URL;
  open(visitors: Visitors): void;
  close(): Promise<void>;
}

async function openFrontDoor(checked: CheckedOptions, derp: DerpServer): Promise<FrontDoor> {
  const { tls, listen } = checked;
  const derpHere = checked.derpListen === undefined;
  const opened = Promise.withResolvers<Visitors>();
  const onRequest = async (request: IncomingMessage, response: ServerResponse) => {
    if (!derpHere || !derp.handleRequest(request, response)) (await opened.promise).request(request, response);
  };
  const server: Server = tls ? https.createServer(tls, onRequest) : http.createServer(onRequest);
  server.on("upgrade", async (request: IncomingMessage, socket: Duplex, head: Uint8Array) => {
    if (request.url?.split("?")[0] === "/ts2021") (await opened.promise).upgrade(request, socket, head);
    else if (!derpHere || !derp.handleUpgrade(request, socket, head)) socket.destroy();
  });
  const port = await listenTcp(server, listen, "--listen");
  return {
    url: checked.serverUrl ?? urlOfListener(tls !== undefined, { host: listen.host, port }),
    open: opened.resolve,
    close: () => closeServer(server),
  };
}

interface RelayNeeds {
  readonly stateDir: string;
  readonly random: RandomBytes;
  readonly now: number;
  readonly log: (line: string) => void;
}

/** Opens STUN and, where the relay has one, its own listener; the map says where both are. */
async function openRelay(
  { derpListen, stunListen }: CheckedOptions,
  door: FrontDoor,
  derp: DerpServer,
  { stateDir, random, now, log }: RelayNeeds,
  cleanup: Cleanup,
): Promise<DERPMap> {
  const stun = stunListen && await listenStun(stunListen);
  if (stun !== undefined) cleanup.add(() => stun.close());
  for (const failure of stun?.failures ?? []) log(`coordinator: no STUN on ${failure}`);
  const answersPort80 = door.url.protocol === "http:" && urlPort(door.url) === 80;
  const place = { host: urlHost(door.url), stunPort: stun?.port ?? -1, answersPort80 };
  if (derpListen === undefined) return derpMapOf({ ...place, derpPort: urlPort(door.url) });
  const relay = await listenRelay(derp, derpListen, place.host, stateDir, now, random);
  cleanup.add(() => relay.close());
  return derpMapOf({ ...place, derpPort: relay.port, certName: relay.certName });
}

function relayText(map: DERPMap): string {
  const [node] = Object.values(map.Regions ?? {})[0].Nodes ?? [];
  return `relay on port ${node.DERPPort}, STUN ${node.STUNPort === -1 ? "off" : `on ${node.STUNPort}`}`;
}
