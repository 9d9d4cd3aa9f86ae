/** DNS: what control says, what the machine had, a question to the resolver and, our own, how the machine is told. */
import { TYPE } from "../../../base/dns_message.ts";
import type { Backend } from "../../backend.ts";
import { errorText, json, requireMethod, requireWrite } from "../reply.ts";
import type { Handler } from "../reply.ts";

/** Types that may be asked for (localapi.dnsMessageTypeForString). */
const TYPES: Readonly<Record<string, number>> = {
  ...{ A: TYPE.A, AAAA: TYPE.AAAA, CNAME: TYPE.CNAME, MX: TYPE.MX, NS: TYPE.NS, OPT: TYPE.OPT, PTR: TYPE.PTR },
  ...{ SOA: TYPE.SOA, SRV: TYPE.SRV, TXT: TYPE.TXT, HINFO: TYPE.HINFO, ALL: TYPE.ANY },
};

/** `dns-config`, `dns-osconfig`, `dns-query`, `agent/dns-status`. */
export function dnsRoutes(backend: Backend): Record<string, Handler> {
  return {
    "dns-config": (request) => {
      requireMethod(request, "GET", 405, "GET required");
      const view = backend.view;
      return view === undefined ? errorText(500, "no netmap") : json(view.netmap.dns);
    },

    // What others asked for is nobody's business but root's and the operator's: these two need write access upstream.
    "dns-osconfig": async (request) => {
      requireMethod(request, "GET", 405, "only GET allowed");
      requireWrite(request, "dns-osconfig dump access denied");
      const { nameservers, searchDomains } = await backend.dns.base();
      return json({ Nameservers: nameservers, SearchDomains: searchDomains, MatchDomains: [] });
    },

    "dns-query": async (request) => {
      requireMethod(request, "GET", 405, "only GET allowed");
      requireWrite(request, "dns-query access denied");
      const wanted = (request.query.get("type") || "A").toUpperCase();
      if (!Object.hasOwn(TYPES, wanted)) return errorText(400, `unknown DNS message type ${JSON.stringify(wanted)}`);
      const name = request.query.get("name") ?? "";
      const resolved = await backend.dns.query(name, TYPES[wanted]);
      if (resolved === undefined) return errorText(400, `Cannot ask for ${JSON.stringify(name)}: it is not a DNS name`);
      const Resolvers = resolved.upstreams.map(({ text }) => ({ Addr: text }));
      return json({ Bytes: resolved.bytes.toBase64(), Resolvers: Resolvers.length === 0 ? null : Resolvers });
    },

    "agent/dns-status": async (request) => {
      requireMethod(request, "GET", 405, "only GET allowed");
      const { mode, why, told, counts } = await backend.dns.status();
      return json({
        Mode: mode,
        Reason: why,
        Told: {
          Nameservers: told.nameservers,
          SearchDomains: told.searchDomains,
          MatchDomains: told.matchDomains,
        },
        Counts: counts,
      });
    },
  };
}
