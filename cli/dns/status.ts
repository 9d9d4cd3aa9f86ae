/** `dns status`: what control says of DNS, what the machine has, and how it is told. Source: cmd/tailscale/cli/dns-status.go. */
import { EXIT_OK } from "../exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "../flags.ts";
import { LocalApiError } from "../local_client.ts";
import type { LocalClient } from "../local_client.ts";
import type { Prefs, Status } from "../local_types.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const FLAGS = {
  all: { type: "boolean", help: "show everything control sent, and what has been answered" },
  json: { type: "boolean", help: "print as JSON" },
} as const;

type Resolver = { readonly Addr?: string; readonly BootstrapResolution?: readonly string[] };

/** `tailcfg.DNSConfig`, what is shown of it. */
interface DnsConfig {
  readonly Resolvers?: readonly Resolver[] | null;
  readonly Routes?: Readonly<Record<string, readonly Resolver[] | null>> | null;
  readonly FallbackResolvers?: readonly Resolver[] | null;
  readonly Domains?: readonly string[] | null;
  readonly Nameservers?: readonly string[] | null;
  readonly CertDomains?: readonly string[] | null;
  readonly ExtraRecords?: readonly { readonly Name: string; readonly Type?: string; readonly Value: string }[] | null;
  readonly ExitNodeFilteredSet?: readonly string[] | null;
}

interface Settings {
  readonly Nameservers: readonly string[];
  readonly SearchDomains: readonly string[];
  readonly MatchDomains: readonly string[];
}

interface Machine {
  readonly Mode: string;
  readonly Reason: string;
  readonly Told: Settings;
  readonly Counts: Readonly<Record<string, number>>;
}

/** What is shown: the fields of `jsonoutput.DNSStatusResult`, and `Machine`, which is ours. */
export interface DnsStatusResult {
  readonly TailscaleDNS: boolean;
  readonly CurrentTailnet?: {
    readonly MagicDNSEnabled: boolean;
    readonly MagicDNSSuffix: string;
    readonly SelfDNSName: string;
  };
  readonly Resolvers: readonly Resolver[];
  readonly SplitDNSRoutes: Readonly<Record<string, readonly Resolver[]>>;
  readonly FallbackResolvers: readonly Resolver[];
  readonly SearchDomains: readonly string[];
  readonly Nameservers: readonly string[];
  readonly CertDomains: readonly string[];
  readonly ExtraRecords: readonly { readonly Name: string; readonly Type?: string; readonly Value: string }[];
  readonly ExitNodeFilteredSet: readonly string[];
  readonly SystemDNS?: Settings;
  readonly SystemDNSError?: string;
  readonly Machine: Machine;
}

const list = (items: readonly string[], none: string): string[] =>
  items.length === 0 ? [`  (${none})`] : items.map((item) => `  - ${item}`);

const shown = ({ Addr = "", BootstrapResolution }: Resolver): string =>
  BootstrapResolution ? `${Addr} (bootstrap: ${BootstrapResolution.join(" ")})` : Addr;

/** The text of `dns status`. */
export function formatDnsStatus(data: DnsStatusResult, all: boolean, program: string): string {
  const section = (title: string) => ["", `=== ${title} ===`, ""];
  const { Mode, Reason, Told, Counts } = data.Machine;
  const lines = [
    ...section("Use of this node's DNS"),
    data.TailscaleDNS
      ? `Enabled. '${program} set --accept-dns=false' gives the machine its own settings back.`
      : `Disabled. '${program} set --accept-dns=true' has this machine ask this node.`,
    `How the machine is told: ${Mode}, because ${Reason}.`,
    ...Told.Nameservers.length === 0
      ? ["The machine's settings are its own now."]
      : [`It asks ${Told.Nameservers.join(", ")} for ${Told.MatchDomains.length === 0 ? "all names" : "these alone:"}`],
    ...(all ? Told.MatchDomains : Told.MatchDomains.filter((name) => !name.endsWith(".arpa"))).map((name) =>
      `  - ${name}`
    ),
    ...section("MagicDNS configuration"),
  ];
  const tailnet = data.CurrentTailnet;
  if (tailnet === undefined) {
    return `${[...lines, "There is no tailnet: this node is not logged in, or not connected yet."].join("\n")}\n`;
  }
  lines.push(
    tailnet.MagicDNSEnabled
      ? `MagicDNS: enabled tailnet-wide (suffix = ${tailnet.MagicDNSSuffix}); others reach this node at ${tailnet.SelfDNSName}`
      : "MagicDNS: disabled tailnet-wide.",
    "",
    "Resolvers (in preference order):",
    ...list(data.Resolvers.map(shown), "none configured: the machine's own are used"),
    "",
    "Split DNS Routes:",
    ...list(
      Object.keys(data.SplitDNSRoutes).sort()
        .flatMap((name) => data.SplitDNSRoutes[name].map((one) => `${name.padEnd(30)} -> ${shown(one)}`)),
      "no routes configured: split DNS disabled",
    ),
    "",
    "Search Domains:",
    ...list(data.SearchDomains, "none configured"),
  );
  if (all) {
    lines.push("", "Fallback Resolvers:", ...list(data.FallbackResolvers.map(shown), "none configured"));
    lines.push("", "Nameservers IP Addresses:", ...list(data.Nameservers, "none were provided"));
    lines.push("", "Certificate Domains:", ...list(data.CertDomains, "none configured"));
    const records = data.ExtraRecords.map(({ Name, Type, Value }) => `${Type ? `[${Type}] ` : ""}${Name} -> ${Value}`);
    lines.push("", "Additional DNS Records:", ...list(records, "none configured"));
    lines.push("", "Suffixes not answered for others as an exit node:", ...list(data.ExitNodeFilteredSet, "none"));
    const counts = Object.entries(Counts).map(([name, count]) => `${name} ${count}`);
    lines.push("", "Questions since the start:", `  ${counts.join(", ")}`);
  }
  lines.push(...section("What this machine had before"));
  if (data.SystemDNS === undefined) return `${[...lines, `It cannot be read: ${data.SystemDNSError}`].join("\n")}\n`;
  lines.push("Nameservers:", ...list(data.SystemDNS.Nameservers, "none found"));
  lines.push("", "Search domains:", ...list(data.SystemDNS.SearchDomains, "none found"));
  return `${lines.join("\n")}\n`;
}

async function collect(client: LocalClient): Promise<DnsStatusResult> {
  const [status, prefs, machine] = await Promise.all([
    client.json<Status & { readonly CurrentTailnet?: { readonly MagicDNSEnabled: boolean } | null }>("GET", "status"),
    client.json<Prefs>("GET", "prefs"),
    client.json<Machine>("GET", "agent/dns-status"),
  ]);
  const connected = status.CurrentTailnet !== undefined && status.CurrentTailnet !== null && status.Self !== null;
  const config: DnsConfig = connected ? await client.json<DnsConfig>("GET", "dns-config") : {};
  const routes = Object.entries(config.Routes ?? {}).filter(([, to]) => (to ?? []).length > 0);
  const before = await client.json<Settings>("GET", "dns-osconfig").catch((error) => {
    if (!(error instanceof LocalApiError)) throw error;
    return error.message;
  });
  return {
    TailscaleDNS: prefs.CorpDNS,
    ...(connected && {
      CurrentTailnet: {
        MagicDNSEnabled: status.CurrentTailnet!.MagicDNSEnabled,
        MagicDNSSuffix: status.MagicDNSSuffix,
        SelfDNSName: status.Self!.DNSName,
      },
    }),
    Resolvers: config.Resolvers ?? [],
    SplitDNSRoutes: Object.fromEntries(routes.map(([name, to]) => [name, to!])),
    FallbackResolvers: config.FallbackResolvers ?? [],
    SearchDomains: [...config.Domains ?? []].sort(),
    Nameservers: config.Nameservers ?? [],
    CertDomains: config.CertDomains ?? [],
    ExtraRecords: config.ExtraRecords ?? [],
    ExitNodeFilteredSet: config.ExitNodeFilteredSet ?? [],
    ...(typeof before === "string" ? { SystemDNSError: before } : { SystemDNS: before }),
    Machine: machine,
  };
}

export const status: Verb & { readonly summary: string } = {
  summary: "Show the DNS settings, how the machine is told of them, and why so",
  help: `Usage: {program} dns status [flags]

Shows what DNS settings the tailnet gives, whether this machine is told of them, how, and why so.

${flagHelp(FLAGS)}
`,
  async run(args, { client, program }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    const data = await collect(client);
    print(values.json ? `${JSON.stringify(data, null, 2)}\n` : formatDnsStatus(data, values.all, program));
    return EXIT_OK;
  },
};
