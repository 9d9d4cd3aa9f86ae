/** DNS for tests: a netmap's view, questions by name, answers as short texts, and servers in memory. */
import { encodeAnswer, encodeName, encodeQuery, parseQuery, parseResponse, TYPE } from "../../base/dns_message.ts";
import type { Query } from "../../base/dns_message.ts";
import { parseIp } from "../../base/ip.ts";
import type { Netmap } from "../../control/client/netmap.ts";
import type { DNSConfig } from "../../control/wire/dns_config.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import { NodeView } from "../../daemon/node_view.ts";
import type { DnsTransport } from "../../daemon/dns/forwarder.ts";

/** A node of a view. */
export function dnsNode(name: string, addresses: readonly string[], caps: readonly string[] = []): Node {
  return {
    Name: `${name}.`,
    Key: `nodekey:${name}`,
    Addresses: addresses.map((ip) => `${ip}/${ip.includes(":") ? 128 : 32}`),
    CapMap: Object.fromEntries(caps.map((cap) => [cap, []])),
  } as unknown as Node;
}

/** A view of these nodes, the first oneself. */
export function dnsView(nodes: readonly Node[], dns: DNSConfig = { Proxied: true }): NodeView {
  const [self, ...peers] = nodes;
  return new NodeView({ self, dns, users: new Map() } as unknown as Netmap, peers);
}

const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, type]) => [type, name]));
const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** A question. */
export function ask(name: string, type: keyof typeof TYPE = "A", id = 1): Uint8Array {
  return encodeQuery(id, name, TYPE[type], 1232)!;
}

/** "NOERROR A 100.64.0.1", "NXDOMAIN"; TTLs left out. */
export function answerText(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return "nothing";
  const response = parseResponse(bytes);
  if (response === undefined) return `unreadable ${bytes.toHex()}`;
  const records = response.answers.map(({ type, body }) => `${TYPE_NAMES.get(type) ?? type} ${body}`);
  return [RCODES[response.rcode], ...records].join(" ");
}

/** What a server in memory does with a question: an address to answer with, a code, silence, or bytes. */
export type Reaction =
  | string
  | number
  | "silent"
  | ((query: Query, by: "udp" | "tcp" | "https") => Uint8Array | "silent");

/** Servers in memory by their address; each remembers what came to it, as "udp host.example". */
export class FakeServers implements DnsTransport {
  readonly asked: string[] = [];
  readonly #reactions: Readonly<Record<string, Reaction>>;

  constructor(reactions: Readonly<Record<string, Reaction>>) {
    this.#reactions = reactions;
  }

  udp(to: { ip: Uint8Array }, query: Uint8Array, accept: (bytes: Uint8Array) => boolean, signal: AbortSignal) {
    return this.#serve([...to.ip].join("."), "udp", query, signal).then((bytes) => {
      if (accept(bytes)) return bytes;
      return never(signal);
    });
  }
  tcp(to: { ip: Uint8Array }, query: Uint8Array, signal: AbortSignal) {
    return this.#serve([...to.ip].join("."), "tcp", query, signal);
  }
  https(to: { url: string }, query: Uint8Array, signal: AbortSignal) {
    return this.#serve(to.url, "https", query, signal);
  }

  #serve(server: string, by: "udp" | "tcp" | "https", bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const query = parseQuery(bytes) as Query;
    this.asked.push(`${server} ${by} ${query.question.name}`);
    const reaction = this.#reactions[server];
    if (reaction === undefined) return Promise.reject(new Error("connection refused"));
    const answer = typeof reaction === "function"
      ? reaction(query, by)
      : typeof reaction === "number"
      ? encodeAnswer(query, { rcode: reaction })
      : reaction === "silent"
      ? reaction
      : encodeAnswer(query, { rcode: 0, records: [{ type: TYPE.A, ttl: 60, data: parseIp(reaction)! }] });
    return answer === "silent" ? never(signal) : Promise.resolve(answer);
  }
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** The name a PTR question asks for an IPv4 address. */
export function reverse4(ip: string): string {
  return `${ip.split(".").reverse().join(".")}.in-addr.arpa`;
}

/** For servers that answer with many records. */
export function manyRecords(count: number) {
  return Array.from(
    { length: count },
    (_, i) => ({ type: TYPE.TXT, ttl: 60, data: Uint8Array.of(3, 65, 66, i & 0x7f) }),
  );
}
export { encodeName };
