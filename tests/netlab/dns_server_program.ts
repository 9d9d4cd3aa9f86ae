// A DNS server of a machine: every name has 192.0.2.1; `big.` names have a hundred TXT records. Arguments: the address,
// and what every name has instead.
import { encodeAnswer, parseQuery, truncated, TYPE } from "../../base/dns_message.ts";
import { DnsListener } from "../../daemon/dns/dns_listener.ts";
import { parseIp } from "../../base/ip.ts";
import { systemScheduler } from "../../base/system.ts";
import { manyRecords } from "../support/dns.ts";

new DnsListener({
  addresses: [Deno.args[0]],
  mayAsk: () => true,
  scheduler: systemScheduler,
  problem: (text) => text !== "" && console.error(text),
  answer: (bytes, by) => {
    const query = parseQuery(bytes);
    if (typeof query !== "object") return Promise.resolve(undefined);
    const records = query.question.name.startsWith("big.")
      ? manyRecords(100)
      : [{ type: TYPE.A, ttl: 60, data: parseIp(Deno.args[1] ?? "192.0.2.1")! }];
    const answer = encodeAnswer(query, { rcode: 0, records });
    return Promise.resolve(by === "udp" && answer.length > query.udpSize ? truncated(query, answer) : answer);
  },
}).open();
