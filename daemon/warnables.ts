/**
 * Every warning there is: Tailscale's by its code, so that tools and people recognise it, and below them ours.
 *
 * What Tailscale has is as Tailscale has it: severity, title, text, what it depends on, and how long it must last before
 * it is shown. Where its text never says why and we know, the reason follows it in parentheses. A test holds the table
 * against the package itself (tests/vectors/tailscale_health.json). Source: health/warnings.go, health/args.go,
 * health/healthmsg, net/dns, ipn/ipnlocal, wgengine/router/osrouter.
 */

/** What the text of a warning is made of. The names are those of health/args.go. */
export type WarningArgs = Readonly<Record<string, string>>;

/** What is always true of a warning. */
export interface Warnable {
  readonly severity: "high" | "medium" | "low";
  readonly title: string;
  readonly text: (args: WarningArgs) => string;
  /** It is not shown while one of these stands: they are the cause. */
  readonly dependsOn?: readonly WarningCode[];
  readonly impactsConnectivity?: boolean;
  /** How long it must last before it is shown, ms. */
  readonly visibleAfterMs?: number;
}

/** A text of Tailscale's that says the same whatever happened, and the reason where we know it. */
function fixed(text: string): Warnable["text"] {
  return ({ error }) => error ? `${text} (${error})` : text;
}

/** A region by its name, or else by its number, in the words that go with each. */
function region(
  args: WarningArgs,
  byName: (name: string) => string,
  byId: (id: string) => string,
): string {
  return args["derp-region-name"] ? byName(args["derp-region-name"]) : byId(args["derp-region-id"] ?? "");
}

/** Tailscale's. */
const UPSTREAM = {
  "warming-up": {
    severity: "low",
    title: "Tailscale is starting",
    text: fixed("Tailscale is starting. Please wait."),
  },
  "network-status": {
    severity: "medium",
    title: "Network down",
    text: fixed("Tailscale cannot connect because the network is down. Check your Internet connection."),
    impactsConnectivity: true,
    visibleAfterMs: 5_000,
  },
  "wantrunning-false": { severity: "low", title: "Tailscale off", text: fixed("Tailscale is stopped.") },
  "login-state": {
    severity: "medium",
    title: "Logged out",
    text: ({ error }) => error ? `You are logged out. The last login error was: ${error}` : "You are logged out.",
    dependsOn: ["wantrunning-false"],
  },
  "not-in-map-poll": {
    severity: "medium",
    title: "Out of sync",
    text: fixed(
      "Unable to connect to the Tailscale coordination server to synchronize the state of your tailnet. " +
        "Peer reachability might degrade over time.",
    ),
    dependsOn: ["network-status", "wantrunning-false"],
    visibleAfterMs: 8 * 60_000,
  },
  "no-derp-home": {
    severity: "medium",
    title: "No home relay server",
    text: fixed("Tailscale could not connect to any relay server. Check your Internet connection."),
    dependsOn: ["network-status"],
    impactsConnectivity: true,
    visibleAfterMs: 10_000,
  },
  "no-derp-connection": {
    severity: "medium",
    title: "Relay server unavailable",
    text: (args) => {
      const why = "Your Internet connection might be down, or the server might be temporarily unavailable.";
      return fixed(region(
        args,
        (name) => `Tailscale could not connect to the '${name}' relay server. ${why}`,
        (id) => `Tailscale could not connect to the relay server with ID '${id}'. ${why}`,
      ))(args);
    },
    dependsOn: ["network-status", "no-derp-home"],
    impactsConnectivity: true,
    visibleAfterMs: 10_000,
  },
  "derp-timed-out": {
    severity: "medium",
    title: "Relay server timed out",
    text: (args) => {
      const why = "The server might be temporarily unavailable, or your Internet connection might be down.";
      return region(
        args,
        (name) => `Tailscale hasn't heard from the '${name}' relay server in ${args.duration ?? ""}. ${why}`,
        (id) =>
          `Tailscale hasn't heard from the home relay server (region ID '${id}') in ${args.duration ?? ""}. ${why}`,
      );
    },
    dependsOn: ["network-status", "no-derp-connection", "no-derp-home"],
  },
  "derp-region-error": {
    severity: "low",
    title: "Relay server error",
    text: (args) => `The relay server #${args["derp-region-id"] ?? ""} is reporting an issue: ${args.error ?? ""}`,
    dependsOn: ["network-status"],
  },
  "no-udp4-bind": {
    severity: "medium",
    title: "NAT traversal setup failure",
    text: fixed("Tailscale couldn't listen for incoming UDP connections."),
    dependsOn: ["network-status", "wantrunning-false"],
    impactsConnectivity: true,
  },
  "captive-portal-detected": {
    severity: "high",
    title: "Captive portal detected",
    text: fixed("This network requires you to log in using your web browser."),
    impactsConnectivity: true,
  },
  "ip-forwarding-off": {
    severity: "medium",
    title: "IP forwarding is off",
    text: fixed(
      "Subnet routing is enabled, but IP forwarding is disabled. Check that IP forwarding is enabled on your machine.",
    ),
    impactsConnectivity: true,
  },
  "nosnat-with-advertised-exit-node": {
    severity: "medium",
    title: "Exit node advertising may not work correctly",
    text: fixed(
      "snat-subnet-routes is disabled while advertising as an exit node; internet traffic through this exit node may " +
        "not work as expected",
    ),
  },
  "docker-stateful-filtering": {
    severity: "medium",
    title: "Docker with stateful filtering",
    text: fixed(
      "Stateful filtering is enabled and Docker was detected; this may prevent Docker containers on this host from " +
        "resolving DNS and connecting to Tailscale nodes. See https://tailscale.com/s/stateful-docker",
    ),
  },
  /** Addresses, routes and rules of this machine. A subsystem of Tailscale's without a title. */
  router: { severity: "medium", title: "", text: ({ LegacyError }) => LegacyError ?? "" },
  /** This node is locked out. A subsystem of Tailscale's without a title. */
  "tailnet-lock": { severity: "medium", title: "", text: ({ LegacyError }) => LegacyError ?? "" },
  "no-tailnet-lock-state-dir": {
    severity: "medium",
    title: "No statedir for Tailnet Lock",
    text: fixed(
      "Tailnet Lock state is only being stored in-memory. Set --statedir to store state on disk, which is more " +
        "secure. See https://tailscale.com/kb/1226/tailnet-lock#tailnet-lock-state",
    ),
  },
  "dns-set-os-config-failed": {
    severity: "medium",
    title: "Failed to set system DNS configuration",
    text: ({ error }) => `Tailscale failed to set the DNS configuration of your device: ${error ?? ""}`,
    dependsOn: ["network-status"],
  },
  "resolv-conf-overwritten": {
    severity: "medium",
    title: "DNS configuration issue",
    text: fixed(
      "System DNS config not ideal. /etc/resolv.conf overwritten. See https://tailscale.com/s/dns-fight",
    ),
  },
  "dns-forward-failing": {
    severity: "medium",
    title: "DNS unavailable",
    text: fixed("Tailscale can't reach the configured DNS servers. Internet connectivity may be affected."),
    dependsOn: ["network-status"],
    impactsConnectivity: true,
    visibleAfterMs: 15_000,
  },
} as const satisfies Readonly<Record<string, Omit<Warnable, "dependsOn"> & { readonly dependsOn?: readonly string[] }>>;

/** Ours, for what Tailscale does not have, does not warn of, or does not survive. */
const OURS = {
  "agent-control-unreachable": {
    severity: "medium",
    title: "Control server not reached",
    text: ({ error }) =>
      "The control server cannot be reached. Traffic between known peers goes on; changes of the tailnet are not seen." +
      (error ? ` (${error})` : ""),
    dependsOn: ["network-status", "wantrunning-false", "agent-server-key-changed"],
    visibleAfterMs: 10_000,
  },
  "agent-state-unsaved": {
    severity: "high",
    title: "State cannot be saved",
    text: ({ error }) => `Keys and preferences could not be saved: ${error}`,
  },
  "agent-server-key-changed": {
    severity: "high",
    title: "Control server's key changed",
    text: ({ error }) => error,
    impactsConnectivity: true,
  },
  "agent-tailnet-lock": {
    severity: "high",
    title: "Tailnet Lock",
    text: ({ error }) => error,
    impactsConnectivity: true,
  },
  "agent-key-expiring": {
    severity: "medium",
    title: "Node key expires soon",
    text: ({ left, time }) =>
      `The key of this node expires in ${left}, at ${time}; 'renew' gets a new one without cutting connections.`,
    dependsOn: ["wantrunning-false", "agent-key-expired"],
  },
  "agent-key-expired": {
    severity: "high",
    title: "Node key expired",
    text: () => "The key of this node has expired; get a new one with `renew`.",
    impactsConnectivity: true,
    dependsOn: ["wantrunning-false"],
  },
  "agent-peer-relay": {
    severity: "low",
    title: "Peer relay",
    text: ({ error }) => `The peer relay server of this node does not run: ${error}`,
    dependsOn: ["wantrunning-false"],
  },
  "agent-config": { severity: "medium", title: "Configuration file", text: ({ error }) => error },
  "agent-netfilter": {
    severity: "medium",
    title: "Packet filter",
    text: ({ error }) => `The packet filter of this machine could not be set as it should be: ${error}`,
  },
  "agent-conntrack-full": { severity: "medium", title: "Connection tracking", text: ({ error }) => error },
  "agent-memory-low": { severity: "medium", title: "Memory", text: ({ error }) => error },
  "agent-exit-node-missing": {
    severity: "high",
    title: "Exit node not available",
    text: ({ name }) =>
      `The exit node ${name} is not there, or is none: nothing leaves this machine until it is. ` +
      "Choose another with 'agent set --exit-node', or none with 'agent set --exit-node='.",
    impactsConnectivity: true,
  },
  "agent-address-conflict": {
    severity: "high",
    title: "Address in two tailnets",
    text: ({ error }) => error,
    impactsConnectivity: true,
  },
  "agent-dns-service": {
    severity: "medium",
    title: "MagicDNS",
    text: ({ error }) => `This node cannot answer DNS: ${error}`,
    dependsOn: ["wantrunning-false"],
  },
  "agent-accept-routes-off": {
    severity: "low",
    title: "Routes not accepted",
    text: () => "Some peers are advertising routes but --accept-routes is false",
  },
  "agent-slow-crypto": {
    severity: "low",
    title: "Slower encryption",
    text: ({ name, failure }) =>
      `The fastest implementation of ChaCha20-Poly1305, ${name}, cannot be used: ${failure}. A slower one is in use; ` +
      "install OpenSSL 3 (libcrypto.so.3), or name the one you want in AGENT_CRYPTO.",
  },
  "agent-not-implemented": {
    severity: "low",
    title: "Set but not implemented",
    text: ({ settings }) => `${settings} set but not implemented in this version.`,
  },
} as const satisfies Readonly<Record<string, Omit<Warnable, "dependsOn"> & { readonly dependsOn?: readonly string[] }>>;

/** Names of all warnings. Those that begin with `agent-` are ours. */
export type WarningCode = keyof typeof UPSTREAM | keyof typeof OURS;

/** All warnings by their code. */
export const WARNABLES: Readonly<Record<WarningCode, Warnable>> = { ...UPSTREAM, ...OURS };
