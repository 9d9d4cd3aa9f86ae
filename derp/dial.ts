/**
 * Dials a DERP node: TCP to whichever address family answers, then TLS with the check the map asks for.
 *
 * ```
 *   IPv6 ──┐ starts at once
 *          ├─▶ first to connect, within 1.5 s ─▶ TLS ─▶ certificate check ─▶ stream
 *   IPv4 ──┘ starts 200 ms later, or when IPv6 fails
 * ```
 * | DERPNode                     | check of the certificate |
 * |------------------------------|--------------------------|
 * | neither of the below         | chain to `ca`, names `HostName` |
 * | `CertName: "name"`           | chain to `ca`, names `CertName`; `HostName` goes into the ClientHello |
 * | `CertName: "sha256-raw:…"`   | the one pinned leaf, see cert_pin.ts |
 * | `InsecureForTests`           | none, unless pinned |
 *
 * Where the operator's environment names a web proxy for the node, the proxy is asked for it by its name.
 *
 * Source: derp/derphttp/derphttp_client.go (dialNode, dialNodeUsingProxy, tlsClient).
 */
import { lookup } from "node:dns/promises";
import { connect as connectTcp } from "node:net";
import type { Socket } from "node:net";
import { checkServerIdentity, connect as connectTls } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import type { Scheduler } from "../base/clock.ts";
import { hostPort, parseIp } from "../base/ip.ts";
import type { RandomBytes } from "../base/keys.ts";
import { opened, serverName } from "../base/tls_client.ts";
import { certificateFailure } from "../base/tls_failure.ts";
import { connectThrough, type ProxyChoice } from "../base/web_proxy.ts";
import { openWebSocket } from "../base/websocket.ts";
import { orAborted } from "../base/or_aborted.ts";
import { certificateChain, checkCertificatePin, serverKeyOf } from "./cert_pin.ts";
import { CERT_HASH_PREFIX, DEFAULT_DERP_PORT } from "./derp_map.ts";
import type { DERPNode } from "./derp_map.ts";
import type { DerpDial, DerpStream } from "./stream.ts";

/** From the first packet to the end of TLS. */
const CONNECT_TIMEOUT_MS = 10_000;
/** TCP to one node. */
const NODE_TIMEOUT_MS = 1_500;
/** Head start of IPv6. */
const IPV6_HEAD_START_MS = 200;
/** Idle time before TCP asks whether the other end is still there. */
const KEEP_ALIVE_MS = 30_000;
/** Port of derper in its plain development mode. */
const PLAIN_HTTP_PORT = 3340;

const systemRandom: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

/** How nodes are dialled. */
export interface DerpDialOptions {
  readonly scheduler: Scheduler;
  /** PEM roots; absent means the runtime's own. */
  readonly ca?: readonly string[];
  /** Speak plain HTTP instead of TLS. Only for development: nothing then proves the relay's identity. */
  readonly plainHttp?: boolean;
  /** The operator's web proxy; none when absent. */
  readonly proxyFor?: ProxyChoice;
  /** Of WebSockets; the runtime's when absent. */
  readonly random?: RandomBytes;
  /**
   * Unix milliseconds by control's clock, for the dates of a pinned certificate; the machine's own when absent. The pin is
   * control's word already, so a machine whose clock is wrong reaches its relay all the same.
   */
  readonly controlNow?: () => number;
  /** Addresses of one family for a host name; the system's resolver when absent. */
  readonly resolve?: (host: string, family: 4 | 6) => Promise<readonly string[]>;
  /**
   * Starts a TCP connection, or resolves when there is one; `node:net` when absent. For sockets that must bypass the
   * tunnel.
   */
  readonly connect?: (address: string, port: number, signal: AbortSignal) => Socket | Promise<Socket>;
}

/** Makes the dial port of `DerpPool` over real sockets. */
export function createDerpDial(options: DerpDialOptions): DerpDial {
  return (node, signal, webSocket = false) =>
    withTimeout(options.scheduler, signal, (inner) => dial(options, node, webSocket, inner));
}

async function withTimeout(
  scheduler: Scheduler,
  outer: AbortSignal,
  run: (signal: AbortSignal) => Promise<DerpStream>,
): Promise<DerpStream> {
  outer.throwIfAborted();
  const inner = new AbortController();
  const onAbort = () => inner.abort(outer.reason);
  outer.addEventListener("abort", onAbort, { once: true });
  const timer = scheduler.after(
    CONNECT_TIMEOUT_MS,
    () => inner.abort(new Error(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`)),
  );
  try {
    return await run(inner.signal);
  } finally {
    timer.cancel();
    outer.removeEventListener("abort", onAbort);
  }
}

async function dial(
  options: DerpDialOptions,
  node: DERPNode,
  webSocket: boolean,
  signal: AbortSignal,
): Promise<DerpStream> {
  const standard = options.plainHttp ? PLAIN_HTTP_PORT : DEFAULT_DERP_PORT;
  const port = node.DERPPort || standard;
  const proxy = options.proxyFor?.({ host: node.HostName, port, tls: !options.plainHttp });
  const socket = proxy === undefined
    ? await raceFamilies(options, node, port, signal)
    : await connectThrough(proxy, { host: node.HostName, port }, {
      tcp: (host, port, signal) => openTcp(options, host, port, signal),
      ca: options.ca,
      now: () => options.scheduler.wall(),
    }, signal);
  const name = parseIp(node.HostName)?.length === 16 ? `[${node.HostName}]` : node.HostName;
  const host = port === standard ? name : `${name}:${port}`;
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  const tls = options.plainHttp ? undefined : await startTls(options, node, socket, signal);
  if (webSocket) {
    const target = { authority: host, path: "/derp", subprotocol: "derp" };
    return {
      duplex: await openWebSocket(tls ?? socket, target, options.random ?? systemRandom, signal),
      host,
      upgraded: true,
    };
  }
  if (tls === undefined) return { duplex: socket, host };
  return { duplex: tls, host, serverKey: tls.getProtocol() === "TLSv1.3" ? serverKeyOf(chainOf(tls)) : undefined };
}

/** The addresses to try, of one family. */
async function addresses(options: DerpDialOptions, node: DERPNode, family: 4 | 6): Promise<readonly string[]> {
  const forced = family === 4 ? node.IPv4 : node.IPv6;
  const literal = forced || node.HostName;
  const ip = parseIp(literal);
  if (ip !== undefined) return ip.length === (family === 4 ? 4 : 16) ? [literal] : [];
  if (forced) return [];
  if (options.resolve !== undefined) return await options.resolve(node.HostName, family);
  return (await lookup(node.HostName, { family, all: true })).map(({ address }) => address);
}

async function raceFamilies(
  options: DerpDialOptions,
  node: DERPNode,
  port: number,
  outer: AbortSignal,
): Promise<Socket> {
  const race = new AbortController();
  const onAbort = () => race.abort(outer.reason);
  outer.addEventListener("abort", onAbort, { once: true });
  const timeout = options.scheduler.after(
    NODE_TIMEOUT_MS,
    () => race.abort(new Error(`no TCP connection to ${node.HostName} within ${NODE_TIMEOUT_MS / 1000} s`)),
  );
  try {
    const ipv6 = dialFamily(options, node, 6, port, race.signal);
    const ipv4 = headStart(options.scheduler, ipv6, race.signal)
      .then(() => dialFamily(options, node, 4, port, race.signal));
    const [won, lost] = await firstOf(ipv6, ipv4);
    lost.then((socket) => socket.destroy(), () => {});
    return won;
  } finally {
    timeout.cancel();
    outer.removeEventListener("abort", onAbort);
    race.abort(new Error("another address family connected first"));
  }
}

/** Resolves 200 ms from now, or as soon as the attempt fails. */
function headStart(scheduler: Scheduler, attempt: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = scheduler.after(IPV6_HEAD_START_MS, () => resolve());
    const end = (settle: () => void) => {
      timer.cancel();
      settle();
    };
    attempt.catch(() => end(resolve));
    signal.addEventListener("abort", () => end(() => reject(signal.reason)), { once: true });
  });
}

/** The first to succeed, and the other; rejects with the first's error when both fail. */
async function firstOf<T>(a: Promise<T>, b: Promise<T>): Promise<[T, Promise<T>]> {
  const [won, lost] = await Promise.any([
    a.then((value): [T, Promise<T>] => [value, b]),
    b.then((value): [T, Promise<T>] => [value, a]),
  ]).catch((both: AggregateError) => {
    const telling = both.errors.find((error) => !(error instanceof NoAddress));
    throw telling ?? both.errors[0];
  });
  return [won, lost];
}

/** A family the node does not have; never the error worth showing when the other family failed too. */
class NoAddress extends Error {}

async function dialFamily(
  options: DerpDialOptions,
  node: DERPNode,
  family: 4 | 6,
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  const found = await orAborted(addresses(options, node, family), signal);
  if (found.length === 0) throw new NoAddress(`${node.HostName} has no IPv${family} address`);
  let failure: unknown;
  for (const address of found) {
    try {
      return await openTcp(options, address, port, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

function openTcp(options: DerpDialOptions, address: string, port: number, signal: AbortSignal): Promise<Socket> {
  const begun = options.connect?.(address, port, signal) ?? connectTcp({ host: address, port });
  return begun instanceof Promise ? begun : opened(begun, "connect", signal);
}

function chainOf(tls: TLSSocket): ReturnType<typeof certificateChain> {
  return certificateChain(tls.getPeerCertificate(true));
}

async function startTls(
  options: DerpDialOptions,
  node: DERPNode,
  socket: Socket,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const pin = node.CertName?.startsWith(CERT_HASH_PREFIX) ? node.CertName.slice(CERT_HASH_PREFIX.length) : undefined;
  const named = pin === undefined && node.CertName ? node.CertName : node.HostName;
  const settings: ConnectionOptions = {
    socket,
    host: node.HostName,
    servername: serverName(node.HostName),
    // Judged below, where the certificate can be shown.
    rejectUnauthorized: false,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(named, certificate),
    ...(options.ca && { ca: [...options.ca] }),
  };
  // The TLS socket reports what befalls the TCP socket under it; that one's own report would be nobody's.
  socket.on("error", () => {});
  const tls = await opened(connectTls(settings), "secureConnect", signal).catch((error) => {
    socket.destroy();
    throw error;
  });
  const { Name, InsecureForTests } = node;
  const refuse = (flaw: string) => {
    tls.destroy();
    throw new Error(
      `Cannot trust DERP node ${Name} (${hostPort(node.HostName, node.DERPPort || DEFAULT_DERP_PORT)}): ${flaw}`,
    );
  };
  const now = options.scheduler.wall();
  if (pin !== undefined) {
    const flaw = checkCertificatePin(chainOf(tls), pin, node.HostName, options.controlNow?.() ?? now);
    if (flaw !== undefined) refuse(flaw);
  } else if (!InsecureForTests) {
    const certificate = tls.getPeerCertificate(true);
    const mismatch = checkServerIdentity(named, certificate);
    if (!tls.authorized || mismatch !== undefined) {
      refuse(certificateFailure(certificate, mismatch?.message ?? String(tls.authorizationError), now));
    }
  }
  return tls;
}
