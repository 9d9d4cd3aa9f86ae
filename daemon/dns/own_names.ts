/**
 * Names the daemon itself connects to: the control server, relays, web proxies.
 *
 * ```
 *   the machine's resolver ──500 ms without an answer, or none──▶ beside it the servers the machine had before us,
 *            │                                                    by sockets that pass outside the tunnel
 *            └── first answer counts; none: the addresses of the last time ◀──┘
 * ```
 * With an exit node the machine's own questions go into the tunnel, and with MagicDNS they come to us. Then whoever must
 * know a relay's address to build the tunnel would wait for the tunnel: after a restart, or where the exit node went
 * away, for ever. The machine's resolver comes first, for it knows what DNS does not: /etc/hosts, and servers that others
 * added. Upstream asks relays by HTTPS in that place, at addresses that it carries along. Source: net/dnscache
 * (UseLastGood), net/dnsfallback.
 */
import { encodeQuery, parseQuery, parseResponse, TYPE } from "../../base/dns_message.ts";
import { type Scheduler, sleep } from "../../base/clock.ts";
import { formatIp, type IpBytes, parseIp } from "../../base/ip.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { orAborted } from "../../base/or_aborted.ts";
import { Forwarder } from "./forwarder.ts";
import type { DnsTransport } from "./forwarder.ts";
import type { ResolvConf } from "./os/resolv_conf.ts";
import { parseUpstream } from "./upstream.ts";

/** All addresses of a name, the preferred first; never none. Rejects when there are none, or with the signal's reason. */
export type LookUp = (host: string, signal?: AbortSignal) => Promise<readonly IpBytes[]>;

/** What look-ups are made with. */
export interface OwnNamesOptions {
  /** The machine's resolver: addresses as texts. It cannot be stopped, only left. */
  readonly system: (host: string) => Promise<readonly string[]>;
  /** What the machine had before us. */
  readonly base: () => Promise<ResolvConf>;
  /** Addresses we answer at ourselves, which are never asked. */
  readonly serviceAddresses: readonly string[];
  /** Passes outside the tunnel. */
  readonly transport: DnsTransport;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
}

/** What the machine's resolver has alone. */
const HEAD_START_MS = 500;
const MAX_UDP = 1232;

/** Look-ups of the daemon's own names. */
export function ownNames(options: OwnNamesOptions): LookUp {
  const { system, scheduler } = options;
  const forwarder = new Forwarder({ ...options, plainOnly: true });
  const lastGood = new Map<string, readonly IpBytes[]>();
  const running = new Map<string, Promise<readonly IpBytes[]>>();

  const bySystem = async (host: string) => {
    const found = (await system(host)).flatMap((text) => parseIp(text) ?? []);
    if (found.length === 0) throw new Error(`${host} has no address`);
    return found;
  };

  const look = async (host: string): Promise<readonly IpBytes[]> => {
    const headStart = new AbortController();
    const first = bySystem(host);
    const second = sleep(scheduler, HEAD_START_MS, headStart.signal).then(
      () => byServers(host),
      () => first.catch(() => byServers(host)),
    );
    first.then(() => headStart.abort(), () => headStart.abort());
    try {
      const found = await Promise.any([first, second]);
      lastGood.set(host, found);
      return found;
    } catch {
      const before = lastGood.get(host);
      // What the machine's resolver says is what an operator can look up.
      return before ?? await first;
    }
  };

  const byServers = async (host: string): Promise<IpBytes[]> => {
    const { nameservers, searchDomains } = await options.base();
    const upstreams = nameservers.filter((address) => !options.serviceAddresses.includes(address))
      .flatMap((Addr) => parseUpstream({ Addr }) ?? []);
    const names = host.includes(".") ? [host] : searchDomains.map((domain) => `${host}.${domain}`);
    const ask = async (name: string, type: number): Promise<IpBytes[]> => {
      const id = options.random(2);
      const wire = encodeQuery(id[0] << 8 | id[1], name, type, MAX_UDP);
      const query = wire && parseQuery(wire);
      if (typeof query !== "object") return [];
      const answers = parseResponse(await forwarder.forward(query, wire!, upstreams))?.answers ?? [];
      return answers.flatMap((record) => record.type === type ? parseIp(record.body) ?? [] : []);
    };
    for (const name of upstreams.length === 0 ? [] : names) {
      const found = await Promise.all([ask(name, TYPE.AAAA), ask(name, TYPE.A)]);
      if (found.flat().length > 0) return found.flat();
    }
    throw new Error(`no server beside the tunnel knows ${host}`);
  };

  return async (host, signal) => {
    const literal = parseIp(host);
    if (literal !== undefined) return [literal];
    const looking = running.get(host) ?? look(host).finally(() => running.delete(host));
    running.set(host, looking);
    return await (signal === undefined ? looking : orAborted(looking, signal));
  };
}

/** The addresses of one family, as texts. */
export function ofFamily(lookUp: LookUp): (host: string, family: 4 | 6) => Promise<string[]> {
  return async (host, family) => {
    return (await lookUp(host)).filter((ip) => ip.length === (family === 4 ? 4 : 16)).map(formatIp);
  };
}
