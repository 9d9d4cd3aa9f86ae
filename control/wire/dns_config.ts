/** DNS settings of the map. Source: tailcfg.DNSConfig, dnstype.Resolver. */

/** A resolver: an IP, `ip:port`, `https://…` (DNS over HTTPS) or `http://…` (a peerapi). */
export interface Resolver {
  readonly Addr?: string;
  readonly BootstrapResolution?: readonly string[];
  readonly UseWithExitNode?: boolean;
}

/** What the node's resolver is to do. */
export interface DNSConfig {
  readonly Resolvers?: readonly Resolver[];
  /** By suffix; an empty or null list means the name is answered locally (MagicDNS). */
  readonly Routes?: Readonly<Record<string, readonly Resolver[] | null>>;
  readonly FallbackResolvers?: readonly Resolver[];
  /** Search domains. */
  readonly Domains?: readonly string[];
  /** MagicDNS is on. */
  readonly Proxied?: boolean;
  readonly Nameservers?: readonly string[];
  readonly CertDomains?: readonly string[];
  readonly ExtraRecords?: readonly DNSRecord[];
  readonly ExitNodeFilteredSet?: readonly string[];
  readonly TempCorpIssue13969?: string;
}

/** A record of the tailnet's own. */
export interface DNSRecord {
  readonly Name: string;
  /** Absent means A or AAAA by the value. */
  readonly Type?: string;
  readonly Value: string;
}
