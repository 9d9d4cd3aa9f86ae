/**
 * Has the router map a port to this node, so that peers can reach it behind any NAT.
 *
 * ```
 *              update, a service is there            granted
 *   ┌──────┐ ────────────────────────────▶ ┌────────┐ ──────▶ ┌────────┐ ─┐ half of the lease over, renewed
 *   │ none │ ◀──────────────────────────── │ asking │         │ mapped │ ◀┘
 *   └──────┘   refused, no answer          └────────┘         └────────┘
 *       ▲ lease over and not renewed, network changed, released     │
 *       └───────────────────────────────────────────────────────────┘
 * ```
 * NAT-PMP is preferred, then PCP, then UPnP. Only the default gateway is believed, only in a private network, and only
 * what fits what was asked: its address, our port, our nonce, an external port that is not 0, an external address that can
 * be one. Source: net/portmapper; RFC 6886 3, RFC 6887 11, TS-2023-006.
 */
import { equalBytes, utf8 } from "../../base/bytes.ts";
import type { Scheduler, Timer } from "../../base/clock.ts";
import { sleep } from "../../base/clock.ts";
import { formatAddrPort, type IpBytes, parseIp } from "../../base/ip.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { encodePcpAnnounce, encodePcpMapping, parsePcp, PCP_NONCE_LENGTH, PCP_OK } from "./pcp.ts";
import { encodePmpAddressRequest, encodePmpMapping, MAPPING_LIFETIME_S, parsePmp, PXP_PORT } from "./pmp.ts";
import {
  addPortMapping,
  deletePortMapping,
  element,
  getExternalAddress,
  getPortMapping,
  type IgdService,
  parseDescription,
  parseSsdp,
  type SoapCall,
  soapError,
  SSDP_GROUP,
  SSDP_PORT,
  SSDP_SEARCHES,
} from "./upnp.ts";

/** The way out, and our address on it. */
export interface Gateway {
  readonly gateway: IpBytes;
  readonly self: IpBytes;
}

/** A UDP socket of its own. */
export interface PortmapSocket {
  send(to: string, port: number, payload: Uint8Array): void;
  close(): void;
}

/** What a port mapper needs of the machine. */
export interface PortmapPorts {
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** The IPv4 default route, undefined where there is none by a gateway. */
  gateway(): Gateway | undefined;
  /** IPv4. Rejects when no socket can be had. */
  open(received: (from: string, port: number, payload: Uint8Array) => void): Promise<PortmapSocket>;
  /** The answer's text whatever its status; undefined when there is none in time or it is too long. Never rejects. */
  http(url: string, call: SoapCall | undefined, timeoutMs: number): Promise<string | undefined>;
  /** UDP port of the engine's IPv4 socket, 0 for none. */
  localPort(): number;
}

/** Which services the router has. */
export interface PortmapServices {
  readonly upnp: boolean;
  readonly pmp: boolean;
  readonly pcp: boolean;
}

const NO_SERVICES: PortmapServices = { upnp: false, pmp: false, pcp: false };
/** A router is near. `portMapServiceTimeout`. */
const ANSWER_MS = 250;
/** Requests of one kind, the first included (ours; a lost one would cost the mapping). */
const TRIES = 2;
/** HTTP of a router may take its time. */
const HTTP_MS = 2_000;
/** Probes are believed this long. `trustServiceStillAvailableDuration`. */
const TRUST_SERVICES_MS = 600_000;
/** How far a router's clock may be behind ours besides one eighth (RFC 6886 3.6). */
const EPOCH_SLACK_S = 2;
/** Ports tried with UPnP when others have them. */
const UPNP_TRIES = 3;

interface Mapping {
  readonly by: "pmp" | "pcp" | "upnp";
  readonly external: { readonly ip: IpBytes; readonly port: number };
  readonly internalPort: number;
  readonly lifetimeMs: number;
  release(): Promise<void>;
}

/** One mapping of the engine's port. */
export class PortMapper {
  readonly #ports: PortmapPorts;
  readonly #changed: () => void;
  readonly #log: (line: string) => void;
  readonly #nonce: Uint8Array;
  #via = "";
  #services = NO_SERVICES;
  #location = "";
  /** When, and by which way, the services were found. */
  #servicesAt = -Infinity;
  #servicesVia = "";
  /** The router's clock as last heard, and when. */
  #epoch: { readonly s: number; readonly at: number } | undefined;
  #mapping: Mapping | undefined;
  #goodUntil = -Infinity;
  #renewAt = -Infinity;
  #upnpAllowed = true;
  #working: Promise<void> | undefined;
  #timer: Timer | undefined;
  #closed = false;

  /** @param changed the mapping is another, or gone. @param log one line for whoever looks for causes */
  constructor(ports: PortmapPorts, changed: () => void, log: (line: string) => void) {
    this.#ports = ports;
    this.#changed = changed;
    this.#log = log;
    this.#nonce = ports.random(PCP_NONCE_LENGTH);
  }

  /** Control may forbid UPnP (tailcfg.NodeAttrDisableUPnP). A mapping that stands is used to its end. */
  allowUpnp(allowed: boolean): void {
    this.#upnpAllowed = allowed;
    if (!allowed) this.#services = { ...this.#services, upnp: false };
  }

  /** `ip:port` on the router's outside that leads here, or "". */
  get external(): string {
    const live = this.#mapping !== undefined && this.#ports.scheduler.monotonic() < this.#goodUntil;
    return live ? formatAddrPort(this.#mapping!.external) : "";
  }

  /** Asks the router what it can do; 250 ms at most, and shorter when it can do all. Never rejects. */
  async probe(): Promise<PortmapServices> {
    const way = this.#way();
    if (way === undefined) return NO_SERVICES;
    const gateway = formatIpv4(way.gateway);
    const heard = { upnp: false, pmp: false, pcp: false };
    let location = "";
    const requests: [string, number, Uint8Array][] = [
      [gateway, PXP_PORT, encodePmpAddressRequest()],
      [gateway, PXP_PORT, encodePcpAnnounce(way.self)],
    ];
    if (this.#upnpAllowed) {
      // To the gateway first: a firewall of this machine then knows to let its answer to the others in.
      requests.push([gateway, SSDP_PORT, utf8(SSDP_SEARCHES[0])]);
      for (const text of SSDP_SEARCHES) requests.push([SSDP_GROUP, SSDP_PORT, utf8(text)]);
    }
    await this.#exchange(requests, 1, (from, port, payload) => {
      if (from !== gateway) return false;
      if (port === PXP_PORT) {
        const [pmp, pcp] = [parsePmp(payload), parsePcp(payload)];
        if (pmp?.kind === "address" && pmp.result === 0) {
          heard.pmp = true;
          this.#noteEpoch(pmp.epochS);
        }
        if (pcp?.kind === "announce" && pcp.result === PCP_OK) heard.pcp = true;
      } else if (this.#upnpAllowed) {
        const found = parseSsdp(new TextDecoder().decode(payload));
        if (found !== undefined && URL.parse(found)?.hostname === gateway) {
          heard.upnp = true;
          location ||= found;
        }
      }
      return (heard.upnp || !this.#upnpAllowed) && heard.pmp && heard.pcp;
    });
    [this.#services, this.#location] = [heard, location];
    [this.#servicesAt, this.#servicesVia] = [this.#ports.scheduler.monotonic(), key(way)];
    return heard;
  }

  /** Gets a mapping or renews it when that is due; one attempt at a time. Never rejects. */
  update(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return this.#working ??= this.#update().catch((cause) => this.#log(`port mapping: ${cause}`))
      .finally(() => this.#working = undefined);
  }

  /** Another network: the mapping is of no use there, and nobody is left to take it back. */
  networkChanged(): void {
    const way = this.#way();
    if (way !== undefined && this.#via === key(way)) return;
    this.#forget();
    this.#servicesAt = -Infinity;
  }

  /** Gives the mapping back, within 2 s. It may be asked for again with `update`. */
  async release(): Promise<void> {
    const over = new AbortController();
    const late = sleep(this.#ports.scheduler, HTTP_MS, over.signal).catch(() => {});
    await Promise.race([this.#giveBack(), late]);
    over.abort();
  }

  async #giveBack(): Promise<void> {
    // What is being asked for is known afterwards only.
    await this.#working;
    const mapping = this.#mapping;
    this.#forget();
    await mapping?.release().catch(() => {});
  }

  /** Gives the mapping back and asks for no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.release();
  }

  /** A router whose clock went back has restarted and has no mappings any more (RFC 6886 3.6). */
  #noteEpoch(s: number): void {
    const at = this.#ports.scheduler.monotonic();
    const before = this.#epoch;
    this.#epoch = { s, at };
    if (before === undefined || this.#mapping === undefined || this.#mapping.by === "upnp") return;
    if (s + EPOCH_SLACK_S < before.s + (at - before.at) / 1000 * 7 / 8) this.#renewAt = -Infinity;
  }

  /** The gateway where asking it makes sense: home routers have private addresses. */
  #way(): Gateway | undefined {
    const way = this.#ports.gateway();
    return way !== undefined && isPrivate(way.gateway) ? way : undefined;
  }

  #forget(): void {
    const had = this.external;
    this.#timer?.cancel();
    this.#mapping = this.#epoch = undefined;
    this.#goodUntil = this.#renewAt = -Infinity;
    if (had !== "") this.#changed();
  }

  async #update(): Promise<void> {
    const { scheduler } = this.#ports;
    const [way, internalPort] = [this.#way(), this.#ports.localPort()];
    if (way === undefined || internalPort === 0) return this.#forget();
    if (this.#via !== key(way) || this.#mapping?.internalPort !== internalPort) {
      this.#forget();
      this.#via = key(way);
    }
    if (this.#mapping !== undefined && scheduler.monotonic() < this.#renewAt) return;
    const known = this.#servicesVia === key(way) && scheduler.monotonic() - this.#servicesAt <= TRUST_SERVICES_MS;
    if (!known) await this.probe();
    const wanted = this.#mapping?.external.port ?? Math.max(internalPort, 1024);
    const before = this.external;
    const { pmp, pcp, upnp } = this.#services;
    const askedAt = scheduler.monotonic();
    const mapping = (pmp ? await this.#askPmp(way, internalPort, wanted) : undefined) ??
      (pcp ? await this.#askPcp(way, internalPort, wanted) : undefined) ??
      (upnp ? await this.#askUpnp(way, internalPort, wanted) : undefined);
    if (mapping === undefined) {
      if (pmp || pcp || upnp) {
        this.#log("port mapping: the router offers it and grants none");
        // It may no longer be able to: it is asked anew the next time.
        this.#servicesAt = -Infinity;
      }
      if (before !== "" && this.external === "") this.#changed();
      return;
    }
    this.#mapping = mapping;
    this.#goodUntil = askedAt + mapping.lifetimeMs;
    this.#renewAt = askedAt + mapping.lifetimeMs / 2;
    this.#timer?.cancel();
    if (!this.#closed) this.#timer = scheduler.after(mapping.lifetimeMs / 2, () => void this.update());
    this.#log(`port mapping: ${mapping.by} ${this.external} for ${mapping.lifetimeMs / 1000} s`);
    if (this.external !== before) this.#changed();
  }

  async #askPmp({ gateway }: Gateway, internalPort: number, wanted: number): Promise<Mapping | undefined> {
    const router = formatIpv4(gateway);
    let ip: IpBytes | undefined;
    let port = 0;
    let lifetimeS = 0;
    let refused = false;
    const requests: [string, number, Uint8Array][] = [
      [router, PXP_PORT, encodePmpAddressRequest()],
      [router, PXP_PORT, encodePmpMapping(internalPort, wanted, MAPPING_LIFETIME_S)],
    ];
    await this.#exchange(requests, TRIES, (from, fromPort, payload) => {
      const answer = from === router && fromPort === PXP_PORT ? parsePmp(payload) : undefined;
      if (answer === undefined) return false;
      if (answer.result !== 0) return refused = true;
      if (answer.kind === "address") ip = answer.ip;
      else if (answer.internalPort === internalPort) [port, lifetimeS] = [answer.externalPort, answer.lifetimeS];
      return ip !== undefined && port !== 0;
    });
    if (refused || ip === undefined) return undefined;
    const release = () => this.#tell(router, encodePmpMapping(internalPort, 0, 0));
    return this.#granted({ by: "pmp", external: { ip, port }, internalPort, lifetimeMs: lifetimeS * 1000, release });
  }

  async #askPcp({ gateway, self }: Gateway, internalPort: number, wanted: number): Promise<Mapping | undefined> {
    const router = formatIpv4(gateway);
    const [client, nonce] = [self, this.#nonce];
    const request = { client, nonce, internalPort, externalPort: wanted, lifetimeS: MAPPING_LIFETIME_S };
    let mapping: Omit<Mapping, "release"> | undefined;
    await this.#exchange([[router, PXP_PORT, encodePcpMapping(request)]], TRIES, (from, port, payload) => {
      const answer = from === router && port === PXP_PORT ? parsePcp(payload) : undefined;
      if (answer?.kind !== "mapping" || !equalBytes(answer.nonce, nonce) || answer.internalPort !== internalPort) {
        return false;
      }
      if (answer.result === PCP_OK) {
        const external = { ip: answer.externalIp, port: answer.externalPort };
        mapping = { by: "pcp", external, internalPort, lifetimeMs: answer.lifetimeS * 1000 };
      }
      return true;
    });
    if (mapping === undefined) return undefined;
    const release = () => this.#tell(router, encodePcpMapping({ ...request, lifetimeS: 0, externalPort: 0 }));
    return this.#granted({ ...mapping, release });
  }

  async #askUpnp({ self }: Gateway, internalPort: number, wanted: number): Promise<Mapping | undefined> {
    const { http, random } = this.#ports;
    const location = this.#location;
    const description = await http(location, undefined, HTTP_MS);
    const service = description === undefined ? undefined : parseDescription(description, location);
    if (service === undefined) return undefined;
    const call = (soap: SoapCall) => http(service.controlUrl, soap, HTTP_MS);
    const client = formatIpv4(self);
    let port = wanted;
    for (let tries = 0; tries < UPNP_TRIES; tries++) {
      const add = (lifetimeS: number) =>
        call(addPortMapping(service, { externalPort: port, internalPort, client, lifetimeS }));
      let answer = await add(MAPPING_LIFETIME_S);
      const code = answer === undefined ? undefined : soapError(answer);
      // 725: only permanent leases; 402 is how some routers say it.
      if (code === 725 || code === 402) answer = await add(0);
      if (answer === undefined) return undefined;
      const failed = soapError(answer);
      if (failed === undefined && answer.includes("AddPortMappingResponse")) {
        return await this.#grantedByUpnp(service, client, internalPort, port);
      }
      if (failed !== 718) return undefined;
      const [high, low] = random(2);
      port = 1024 + (high << 8 | low) % (65_536 - 1024);
    }
    return undefined;
  }

  /** The router said yes: is what it noted what was asked for, and where does it lead out? */
  async #grantedByUpnp(service: IgdService, client: string, internalPort: number, port: number) {
    const call = (soap: SoapCall) => this.#ports.http(service.controlUrl, soap, HTTP_MS);
    const release = async () => void await call(deletePortMapping(service, port));
    const [noted = "", address = ""] = [
      await call(getPortMapping(service, port)),
      await call(getExternalAddress(service)),
    ];
    const same = element(noted, "NewInternalClient") === client &&
      element(noted, "NewInternalPort") === String(internalPort);
    const ip = parseIp(element(address, "NewExternalIPAddress") ?? "");
    if (!same || ip === undefined) {
      await release();
      return undefined;
    }
    const lifetimeMs = MAPPING_LIFETIME_S * 1000;
    return this.#granted({ by: "upnp", external: { ip, port }, internalPort, lifetimeMs, release });
  }

  /** A mapping nobody can use is none. */
  #granted(mapping: Mapping): Mapping | undefined {
    const { external: { ip, port }, by } = mapping;
    if (port !== 0 && mapping.lifetimeMs > 0 && isOutside(ip)) return mapping;
    this.#log(`port mapping: the router granted ${formatAddrPort({ ip, port })} by ${by}, which cannot be used`);
    return undefined;
  }

  /** Sends without waiting for an answer. */
  async #tell(router: string, payload: Uint8Array): Promise<void> {
    await this.#exchange([[router, PXP_PORT, payload]], 1, (from, port) => from === router && port === PXP_PORT);
  }

  /** Sends requests, `tries` times, until `done` says so or 250 ms are over each time. No socket is no answer. */
  async #exchange(
    requests: readonly [string, number, Uint8Array][],
    tries: number,
    done: (from: string, port: number, payload: Uint8Array) => boolean,
  ): Promise<void> {
    const { scheduler, open } = this.#ports;
    const enough = new AbortController();
    let socket: PortmapSocket;
    try {
      socket = await open((from, port, payload) => {
        if (!enough.signal.aborted && done(from, port, payload)) enough.abort();
      });
    } catch (cause) {
      return this.#log(`port mapping: ${cause}`);
    }
    for (let i = 0; i < tries && !enough.signal.aborted; i++) {
      for (const [to, port, payload] of requests) socket.send(to, port, payload);
      await sleep(scheduler, ANSWER_MS, enough.signal).catch(() => {});
    }
    enough.abort();
    socket.close();
  }
}

function key({ gateway, self }: Gateway): string {
  return `${formatIpv4(gateway)} ${formatIpv4(self)}`;
}

function formatIpv4(ip: Uint8Array): string {
  return ip.join(".");
}

function isPrivate(ip: Uint8Array): boolean {
  if (ip.length !== 4) return false;
  return ip[0] === 10 || (ip[0] === 172 && (ip[1] & 0xf0) === 16) || (ip[0] === 192 && ip[1] === 168);
}

/** An IPv4 address that something can be behind: not unspecified, loopback, multicast or broadcast. */
function isOutside(ip: Uint8Array): boolean {
  return ip.length === 4 && ip[0] !== 0 && ip[0] !== 127 && ip[0] < 224;
}
