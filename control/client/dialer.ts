/**
 * Dials a control server. Source: control/ts2021/client.go, control/controlhttp/client.go.
 *
 * | server URL                        | plain port | TLS port |
 * |-----------------------------------|------------|----------|
 * | https://host                      | 80         | 443      |
 * | https://host:P                    | 80         | P        |
 * | http://host, public               | 80         | 443      |
 * | http://host:P, public             | P          | 443      |
 * | http://host[:P], private host     | P or 80    | none     |
 *
 * ```
 *   first ──500 ms without success, or failed──▶ second too ──▶ the first Noise stream wins, the other is dropped
 * ```
 * First is the plain port: Noise is all the security there is, TLS would encrypt twice. It is TLS when an https server
 * was dialled less than two minutes ago, since some networks let port 80 through and break it soon after. For the same
 * reason a bad certificate here is logged, not refused: behind it only the right server's Noise key can answer.
 *
 * Candidates of control's dial plan go before all that, each as above by its address or, plain port only, through the
 * ACE it names.
 *
 * Where something answers but does not upgrade, as a reverse proxy that passes WebSockets alone, a WebSocket is tried
 * last.
 */
import type { Socket } from "node:net";
import { type Clock, type Scheduler, sleep } from "../../base/clock.ts";
import { parseIp, parsePrefix, prefixContains } from "../../base/ip.ts";
import { MachinePrivate, type MachinePublic, type RandomBytes } from "../../base/keys.ts";
import type { ControlDialPlan } from "../wire/tailcfg.ts";
import { ClientHandshake } from "../wire/handshake.ts";
import type { NoiseDuplex } from "../wire/noise_duplex.ts";
import { ControlError } from "./errors.ts";
import type { Connect, Endpoint } from "./connect.ts";
import { unreachable } from "./failure_text.ts";
import { upgrade, upgradeByWebSocket } from "./upgrade.ts";
import type { LogLevel } from "./types.ts";

/** Wait for the first port before the second is tried too, ms. */
export const FALLBACK_DELAY = 500;
/** Whole dial, handshake included, ms. */
export const DIAL_TIMEOUT = 10_000;
/** A dial this soon after the last, ms, goes to TLS first. */
export const RECENT_DIAL = 120_000;
/** Longest dial a dial plan may ask for, ms. */
const MAX_PLAN_TIMEOUT = 60_000;

/** Where to dial. */
export interface DialTarget {
  readonly host: string;
  readonly plainPort: number;
  /** Undefined for a private server over http: no certificate could be had for it. */
  readonly tlsPort: number | undefined;
  /** The URL says https. */
  readonly secure: boolean;
}

const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "127.0.0.0/8", "::1/128"]
  .map((text) => parsePrefix(text)!);

function isPrivateHost(host: string): boolean {
  if (host === "localhost") return true;
  const ip = parseIp(host);
  return ip !== undefined && PRIVATE.some((prefix) => prefixContains(prefix, ip));
}

/** The ports of a server URL. @throws ControlError `bad-url`. */
export function dialTarget(serverUrl: string): DialTarget {
  const url = URL.parse(serverUrl);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:") || url.hostname === "") {
    throw new ControlError("bad-url", `Cannot use control server URL ${serverUrl}, want https://host[:port]`);
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const secure = url.protocol === "https:";
  // `URL` drops the scheme's own port, so `https://host:443` counts as without one: the same ports either way.
  const port = url.port === "" ? undefined : Number(url.port);
  if (secure) return { host, plainPort: 80, tlsPort: port ?? 443, secure };
  return { host, plainPort: port ?? 80, tlsPort: isPrivateHost(host) ? undefined : 443, secure };
}

export interface DialerOptions {
  readonly target: DialTarget;
  readonly machineKey: MachinePrivate;
  readonly capabilityVersion: number;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly connect: Connect;
  readonly log: (level: LogLevel, text: string) => void;
}

/** Makes Noise streams to one server. */
export class Dialer {
  readonly #options: DialerOptions;
  #lastDial: number | undefined;
  #plan: ControlDialPlan = {};

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /** Addresses control wants tried before DNS is asked. */
  set plan(plan: ControlDialPlan) {
    this.#plan = plan;
  }

  /** @throws ControlError; the signal's reason when aborted. */
  async dial(serverKey: MachinePublic, signal: AbortSignal): Promise<NoiseDuplex> {
    const { scheduler } = this.#options;
    const tlsFirst = this.#wasRecent(scheduler);
    const candidates = (this.#plan.Candidates ?? []).filter(({ IP, ACEHost }) => IP || ACEHost);
    if (candidates.length > 0) {
      try {
        return await race(
          candidates.map(({ IP, ACEHost, DialStartDelaySec, DialTimeoutSec }) => async (signal) => {
            await sleep(scheduler, clampSeconds(DialStartDelaySec ?? 0), signal);
            const by = { ...(IP && { address: IP }), ...(ACEHost && { aceHost: ACEHost }) };
            return await this.#dialHost(serverKey, tlsFirst, clampSeconds(DialTimeoutSec ?? 10), signal, by);
          }),
          signal,
        );
      } catch (error) {
        if (signal.aborted) throw error;
        this.#options.log("info", "no address of control's dial plan answers; dialling by DNS");
      }
    }
    return await this.#dialHost(serverKey, tlsFirst, DIAL_TIMEOUT, signal);
  }

  #wasRecent(clock: Clock): boolean {
    const now = clock.monotonic();
    const recent = this.#lastDial !== undefined && now - this.#lastDial < RECENT_DIAL;
    this.#lastDial = now;
    return recent;
  }

  async #dialHost(
    serverKey: MachinePublic,
    tlsFirst: boolean,
    timeoutMs: number,
    signal: AbortSignal,
    by: Pick<Endpoint, "address" | "aceHost"> = {},
  ): Promise<NoiseDuplex> {
    const { target, scheduler } = this.#options;
    const { host, plainPort, tlsPort, secure } = target;
    const limit = new AbortController();
    const timer = scheduler.after(timeoutMs, () => limit.abort(timedOut(host, timeoutMs)));
    const plain: Endpoint = { host, port: plainPort, tls: false, ...by };
    // An ACE is TLS already.
    const order: Endpoint[] = tlsPort === undefined || by.aceHost !== undefined
      ? [plain]
      : [plain, { host, port: tlsPort, tls: true, ...by }];
    if (tlsFirst && secure) order.reverse();
    const firstFailed = new AbortController();
    const all = AbortSignal.any([signal, limit.signal]);
    try {
      return await race(
        order.map((endpoint, i) => async (signal) => {
          if (i > 0) {
            await sleep(scheduler, FALLBACK_DELAY, AbortSignal.any([signal, firstFailed.signal])).catch(() => {});
          }
          signal.throwIfAborted();
          try {
            return await this.#attempt(endpoint, serverKey, signal);
          } catch (error) {
            firstFailed.abort();
            throw error;
          }
        }),
        all,
      );
    } catch (error) {
      if (all.aborted || !(error instanceof ControlError) || error.code !== "not-control") throw error;
      const last = secure ? order.find(({ tls }) => tls) ?? plain : plain;
      const stream = await this.#attempt(last, serverKey, all, true).catch(() => {
        // What the upgrade was answered says more than that this failed too.
        throw all.aborted ? all.reason : error;
      });
      this.#options.log("info", `${authority(last)} passes no upgrade but WebSocket's, so that is used`);
      return stream;
    } finally {
      timer.cancel();
    }
  }

  async #attempt(
    endpoint: Endpoint,
    serverKey: MachinePublic,
    signal: AbortSignal,
    webSocket = false,
  ): Promise<NoiseDuplex> {
    const { machineKey, capabilityVersion, random, connect } = this.#options;
    const handshake = startHandshake(machineKey, serverKey, capabilityVersion, MachinePrivate.generate(random));
    let socket: Socket;
    try {
      socket = await connect(endpoint, signal);
    } catch (error) {
      throw signal.aborted ? error : unreachable(`${endpoint.host}:${endpoint.port}`, error);
    }
    if (webSocket) return await upgradeByWebSocket(socket, authority(endpoint), handshake, random, signal);
    return await upgrade(socket, authority(endpoint), handshake, signal);
  }
}

/** The only key a server can give that makes no handshake is one of low order: a hostile or broken server's. */
function startHandshake(...key: ConstructorParameters<typeof ClientHandshake>): ClientHandshake {
  try {
    return new ClientHandshake(...key);
  } catch (error) {
    throw new ControlError("handshake", (error as Error).message, { cause: error });
  }
}

function authority({ host, port, tls }: Endpoint): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === (tls ? 443 : 80) ? name : `${name}:${port}`;
}

function clampSeconds(seconds: number): number {
  return Math.min(Math.max(seconds * 1000, 0), MAX_PLAN_TIMEOUT);
}

function timedOut(host: string, ms: number): ControlError {
  return new ControlError(
    "unreachable",
    `Cannot reach control server ${host}: no answer within ${ms / 1000} s; check the route and any firewall between`,
  );
}

/** The stream of the first task to succeed, the others aborted; the error that says most when all fail. */
async function race(
  tasks: readonly ((signal: AbortSignal) => Promise<NoiseDuplex>)[],
  signal: AbortSignal,
): Promise<NoiseDuplex> {
  const won = new AbortController();
  const inner = AbortSignal.any([signal, won.signal]);
  const running = tasks.map(async (task) => {
    const stream = await task(inner);
    if (inner.aborted) {
      stream.destroy();
      throw inner.reason;
    }
    won.abort();
    return stream;
  });
  try {
    return await Promise.any(running);
  } catch (error) {
    throw signal.aborted ? signal.reason : mostTelling((error as AggregateError).errors);
  }
}

/** A server that answered wrongly says more than a port that was closed. */
function mostTelling(errors: readonly unknown[]): unknown {
  const order = ["server-key-changed", "handshake", "not-control", "tls"];
  const rank = (error: unknown) => {
    const at = order.indexOf((error as Partial<ControlError>).code ?? "");
    return at < 0 ? order.length : at;
  };
  return [...errors].sort((a, b) => rank(a) - rank(b))[0];
}
